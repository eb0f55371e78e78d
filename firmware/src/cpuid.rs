//! What CPUID's words say: features, and where the parts of an APIC id begin.
//!
//! The words come from whoever can execute the instruction. Source: Intel SDM volume 2A, CPUID;
//! of the features: leaves 01H and 07H. Of the parts: leaves 0BH and 1FH (AMD has leaf 0BH, too):
//! each subleaf gives a level's type in ECX bits 15:8 (1 = thread, 2 = core, more = above a core,
//! 0 = the end) and in EAX bits 4:0 how far the id is shifted to name the level above.

/// The words that name features.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FeatureWords {
    /// Leaf 01H.
    pub leaf1_ecx: u32,
    /// Leaf 01H.
    pub leaf1_edx: u32,
    /// Leaf 07H, subleaf 0.
    pub leaf7_ebx: u32,
}

/// Word, bit, name: what kernels and drivers choose by.
const FEATURES: &[(usize, u32, &str)] = &[
    (0, 3, "monitor"),
    (0, 21, "x2apic"),
    (0, 24, "tsc_deadline"),
    (0, 26, "xsave"),
    (0, 28, "avx"),
    (0, 30, "rdrand"),
    (1, 4, "tsc"),
    (1, 9, "apic"),
    (1, 28, "htt"),
    (2, 0, "fsgsbase"),
    (2, 5, "avx2"),
    (2, 7, "smep"),
    (2, 9, "erms"),
    (2, 20, "smap"),
];

impl FeatureWords {
    /// The names of those that are there.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let words = [self.leaf1_ecx, self.leaf1_edx, self.leaf7_ebx];
        let there = FEATURES
            .iter()
            .filter(move |(w, bit, _)| words[*w] >> bit & 1 != 0);
        there.map(|(_, _, name)| *name)
    }
}

/// What a subleaf said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subleaf {
    /// EAX.
    pub eax: u32,
    /// ECX.
    pub ecx: u32,
}

/// How an APIC id is divided.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Division {
    /// Bits that tell the threads of a core apart.
    pub thread_bits: u32,
    /// Bits that tell all threads of a package apart.
    pub package_bits: u32,
}

impl Division {
    /// The division that the subleaves of leaf 1FH (or 0BH) describe, in order; `None` if they
    /// describe no level, or one that is smaller than a level within it.
    #[must_use]
    pub fn of(subleaves: &[Subleaf]) -> Option<Self> {
        let mut division = Self::default();
        let mut last = None;
        for leaf in subleaves {
            let (kind, bits) = (leaf.ecx >> 8 & 0xff, leaf.eax & 0x1f);
            if kind == 0 {
                break;
            }
            if last.is_some_and(|last| bits < last) {
                return None;
            }
            last = Some(bits);
            if kind == 1 {
                division.thread_bits = bits;
            }
            division.package_bits = bits;
        }
        last.map(|_| division)
    }

    /// The package of the thread with this APIC id.
    #[must_use]
    pub fn package(self, hw_id: u32) -> u32 {
        hw_id >> self.package_bits.min(31)
    }

    /// The physical core of the thread with this APIC id, unique in the machine.
    #[must_use]
    pub fn core(self, hw_id: u32) -> u32 {
        hw_id >> self.thread_bits.min(31)
    }
}
