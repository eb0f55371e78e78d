//! The controller's registers in use.

use super::{FIRST_SPI, Mask, PRIORITY_FORCE, PRIORITY_NORMAL, SPURIOUS, offset, sgi};
use crate::registers::HwId;
use core::arch::asm;

/// A controller whose registers are mapped, as one core sees it.
#[derive(Clone, Copy, Debug)]
pub struct Gic {
    distributor: usize,
    access: Access,
    /// The mask register's values for [`Mask::Open`] and [`Mask::Kernel`], as [`Gic::init_core`]
    /// finds them out: two registers are written in every kernel entry.
    open: u64,
    kernel: u64,
}

/// How this core's part is reached.
#[derive(Clone, Copy, Debug)]
enum Access {
    /// Version 2: the CPU interface's registers.
    V2 { cpu: usize },
    /// Version 3: system registers and this core's redistributor.
    V3 { redistributor: usize },
}

macro_rules! sysreg {
    (read $name:literal) => {{
        let value: u64;
        // SAFETY: reading this register of the CPU interface has no effect on memory; EL1 has the
        // system-register interface once `init_core` has enabled it.
        unsafe { asm!(concat!("mrs {0}, ", $name), out(reg) value, options(nostack, preserves_flags)) };
        value
    }};
    (write $name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: writing this register changes which interrupts arrive, not memory.
        unsafe { asm!(concat!("msr ", $name, ", {0}"), in(reg) value, options(nostack, preserves_flags)) };
    }};
}

fn read(at: usize) -> u32 {
    // SAFETY: `at` lies in a frame that the maker of the `Gic` promised to be mapped.
    unsafe { (at as *const u32).read_volatile() }
}

fn write(at: usize, value: u32) {
    // SAFETY: as `read`.
    unsafe { (at as *mut u32).write_volatile(value) }
}

fn write_byte(at: usize, value: u8) {
    // SAFETY: as `read`; priorities and targets are byte-accessible (GICv3 12.1.3).
    unsafe { (at as *mut u8).write_volatile(value) }
}

impl Gic {
    /// A version 2 controller.
    ///
    /// # Safety
    /// `distributor` and `cpu` must map the two frames as device memory while this value is used.
    #[must_use]
    pub const unsafe fn v2(distributor: usize, cpu: usize) -> Gic {
        Gic {
            distributor,
            access: Access::V2 { cpu },
            open: Mask::Open.register(false),
            kernel: Mask::Kernel.register(false),
        }
    }

    /// A version 3 (or later) controller.
    ///
    /// # Safety
    /// `distributor` and `redistributor` (this core's, both frames) must be mapped as device memory
    /// while this value is used.
    #[must_use]
    pub const unsafe fn v3(distributor: usize, redistributor: usize) -> Gic {
        Gic {
            distributor,
            access: Access::V3 { redistributor },
            open: Mask::Open.register(false),
            kernel: Mask::Kernel.register(false),
        }
    }

    /// Number of the first interrupt that the distributor does not have.
    #[must_use]
    pub fn lines(&self) -> u32 {
        (32 * ((read(self.distributor + offset::TYPER) & 31) + 1)).min(SPURIOUS)
    }

    /// Brings the shared part into its first state: everything masked, one priority, enabled.
    /// The loader does it once; later it would cut the devices of running OSnodes off.
    pub fn init_distributor(&self) {
        let d = self.distributor;
        let v3 = matches!(self.access, Access::V3 { .. });
        write(d + offset::CTLR, 0);
        self.settle(d);
        for n in (FIRST_SPI..self.lines()).step_by(32) {
            let word = n as usize / 8;
            write(d + offset::ICENABLER + word, !0);
            write(d + offset::ICPENDR + word, !0);
            if v3 {
                write(d + offset::IGROUPR + word, !0);
            }
        }
        for n in (FIRST_SPI..self.lines()).step_by(4) {
            let all = u32::from_ne_bytes([PRIORITY_NORMAL; 4]);
            write(d + offset::IPRIORITYR + n as usize, all);
        }
        self.settle(d);
        // Version 3: affinity routing (bit 4), group 1 of this security state (bits 0 and 1).
        write(d + offset::CTLR, if v3 { 1 << 4 | 3 } else { 1 });
        self.settle(d);
    }

