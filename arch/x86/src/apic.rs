//! The local APIC, as xAPIC (memory) and x2APIC (MSRs), and the IO-APIC (SDM vol. 3A, 11; 82093AA).

/// Vector: a bit of the notification page may be set.
pub const VECTOR_NOTIFY: u8 = 0xf0;
/// Vector: a command stands on the home line.
pub const VECTOR_STOP: u8 = 0xf1;
/// Vector: wakes a core in the pen.
pub const VECTOR_WAKE: u8 = 0xf2;
/// Vector: the timer reached zero.
pub const VECTOR_TIMER: u8 = 0xf3;
/// Vector: an NMI that came when the kernel could not take it, repeated by the kernel to itself.
pub const VECTOR_FORCE: u8 = 0xf4;
/// Vector: spurious; takes no end of interrupt.
pub const VECTOR_SPURIOUS: u8 = 0xff;
/// Vector of interrupt source 0; source n has this plus n.
pub const VECTOR_IRQ: u8 = 0x30;
/// Number of interrupt sources that have a vector.
pub const IRQ_SOURCES: u64 = (VECTOR_NOTIFY - VECTOR_IRQ) as u64;

/// Physical address of the registers in xAPIC mode, unless the MSR says otherwise.
pub const DEFAULT_BASE: u64 = 0xfee0_0000;

/// Register numbers: byte offset ÷ 16 in memory, 0x800 plus this as MSR.
pub mod register {
    /// Identity.
    pub const ID: u32 = 0x02;
    /// Task priority.
    pub const PRIORITY: u32 = 0x08;
    /// End of interrupt.
    pub const EOI: u32 = 0x0b;
    /// Spurious vector, and bit 8: enabled.
    pub const SPURIOUS: u32 = 0x0f;
    /// Interrupt command (x2APIC: 64 bits; xAPIC: low half, high half at 0x31).
    pub const COMMAND: u32 = 0x30;
    /// Interrupt command, high half.
    pub const COMMAND_HIGH: u32 = 0x31;
    /// Local vector table: timer.
    pub const TIMER: u32 = 0x32;
    /// Timer: initial count; 0 stops it.
    pub const INITIAL_COUNT: u32 = 0x38;
    /// Timer: current count.
    pub const CURRENT_COUNT: u32 = 0x39;
    /// Timer: divider.
    pub const DIVIDER: u32 = 0x3e;
}

/// Local vector table: masked.
pub const MASKED: u32 = 1 << 16;
/// `DIVIDER`: count at the input frequency.
pub const DIVIDE_BY_1: u32 = 0xb;
/// `SPURIOUS`: APIC on.
pub const ENABLED: u32 = 1 << 8;
/// `COMMAND`, xAPIC: the last command is still on its way.
pub const PENDING: u32 = 1 << 12;

/// What an interrupt command does at its target: the low half of the command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Interrupt with this vector.
    Fixed(u8),
    /// Non-maskable interrupt.
    Nmi,
    /// Reset into wait-for-SIPI. Never to the boot processor: it would run firmware.
    Init,
    /// From wait-for-SIPI: start in real mode at this page number.
    Startup(u8),
}

impl Command {
    /// Low half of the command register: physical destination, level asserted, edge.
    #[must_use]
    pub const fn low(self) -> u32 {
        match self {
            Command::Fixed(vector) => 0x4000 | vector as u32,
            Command::Nmi => 0x4400,
            Command::Init => 0x4500,
            Command::Startup(page) => 0x4600 | page as u32,
        }
    }
    /// The x2APIC register: the destination's 32-bit id in the high half.
    #[must_use]
    pub const fn x2apic(self, destination: u32) -> u64 {
        (destination as u64) << 32 | self.low() as u64
    }
    /// High half of the xAPIC register, for an 8-bit id.
    #[must_use]
    pub const fn xapic_high(destination: u8) -> u32 {
        (destination as u32) << 24
    }
}

/// An IO-APIC redirection entry (82093AA, 3.2.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Redirection {
    /// Vector to raise.
    pub vector: u8,
    /// Local APIC id that gets it.
    pub destination: u8,
    /// Level-triggered, active low (PCI); else edge-triggered, active high (ISA).
    pub level: bool,
    /// Nothing is delivered.
    pub masked: bool,
}

