//! The generic interrupt controller, versions 2 and 3, one thin layer for both.
//!
//! Group 1 at one priority carries everything but one software interrupt:
//! [`sgi::FORCE`] stands above it and passes [`Mask::Kernel`], with which
//! kernels run (DESIGN §5): a kernel masks by priority, never by PSTATE, outside
//! its entry stubs, so that a core can be taken back from a kernel that spins.

use crate::registers::HwId;

/// Software interrupts between cores.
pub mod sgi {
    /// Bits of a notification page may be set.
    pub const NOTIFY: u32 = 1;
    /// A command stands on the home line.
    pub const STOP: u32 = 2;
    /// Wakes a core in the pen.
    pub const WAKE: u32 = 3;
    /// Takes the core back from a kernel that does not answer.
    pub const FORCE: u32 = 4;
    /// All of them, as enable bits.
    pub const ALL: u32 = 1 << NOTIFY | 1 << STOP | 1 << WAKE | 1 << FORCE;
}

/// Private interrupt of the virtual timer.
pub const TIMER_PPI: u32 = 27;
/// First shared (device) interrupt.
pub const FIRST_SPI: u32 = 32;
/// Interrupt numbers from here on mean "nothing is pending".
pub const SPURIOUS: u32 = 1020;

const PRIORITY_FORCE: u8 = 0x20;
const PRIORITY_NORMAL: u8 = 0xa0;

/// Which interrupts reach the core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Mask {
    /// All: user code runs, or the core sleeps.
    Open = 0xf0,
    /// Only [`sgi::FORCE`]: a kernel runs.
    Kernel = 0x60,
}
const _: () = assert!(PRIORITY_FORCE < Mask::Kernel as u8);
const _: () = assert!(Mask::Kernel as u8 <= PRIORITY_NORMAL && PRIORITY_NORMAL < Mask::Open as u8);

impl Mask {
    /// The priority mask register's value. With two security states the distributor shows us the
    /// lower half of the priorities shifted up; a CPU interface whose firmware leaves group 0 to us
    /// (SCR_EL3.FIQ = 0) does not, and must be told the true ones (GICv3 4.8.6).
    #[must_use]
    pub const fn register(self, true_priorities: bool) -> u64 {
        let shown = self as u64;
        if true_priorities {
            shown >> 1 | 0x80
        } else {
            shown
        }
    }
}

/// Offsets in the distributor, and in the redistributor's second frame for the private interrupts.
pub mod offset {
    /// Control.
    pub const CTLR: usize = 0x000;
    /// Type: number of interrupt lines.
    pub const TYPER: usize = 0x004;
    /// Group, one bit each.
    pub const IGROUPR: usize = 0x080;
    /// Set enable, one bit each.
    pub const ISENABLER: usize = 0x100;
    /// Clear enable, one bit each.
    pub const ICENABLER: usize = 0x180;
    /// Clear pending, one bit each.
    pub const ICPENDR: usize = 0x280;
    /// Clear active, one bit each.
    pub const ICACTIVER: usize = 0x380;
    /// Priority, one byte each.
    pub const IPRIORITYR: usize = 0x400;
    /// Version 2: target cores, one byte each.
    pub const ITARGETSR: usize = 0x800;
    /// Version 2: send a software interrupt.
    pub const SGIR: usize = 0xf00;
    /// Version 3: target core, eight bytes each.
    pub const IROUTER: usize = 0x6000;
    /// Redistributor: wake-up handshake.
    pub const WAKER: usize = 0x014;
    /// Redistributor: distance to its frame of private interrupts.
    pub const SGI_FRAME: usize = 0x1_0000;
    /// Version 2 CPU interface: control.
    pub const GICC_CTLR: usize = 0x00;
    /// Version 2 CPU interface: priority mask.
    pub const GICC_PMR: usize = 0x04;
    /// Version 2 CPU interface: binary point.
    pub const GICC_BPR: usize = 0x08;
    /// Version 2 CPU interface: acknowledge.
    pub const GICC_IAR: usize = 0x0c;
    /// Version 2 CPU interface: end.
    pub const GICC_EOIR: usize = 0x10;
    /// Version 2 CPU interface: active priorities.
    pub const GICC_APR: usize = 0xd0;
}

/// Bytes of a distributor that we map.
pub const DISTRIBUTOR_BYTES: u64 = 0x1_0000;
/// Bytes of one redistributor (both frames) that we map.
pub const REDISTRIBUTOR_BYTES: u64 = 0x2_0000;
/// Bytes of a version 2 CPU interface that we map.
pub const CPU_INTERFACE_BYTES: u64 = 0x2000;

