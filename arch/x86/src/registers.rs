//! Control registers, model-specific registers, and what CPUID says of them.

/// CR0: protection, FPU present and native errors, write protection in the kernel, paging.
pub const CR0: u64 = 0x8001_0033;
/// CR4: page tables with 64-bit entries.
pub const CR4_PAE: u64 = 1 << 5;
/// CR4: FXSAVE and SSE.
pub const CR4_OSFXSR: u64 = 1 << 9;
/// CR4: SSE exceptions arrive as such.
pub const CR4_OSXMMEXCPT: u64 = 1 << 10;
/// CR4: SGDT and friends are privileged.
pub const CR4_UMIP: u64 = 1 << 11;
/// CR4: user mode may read and write the FS and GS bases.
pub const CR4_FSGSBASE: u64 = 1 << 16;
/// CR4: XSAVE.
pub const CR4_OSXSAVE: u64 = 1 << 18;
/// CR4: the kernel cannot execute user pages.
pub const CR4_SMEP: u64 = 1 << 20;
/// CR4: the kernel cannot read or write user pages.
pub const CR4_SMAP: u64 = 1 << 21;

/// Local APIC base: bit 8 boot processor, bit 10 x2APIC mode, bit 11 enabled.
pub const MSR_APIC_BASE: u32 = 0x1b;
/// Extended features.
pub const MSR_EFER: u32 = 0xc000_0080;
/// Segments of SYSCALL and SYSRET.
pub const MSR_STAR: u32 = 0xc000_0081;
/// Entry of SYSCALL.
pub const MSR_LSTAR: u32 = 0xc000_0082;
/// Flags that SYSCALL clears.
pub const MSR_FMASK: u32 = 0xc000_0084;
/// FS base.
pub const MSR_FS_BASE: u32 = 0xc000_0100;
/// GS base.
pub const MSR_GS_BASE: u32 = 0xc000_0101;
/// `MSR_APIC_BASE`: boot processor.
pub const APIC_BASE_BOOT: u64 = 1 << 8;
/// `MSR_APIC_BASE`: x2APIC mode.
pub const APIC_BASE_X2: u64 = 1 << 10;
/// `MSR_APIC_BASE`: enabled.
pub const APIC_BASE_ENABLED: u64 = 1 << 11;
/// EFER: SYSCALL, long mode, no-execute. Long mode active (bit 10) is the processor's.
pub const EFER: u64 = 1 << 0 | 1 << 8 | 1 << 11;

/// RFLAGS: always one.
pub const RFLAGS_ONE: u64 = 1 << 1;
/// RFLAGS: interrupts on.
pub const RFLAGS_IF: u64 = 1 << 9;
/// RFLAGS that a user context may have as it likes: arithmetic flags, single step,
/// direction, overflow, alignment check, id. Not: I/O privilege, nested task (IRET
/// would fault), resume, virtual 8086.
pub const RFLAGS_USER: u64 =
    1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11 | 1 << 18 | 1 << 21;
/// RFLAGS of a fresh user context.
pub const RFLAGS_FRESH: u64 = RFLAGS_ONE | RFLAGS_IF;

/// One CPUID leaf: EAX, EBX, ECX, EDX.
pub type Leaf = [u32; 4];

/// What the processor can do, as far as Nekton asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// x2APIC.
    pub x2apic: bool,
    /// XSAVE with x87, SSE and AVX, whose area has the size that the format fixes.
    pub xsave_avx: bool,
    /// RDFSBASE and friends.
    pub fsgsbase: bool,
    /// Supervisor-mode execution prevention.
    pub smep: bool,
    /// Supervisor-mode access prevention.
    pub smap: bool,
    /// User-mode instruction prevention.
    pub umip: bool,
    /// Blocks of 1 GiB.
    pub gigabyte_pages: bool,
    /// No-execute.
    pub nx: bool,
    /// SYSCALL in 64-bit mode.
    pub syscall: bool,
}