impl Redirection {
    /// Low and high word.
    #[must_use]
    pub const fn words(self) -> [u32; 2] {
        let mut low = self.vector as u32;
        if self.level {
            low |= 1 << 13 | 1 << 15;
        }
        if self.masked {
            low |= MASKED;
        }
        [low, (self.destination as u32) << 24]
    }
    /// Register number of the low word of pin `pin`; the high word follows.
    #[must_use]
    pub const fn register(pin: u32) -> u32 {
        0x10 + 2 * pin
    }
    /// Whether global interrupt `source` of a PC is level-triggered: the first 16 are ISA's.
    #[must_use]
    pub const fn is_level(source: u64) -> bool {
        source >= 16
    }
}

#[cfg(target_arch = "x86_64")]
pub use device::{IoApic, Lapic};

#[cfg(target_arch = "x86_64")]
mod device {
    use super::{Command, DIVIDE_BY_1, ENABLED, MASKED, PENDING, register};
    use super::{VECTOR_SPURIOUS, VECTOR_TIMER};
    use crate::registers::{APIC_BASE_ENABLED, APIC_BASE_X2, MSR_APIC_BASE, read_msr, write_msr};
    use x86_64::instructions::port::Port;

    /// The local APIC of the core that executes.
    #[derive(Clone, Copy, Debug)]
    pub enum Lapic {
        /// x2APIC: MSRs.
        X2,
        /// xAPIC: registers at this virtual address.
        Memory(u64),
    }

    impl Lapic {
        /// Puts the local APIC into a mode and enables it; all local vectors that firmware set stay.
        ///
        /// # Safety
        /// Kernel mode. `base` is the virtual address of its registers, mapped uncached; the
        /// processor has x2APIC if `x2` is asked for.
        #[must_use]
        pub unsafe fn enable(x2: bool, base: u64) -> Lapic {
            let msr = read_msr(MSR_APIC_BASE) | APIC_BASE_ENABLED;
            let mode = if x2 { APIC_BASE_X2 } else { 0 };
            // SAFETY: enabling is always allowed; x2APIC is there by the caller's promise.
            unsafe { write_msr(MSR_APIC_BASE, msr | mode) }
            let apic = if x2 { Lapic::X2 } else { Lapic::Memory(base) };
            apic.write(register::SPURIOUS, ENABLED | u32::from(VECTOR_SPURIOUS));
            apic.write(register::PRIORITY, 0);
            apic
        }

        /// Reads register `n` (a number of [`register`]).
        #[inline]
        #[must_use]
        pub fn read(self, n: u32) -> u32 {
            match self {
                Lapic::X2 => read_msr(0x800 + n) as u32,
                Lapic::Memory(base) => {
                    let at = (base + 16 * u64::from(n)) as *const u32;
                    // SAFETY: `enable`'s promise on `base`; `n` is one of `register`, inside the page.
                    unsafe { at.read_volatile() }
                }
            }
        }

        /// Writes register `n` (a number of [`register`]).
        #[inline]
        pub fn write(self, n: u32, value: u32) {
            match self {
                // SAFETY: x2APIC mode is on; the values written here are defined for the register.
                Lapic::X2 => unsafe { write_msr(0x800 + n, u64::from(value)) },
                Lapic::Memory(base) => {
                    let at = (base + 16 * u64::from(n)) as *mut u32;
                    // SAFETY: as in `read`.
                    unsafe { at.write_volatile(value) }
                }
            }
        }

        /// This core's id.
        #[must_use]
        pub fn id(self) -> u32 {
            match self {
                Lapic::X2 => self.read(register::ID),
                Lapic::Memory(_) => self.read(register::ID) >> 24,
            }
        }

        /// Ends the interrupt in service.
        #[inline]
        pub fn end_of_interrupt(self) {
            self.write(register::EOI, 0);
        }

        /// Sends `command` to the core with this id.
        ///
        /// Returns whether it was accepted: xAPIC ids have 8 bits and a command can hang.
        #[must_use]
        pub fn send(self, command: Command, destination: u64) -> bool {
            match self {
                Lapic::X2 => {
                    let value = command.x2apic(destination as u32);
                    // SAFETY: x2APIC mode is on and every `Command` is a defined value.
                    unsafe { write_msr(0x800 + register::COMMAND, value) }
                    destination <= u64::from(u32::MAX)
                }
                Lapic::Memory(_) => {
                    let Ok(id) = u8::try_from(destination) else {
                        return false;
                    };
                    if !self.idle() {
                        return false;
                    }
                    self.write(register::COMMAND_HIGH, Command::xapic_high(id));
                    self.write(register::COMMAND, command.low());
                    true
                }
            }
        }