/// ICC_SGI1R_EL1 that sends `sgi` to one core (GICv3 12.2.19).
#[must_use]
pub const fn sgi1r(core: HwId, sgi: u32) -> u64 {
    let aff0 = core.field(0);
    core.field(3) << 48
        | (aff0 >> 4) << 44
        | core.field(2) << 32
        | (sgi as u64) << 24
        | core.field(1) << 16
        | 1 << (aff0 & 15)
}

/// GICD_SGIR that sends `sgi` to one core (GICv2 4.3.15), or `None` if it cannot be said.
///
/// A version 2 controller numbers its up to eight cores in its own way. In a single cluster that is
/// the order of affinities; otherwise only the core itself knows, and the interrupt goes to all
/// others: what arrives at the wrong place is ignored. Not so [`sgi::FORCE`], which is refused.
#[must_use]
pub const fn sgir(core: HwId, sgi: u32) -> Option<u32> {
    const ALL_OTHERS: u32 = 1 << 24;
    if core.0 < 8 {
        Some(1 << (16 + core.0) | sgi)
    } else if sgi != sgi::FORCE {
        Some(ALL_OTHERS | sgi)
    } else {
        None
    }
}

/// Offset of the redistributor of `core` in a region of `bytes`, read through `typer` (GICR_TYPER at
/// an offset; GICv3 12.11.35). Frames with virtual LPIs are twice as large.
pub fn redistributor(mut typer: impl FnMut(u64) -> u64, bytes: u64, core: HwId) -> Option<u64> {
    const VLPIS: u64 = 1 << 1;
    const LAST: u64 = 1 << 4;
    let mut at = 0;
    while at + REDISTRIBUTOR_BYTES <= bytes {
        let t = typer(at);
        if (t >> 32) as u32 == core.0 {
            return Some(at);
        }
        if t & LAST != 0 {
            return None;
        }
        at += REDISTRIBUTOR_BYTES * if t & VLPIS != 0 { 2 } else { 1 };
    }
    None
}

#[cfg(target_arch = "aarch64")]
mod device;
#[cfg(target_arch = "aarch64")]
pub use device::Gic;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_let_force_through_in_both_views() {
        for true_view in [false, true] {
            let seen = |p: u8| {
                if true_view {
                    u64::from(p) >> 1 | 0x80
                } else {
                    u64::from(p)
                }
            };
            let (open, kernel) = (
                Mask::Open.register(true_view),
                Mask::Kernel.register(true_view),
            );
            assert!(seen(PRIORITY_FORCE) < kernel && kernel <= seen(PRIORITY_NORMAL));
            assert!(seen(PRIORITY_NORMAL) < open && open <= 0xff);
        }
    }

    #[test]
    fn software_interrupts_of_version_3() {
        assert_eq!(sgi1r(HwId(1), sgi::WAKE), 3 << 24 | 2);
        let far = HwId(0x0403_0215);
        let want = 4 << 48 | 1 << 44 | 3 << 32 | 2 << 24 | 2 << 16 | 1 << 5;
        assert_eq!(sgi1r(far, sgi::STOP), want);
    }

    #[test]
    fn software_interrupts_of_version_2() {
        assert_eq!(sgir(HwId(3), sgi::NOTIFY), Some(1 << 19 | 1));
        assert_eq!(sgir(HwId(0x100), sgi::NOTIFY), Some(1 << 24 | 1));
        assert_eq!(sgir(HwId(0x100), sgi::FORCE), None);
    }

    #[test]
    fn redistributors_are_found_by_affinity() {
        // Three frames: affinities 0, 1 (with virtual LPIs, so twice as large), 0x100 (last).
        let typer = |at: u64| match at {
            0 => 0,
            0x2_0000 => 1 << 32 | 2,
            0x6_0000 => 0x100 << 32 | 1 << 4,
            _ => panic!("no frame at {at:#x}"),
        };
        let find = |core| redistributor(typer, 0x100_0000, HwId(core));
        assert_eq!(find(0), Some(0));
        assert_eq!(find(1), Some(0x2_0000));
        assert_eq!(find(0x100), Some(0x6_0000));
        assert_eq!(find(7), None);
        assert_eq!(redistributor(|_| 0, 0x4_0000, HwId(7)), None);
    }
}