    /// Brings this core's part into a kernel's first state: private interrupts masked but the
    /// software ones and the virtual timer, nothing active, everything but `FORCE` held off.
    pub fn init_core(&mut self) {
        let private = match self.access {
            Access::V3 { redistributor } => {
                sysreg!(write "icc_sre_el1", sysreg!(read "icc_sre_el1") | 1);
                crate::barrier::isb();
                wake(redistributor);
                let true_priorities = self.has_true_priorities();
                self.open = Mask::Open.register(true_priorities);
                self.kernel = Mask::Kernel.register(true_priorities);
                redistributor + offset::SGI_FRAME
            }
            Access::V2 { .. } => self.distributor,
        };
        write(private + offset::ICENABLER, !0);
        write(private + offset::ICACTIVER, !0);
        for n in 0..FIRST_SPI as usize {
            let force = n == sgi::FORCE as usize;
            let priority = if force {
                PRIORITY_FORCE
            } else {
                PRIORITY_NORMAL
            };
            write_byte(private + offset::IPRIORITYR + n, priority);
        }
        if let Access::V3 { redistributor } = self.access {
            write(private + offset::IGROUPR, !0);
            self.settle(redistributor);
        }
        write(
            private + offset::ISENABLER,
            sgi::ALL | 1 << super::TIMER_PPI,
        );
        self.mask(Mask::Kernel);
        match self.access {
            Access::V3 { .. } => {
                sysreg!(write "icc_bpr1_el1", 0);
                sysreg!(write "icc_ctlr_el1", 0);
                sysreg!(write "icc_ap1r0_el1", 0);
                sysreg!(write "icc_igrpen1_el1", 1);
                crate::barrier::isb();
            }
            Access::V2 { cpu } => {
                write(cpu + offset::GICC_BPR, 0);
                write(cpu + offset::GICC_APR, 0);
                write(cpu + offset::GICC_CTLR, 1);
            }
        }
    }

    /// Whether the mask register takes true priorities though the distributor shows shifted ones:
    /// the distributor has two security states (DS clear), and the highest priority but zero can be
    /// written to the mask and read back (shifted, it would lose its only bit).
    fn has_true_priorities(&self) -> bool {
        const DS: u32 = 1 << 6;
        if read(self.distributor + offset::CTLR) & DS != 0 {
            return false;
        }
        let bits = (sysreg!(read "icc_ctlr_el1") >> 8 & 7) + 1;
        sysreg!(write "icc_pmr_el1", 1 << (8 - bits));
        sysreg!(read "icc_pmr_el1") != 0
    }

    /// Waits until register writes have arrived (RWP: bit 31 of a distributor's, bit 3 of a
    /// redistributor's CTLR). Version 2 has none.
    fn settle(&self, frame: usize) {
        let pending = match self.access {
            Access::V2 { .. } => return,
            Access::V3 { .. } if frame == self.distributor => 1 << 31,
            Access::V3 { .. } => 1 << 3,
        };
        while read(frame + offset::CTLR) & pending != 0 {
            crate::barrier::yield_core();
        }
    }

    /// Chooses which interrupts reach this core.
    #[inline]
    pub fn mask(&self, mask: Mask) {
        let value = match mask {
            Mask::Open => self.open,
            Mask::Kernel => self.kernel,
        };
        match self.access {
            Access::V3 { .. } => sysreg!(write "icc_pmr_el1", value),
            Access::V2 { cpu } => write(cpu + offset::GICC_PMR, value as u32),
        }
    }