impl Features {
    /// Reads the features through `cpuid(leaf, subleaf)`.
    pub fn from_cpuid(cpuid: impl Fn(u32, u32) -> Leaf) -> Features {
        let max = cpuid(0, 0)[0];
        let max_extended = cpuid(0x8000_0000, 0)[0];
        let [_, _, c1, _] = cpuid(1, 0);
        let [_, b7, c7, _] = if max >= 7 { cpuid(7, 0) } else { [0; 4] };
        let [_, _, _, d81] = if max_extended >= 0x8000_0001 {
            cpuid(0x8000_0001, 0)
        } else {
            [0; 4]
        };
        let bit = |word: u32, n: u32| word >> n & 1 != 0;
        // Leaf 0xD.0: components that XCR0 takes. Leaf 0xD.2: size and offset of the AVX part.
        let xsave_avx = max >= 0xd
            && bit(c1, 26)
            && bit(c1, 28)
            && cpuid(0xd, 0)[0] & 7 == 7
            && cpuid(0xd, 2)[..2] == [256, 576];
        Features {
            x2apic: bit(c1, 21),
            xsave_avx,
            fsgsbase: bit(b7, 0),
            smep: bit(b7, 7),
            smap: bit(b7, 20),
            umip: bit(c7, 2),
            gigabyte_pages: bit(d81, 26),
            nx: bit(d81, 20),
            syscall: bit(d81, 11),
        }
    }

    /// The CR4 value for kernels: a bit whose feature is absent is never set
    /// (an emulator was seen to hang on one instead of faulting).
    #[must_use]
    pub fn cr4(&self) -> u64 {
        let on = |b: bool, v: u64| if b { v } else { 0 };
        CR4_PAE
            | CR4_OSFXSR
            | CR4_OSXMMEXCPT
            | on(self.umip, CR4_UMIP)
            | on(self.fsgsbase, CR4_FSGSBASE)
            | on(self.xsave_avx, CR4_OSXSAVE)
            | on(self.smep, CR4_SMEP)
            | on(self.smap, CR4_SMAP)
    }

    /// The mask for `capfmt::Kcb::features`: what an OSnode may rely on here.
    #[must_use]
    pub const fn mask(&self) -> u64 {
        if self.xsave_avx {
            crate::fpu::FEATURE_XSAVE_AVX
        } else {
            crate::fpu::FEATURE_FXSAVE
        }
    }
}

/// What a processor says of itself through `cpuid(leaf, subleaf)`: vendor, signature, features, and how an APIC id is
/// divided (Intel SDM volume 2A, CPUID, leaves 0, 01H, 07H, 1FH or 0BH).
pub fn processor_words(cpuid: impl Fn(u32, u32) -> Leaf) -> [u64; 8] {
    let both = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let [max, b0, c0, d0] = cpuid(0, 0);
    let [a1, _, c1, d1] = cpuid(1, 0);
    let b7 = if max >= 7 { cpuid(7, 0)[1] } else { 0 };
    let mut words = [
        both(b0, d0),
        both(c0, a1),
        both(c1, d1),
        b7.into(),
        0,
        0,
        0,
        0,
    ];
    let levels = [0x1f, 0x0b]
        .into_iter()
        .find(|leaf| *leaf <= max && cpuid(*leaf, 0)[2] >> 8 & 0xff != 0);
    if let Some(leaf) = levels {
        for (word, subleaf) in words[4..].iter_mut().zip(0..) {
            let [a, _, c, _] = cpuid(leaf, subleaf);
            if c >> 8 & 0xff == 0 {
                break;
            }
            *word = both(a, c);
        }
    }
    words
}

#[cfg(target_arch = "x86_64")]
pub use instructions::*;

#[cfg(target_arch = "x86_64")]
mod instructions {
    use super::{Features, Leaf};
    use core::arch::asm;
    use x86_64::registers::model_specific::Msr;

    /// Reads a CPUID leaf.
    #[must_use]
    pub fn cpuid(leaf: u32, subleaf: u32) -> Leaf {
        let r = core::arch::x86_64::__cpuid_count(leaf, subleaf);
        [r.eax, r.ebx, r.ecx, r.edx]
    }

    /// What the processor that executes this says of itself, as `Core::processor_word` has it.
    #[must_use]
    pub fn own_processor() -> [u64; 8] {
        super::processor_words(cpuid)
    }

    impl Features {
        /// Of the processor that executes this.
        #[must_use]
        pub fn read() -> Features {
            Features::from_cpuid(cpuid)
        }
    }

    /// Reads a model-specific register that the processor has.
    #[must_use]
    #[inline]
    pub fn read_msr(msr: u32) -> u64 {
        // SAFETY: kernel mode; the registers named in this module exist on every x86_64
        // processor, x2APIC ones are read only in that mode. Reading them has no effect.
        unsafe { Msr::new(msr).read() }
    }