        /// Waits until the last command has left (microseconds on hardware).
        fn idle(self) -> bool {
            (0..100_000).any(|_| self.read(register::COMMAND) & PENDING == 0)
        }

        /// Prepares the timer: one shot, input frequency, stopped.
        pub fn timer_setup(self) {
            self.write(register::DIVIDER, DIVIDE_BY_1);
            self.write(register::TIMER, u32::from(VECTOR_TIMER));
            self.write(register::INITIAL_COUNT, 0);
        }

        /// Starts the timer: an interrupt after `count` ticks; 0 stops it.
        #[inline]
        pub fn timer_start(self, count: u32) {
            self.write(register::INITIAL_COUNT, count);
        }

        /// Stops the timer and masks it.
        pub fn timer_off(self) {
            self.write(register::INITIAL_COUNT, 0);
            self.write(register::TIMER, MASKED | u32::from(VECTOR_TIMER));
        }
    }

    /// Registers of one IO-APIC: an index and a data register, so one user at a time.
    #[derive(Clone, Copy, Debug)]
    pub struct IoApic(u64);

    impl IoApic {
        /// The IO-APIC whose registers are mapped at `base`.
        ///
        /// # Safety
        /// They are, uncached, and whoever calls a method holds the lock of this IO-APIC.
        #[must_use]
        pub unsafe fn at(base: u64) -> IoApic {
            IoApic(base)
        }

        fn select(self, n: u32) -> *mut u32 {
            let index = self.0 as *mut u32;
            // SAFETY: `at`'s promise.
            unsafe { index.write_volatile(n) }
            (self.0 + 0x10) as *mut u32
        }

        /// Reads register `n`.
        #[must_use]
        pub fn read(self, n: u32) -> u32 {
            // SAFETY: `at`'s promise.
            unsafe { self.select(n).read_volatile() }
        }

        /// Writes register `n`.
        pub fn write(self, n: u32, value: u32) {
            // SAFETY: `at`'s promise.
            unsafe { self.select(n).write_volatile(value) }
        }

        /// Number of pins.
        #[must_use]
        pub fn pins(self) -> u32 {
            (self.read(1) >> 16 & 0xff) + 1
        }

        /// Sets a pin; masked meanwhile.
        pub fn set(self, pin: u32, entry: super::Redirection) {
            let at = super::Redirection::register(pin);
            let [low, high] = entry.words();
            self.write(at, low | MASKED);
            self.write(at + 1, high);
            if !entry.masked {
                self.write(at, low);
            }
        }
    }

    /// Masks the two 8259 interrupt controllers for good, out of the way of the APICs.
    ///
    /// # Safety
    /// Kernel mode, and nobody uses them.
    pub unsafe fn mask_8259() {
        for port in [0x21, 0xa1] {
            // SAFETY: the mask registers of the 8259s; the caller's promise.
            unsafe { Port::<u8>::new(port).write(0xff) }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub use device::mask_8259;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        assert_eq!(Command::Fixed(0xf1).low(), 0x40f1);
        assert_eq!(Command::Nmi.low(), 0x4400);
        assert_eq!(Command::Init.low(), 0x4500);
        assert_eq!(Command::Startup(8).low(), 0x4608);
        assert_eq!(Command::Startup(8).x2apic(300), 0x12c_0000_4608);
        assert_eq!(Command::xapic_high(3), 0x0300_0000);
    }

    #[test]
    fn redirections() {
        let isa = Redirection {
            vector: 0x34,
            destination: 2,
            level: Redirection::is_level(4),
            masked: false,
        };
        assert_eq!(isa.words(), [0x34, 0x0200_0000]);
        let pci = Redirection {
            vector: 0x40,
            destination: 0,
            level: Redirection::is_level(16),
            masked: true,
        };
        assert_eq!(pci.words(), [0x1_a040, 0]);
        assert_eq!(Redirection::register(4), 0x18);
    }

    #[test]
    fn vectors_do_not_meet() {
        assert_eq!(IRQ_SOURCES, 0xc0);
        assert!(u64::from(VECTOR_IRQ) + IRQ_SOURCES <= u64::from(VECTOR_NOTIFY));
    }
}