    /// Takes the pending interrupt of highest priority that the mask lets through, and its number;
    /// [`SPURIOUS`] and above: none. What was taken must be given to [`Gic::end`].
    #[must_use]
    #[inline]
    pub fn acknowledge(&self) -> Acknowledged {
        let word = match self.access {
            Access::V3 { .. } => sysreg!(read "icc_iar1_el1") as u32,
            Access::V2 { cpu } => read(cpu + offset::GICC_IAR),
        };
        Acknowledged(word)
    }

    /// Ends an interrupt: others of its priority can come.
    #[inline]
    pub fn end(&self, taken: Acknowledged) {
        match self.access {
            Access::V3 { .. } => sysreg!(write "icc_eoir1_el1", u64::from(taken.0)),
            Access::V2 { cpu } => write(cpu + offset::GICC_EOIR, taken.0),
        }
    }

    /// Sends a software interrupt to one core; `false` if the controller cannot name it.
    /// Memory written before is visible to the core before the interrupt is.
    #[must_use]
    pub fn send(&self, core: HwId, sgi: u32) -> bool {
        crate::barrier::dsb_ish();
        match self.access {
            Access::V3 { .. } => {
                sysreg!(write "icc_sgi1r_el1", super::sgi1r(core, sgi));
                crate::barrier::isb();
                true
            }
            Access::V2 { .. } => match super::sgir(core, sgi) {
                Some(word) => {
                    write(self.distributor + offset::SGIR, word);
                    true
                }
                None => false,
            },
        }
    }

    /// Routes a device interrupt to this core and unmasks it; `false` if there is no such line.
    #[must_use]
    pub fn route_here(&self, line: u32, own: HwId) -> bool {
        if !self.has_line(line) {
            return false;
        }
        let d = self.distributor;
        match self.access {
            Access::V3 { .. } => {
                let at = d + offset::IROUTER + 8 * line as usize;
                // SAFETY: IROUTER of an existing line lies in the distributor's 64-KiB frame.
                unsafe { (at as *mut u64).write_volatile(own.affinity()) }
            }
            Access::V2 { .. } => {
                // The banked bytes of the private interrupts name the reader (GICv2 4.3.12).
                let own_bit = read(d + offset::ITARGETSR) as u8;
                write_byte(d + offset::ITARGETSR + line as usize, own_bit);
            }
        }
        write(
            d + offset::ISENABLER + line as usize / 32 * 4,
            1 << (line % 32),
        );
        true
    }

    /// Masks a device interrupt; `false` if there is no such line.
    pub fn mask_line(&self, line: u32) -> bool {
        if !self.has_line(line) {
            return false;
        }
        let d = self.distributor;
        write(
            d + offset::ICENABLER + line as usize / 32 * 4,
            1 << (line % 32),
        );
        self.settle(d);
        true
    }

    /// Masks this core's private interrupts but the software ones, for whoever comes next.
    pub fn quiesce(&self) {
        let private = match self.access {
            Access::V3 { redistributor } => redistributor + offset::SGI_FRAME,
            Access::V2 { .. } => self.distributor,
        };
        write(private + offset::ICENABLER, !sgi::ALL);
    }

    fn has_line(&self, line: u32) -> bool {
        (FIRST_SPI..self.lines()).contains(&line)
    }
}

/// An interrupt taken from the controller and not yet ended.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged(u32);

impl Acknowledged {
    /// Its number; version 2 adds the sender's number above bit 9, which nobody needs.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0 & 0x3ff
    }
}

/// Wakes a redistributor (GICv3 11.2, GICR_WAKER): clears ProcessorSleep, waits for ChildrenAsleep.
fn wake(redistributor: usize) {
    let at = redistributor + offset::WAKER;
    write(at, read(at) & !(1 << 1));
    while read(at) & 1 << 2 != 0 {
        crate::barrier::yield_core();
    }
}