    /// Writes a model-specific register.
    ///
    /// # Safety
    /// The register exists, takes the value, and the caller may change what it controls.
    #[inline]
    pub unsafe fn write_msr(msr: u32, value: u64) {
        // SAFETY: the caller's promise.
        unsafe { Msr::new(msr).write(value) }
    }

    /// Sets CR4.
    ///
    /// # Safety
    /// Every set bit's feature is there, and the running code lives with the change.
    #[inline]
    pub unsafe fn set_cr4(value: u64) {
        // SAFETY: the caller's promise.
        unsafe { asm!("mov cr4, {0}", in(reg) value, options(nostack, preserves_flags)) }
    }

    /// Sets CR0.
    ///
    /// # Safety
    /// The running code lives with the change.
    #[inline]
    pub unsafe fn set_cr0(value: u64) {
        // SAFETY: the caller's promise.
        unsafe { asm!("mov cr0, {0}", in(reg) value, options(nostack, preserves_flags)) }
    }

    /// CR2: the address of the last page fault.
    #[must_use]
    #[inline]
    pub fn fault_address() -> u64 {
        let value: u64;
        // SAFETY: reading CR2 has no effect.
        unsafe { asm!("mov {0}, cr2", out(reg) value, options(nomem, nostack, preserves_flags)) }
        value
    }

    /// The time-stamp counter.
    #[must_use]
    #[inline]
    pub fn counter() -> u64 {
        // SAFETY: CR4.TSD is never set and kernel mode may always read it.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A processor with everything, from which `missing(leaf, register, bit)` is taken.
    fn full(leaf: u32, subleaf: u32) -> Leaf {
        match (leaf, subleaf) {
            (0, _) => [0xd, 0, 0, 0],
            (0x8000_0000, _) => [0x8000_0001, 0, 0, 0],
            (1, _) | (7, _) | (0x8000_0001, _) => [u32::MAX; 4],
            (0xd, 0) => [0x207, 0, 0, 0],
            (0xd, 2) => [256, 576, 0, 0],
            _ => [0; 4],
        }
    }

    #[test]
    fn what_a_processor_says_is_packed_in_order() {
        let cpuid = |max: u32| {
            move |leaf: u32, subleaf: u32| match (leaf, subleaf) {
                (0, _) => [max, 0xb0, 0xc0, 0xd0],
                (1, _) => [0xa1, 0, 0xc1, 0xd1],
                (7, 0) => [0, 0xb7, 0, 0],
                (0x0b, 0) => [1, 0, 1 << 8, 0],
                (0x0b, 1) => [4, 0, 2 << 8, 0],
                _ => [0; 4],
            }
        };
        let both = |low: u64, high: u64| low | high << 32;
        let head = [both(0xb0, 0xd0), both(0xc0, 0xa1), both(0xc1, 0xd1)];
        let words = processor_words(cpuid(0xd));
        assert_eq!(words[..3], head);
        let levels = [both(1, 1 << 8), both(4, 2 << 8)];
        assert_eq!(words[3..], [0xb7, levels[0], levels[1], 0, 0]);
        // Leaves above the highest are not asked.
        assert_eq!(processor_words(cpuid(1))[3..], [0; 5]);
    }

    #[test]
    fn everything_there() {
        let f = Features::from_cpuid(full);
        assert!(f.x2apic && f.xsave_avx && f.fsgsbase && f.smep && f.smap && f.umip);
        assert_eq!(f.cr4(), 0x35_0e20);
        assert_eq!(f.mask(), crate::fpu::FEATURE_XSAVE_AVX);
    }

    #[test]
    fn a_plain_processor_sets_no_optional_bit() {
        let f = Features::from_cpuid(|leaf, sub| match leaf {
            0 => [1, 0, 0, 0],
            1 | 7 => [0; 4],
            _ => full(leaf, sub),
        });
        assert_eq!(f.cr4(), CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT);
        assert_eq!(f.mask(), crate::fpu::FEATURE_FXSAVE);
        assert!(f.nx && f.syscall);
    }

    #[test]
    fn another_avx_place_means_no_xsave() {
        let moved = |leaf, sub| match (leaf, sub) {
            (0xd, 2) => [256, 1024, 0, 0],
            _ => full(leaf, sub),
        };
        assert!(!Features::from_cpuid(moved).xsave_avx);
    }

    #[test]
    fn user_flags_hold_nothing_dangerous() {
        for bit in [9, 12, 13, 14, 16, 17] {
            assert_eq!(RFLAGS_USER >> bit & 1, 0, "bit {bit}");
        }
    }
}
