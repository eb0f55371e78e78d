//! Which processor a core is.

use crate::processor::Processor;

#[test]
fn cpuid_names_vendor_family_and_model() {
    let text = |s: &[u8]| s.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let signature = 0x0005_0654u64;
    let mut words = [0; 8];
    words[0] = text(b"GenuineI");
    words[1] = text(b"ntel") | signature << 32;
    words[2] = 1 << 21;
    // A thread bit, then five bits of cores.
    words[4] = 1 | (1 << 8) << 32;
    words[5] = 6 | (2 << 8) << 32;
    let is = Processor::of_cpuid(&words).expect("noted");
    assert_eq!(is.vendor, "GenuineIntel");
    assert_eq!((is.family, is.model, is.revision), (6, 0x55, 4));
    let division = is.division.expect("described");
    assert_eq!((division.thread_bits, division.package_bits), (1, 6));
    // Family 0FH adds the extended family, others do not.
    words[1] = text(b"ntel") | 0x00a2_0f12 << 32;
    let is = Processor::of_cpuid(&words).expect("noted");
    assert_eq!((is.family, is.model, is.revision), (0x19, 0x21, 2));
    assert_eq!(Processor::of_cpuid(&[0; 8]), None);
}

#[test]
fn midr_names_implementer_and_part() {
    let mut words = [0; 8];
    words[0] = 0x411f_d073;
    let is = Processor::of_midr(&words).expect("noted");
    assert_eq!(is.vendor, "arm");
    assert_eq!((is.family, is.model, is.revision), (0xd07, 1, 3));
    words[0] = 0x7700_0001;
    assert_eq!(
        Processor::of_midr(&words).expect("noted").vendor,
        "implementer 0x77"
    );
    assert_eq!(Processor::of_midr(&[0; 8]), None);
}
