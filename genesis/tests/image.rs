//! Kernel files: what is accepted, what is refused and why; no bytes make it panic.

mod common;

use capfmt::Isa;
use common::elf::{Elf, kernel_note, sample};
use genesis::{
    FilePart, ImageError, KernelImage, RelocationFault, Requirements, UserImage, verify_kernel,
};
use proptest::prelude::*;

const NEEDS: Requirements = Requirements {
    isa: Isa::X86,
    core_features: 0b11,
    kcb_format: 1,
    kcb_features: 0b101,
};

fn refusal(change: impl FnOnce(&mut Elf)) -> ImageError {
    let mut elf = sample(Isa::X86);
    change(&mut elf);
    verify_kernel(&elf.build(), &NEEDS).expect_err("accepted")
}

#[test]
fn a_kernel_says_what_it_is() {
    let file = sample(Isa::X86).build();
    let k = verify_kernel(&file, &NEEDS).expect("refused");
    let n = k.note();
    assert_eq!((n.isa, n.newest_format, n.oldest_format), (1, 1, 1));
    assert_eq!((n.needs, n.offers), (0b11, 0b111));
    assert_eq!(n.base_va, common::elf::KERNEL_BASE);
    assert_eq!(
        n.build_id,
        [0xb1b1_b1b1_b1b1_b1b1, 0xb1b1_b1b1_b1b1_b1b1, 0xb1b1_b1b1]
    );
    assert_eq!(n.name, [u64::from_le_bytes(*b"std\0\0\0\0\0"), 0]);
}

#[test]
fn each_reason_has_its_error() {
    use ImageError as E;
    let other = E::OtherIsa {
        machine: 183,
        isa: Isa::X86,
    };
    assert_eq!(refusal(|e| e.machine = 183), other);
    assert_eq!(refusal(|e| e.kind = 2), E::NotPie);
    assert_eq!(refusal(|e| e.interp = true), E::Dynamic("an interpreter"));
    let needed = refusal(|e| e.extra_dyn = vec![(1, 5)]);
    assert_eq!(needed, E::Dynamic("a shared library"));
    let relr = refusal(|e| e.extra_dyn = vec![(35, 8)]);
    assert_eq!(relr, E::Dynamic("relocations other than RELA"));
    let text = refusal(|e| e.extra_dyn = vec![(22, 0)]);
    assert_eq!(text, E::Dynamic("text relocations"));
    assert_eq!(
        refusal(|e| e.loads[3].flags = 7),
        E::WriteExecute { index: 3 }
    );
    assert_eq!(refusal(|e| e.loads[3].va = 0x4f00), E::Overlap { index: 3 });
    assert_eq!(refusal(|e| e.loads[3].mem = 1), E::BadSegment { index: 3 });
    assert_eq!(refusal(|e| e.entry = 0x4000), E::BadEntry { entry: 0x4000 });
    let kind = E::BadRelocation {
        index: 1,
        why: RelocationFault::Kind(6),
    };
    assert_eq!(refusal(|e| e.rela[1].0 = 6), kind);
    for at in [0x2000, 0x42f9, 0x5124, 0x7000, 0x9000, u64::MAX] {
        let why = RelocationFault::Target(at);
        let target = E::BadRelocation { index: 0, why };
        assert_eq!(refusal(|e| e.rela[0].1 = at), target);
    }
    assert!(matches!(
        refusal(|e| e.loads[3].mem = 1 << 40),
        E::TooLarge { .. }
    ));
}

#[test]
fn notes_decide() {
    use ImageError as E;
    let note = |w| refusal(|e| e.note = kernel_note(w));
    let base = common::elf::KERNEL_BASE;
    assert_eq!(refusal(|e| e.note.clear()), E::NoNote("kernel"));
    assert_eq!(
        refusal(|e| e.note = common::elf::note(1, &[0; 40])),
        E::NoNote("build id")
    );
    assert_eq!(note([2, 1 | 1 << 32, 0, 7, base]), E::NoteIsa { isa: 2 });
    for bad in [0, base + 0x1000, abi::vaddr::WINDOW, abi::vaddr::CORE_VA] {
        assert_eq!(note([1, 1 | 1 << 32, 0, 7, bad]), E::BadBase { base: bad });
    }
    let format = E::Format {
        kcb: 1,
        oldest: 2,
        newest: 3,
    };
    assert_eq!(note([1, 3 | 2 << 32, 0, 7, base]), format);
    let core = E::CoreFeatures { missing: 0b1000 };
    assert_eq!(note([1, 1 | 1 << 32, 0b1011, 7, base]), core);
    let kcb = E::KcbFeatures { missing: 0b100 };
    assert_eq!(note([1, 1 | 1 << 32, 0, 0b11, base]), kcb);
}

#[test]
fn every_truncation_is_named() {
    let file = sample(Isa::X86).build();
    for len in 0..file.len() {
        match verify_kernel(&file[..len], &NEEDS) {
            Err(ImageError::NotElf) => assert!(len < 4),
            Err(ImageError::Truncated { len: l, end, .. }) => {
                assert!(l == len as u64 && end > l && end <= file.len() as u64);
            }
            other => panic!("{len} bytes of {}: {other:?}", file.len()),
        }
    }
}

#[test]
fn errors_name_cause_and_file() {
    let file = sample(Isa::X86).build();
    let e = verify_kernel(&file[..0x5000], &NEEDS).expect_err("accepted");
    let part = FilePart::Segment(3);
    assert!(matches!(e, ImageError::Truncated { part: p, .. } if p == part));
    assert_eq!(
        e.in_file("kernel/t-short").to_string(),
        "kernel/t-short: truncated: segment 3 ends at byte 20779 of 20480"
    );
    let e = verify_kernel(&sample(Isa::Arm).build(), &NEEDS).expect_err("accepted");
    assert_eq!(
        e.in_file("kernel/t-isa").to_string(),
        "kernel/t-isa: other ISA: the file is for AArch64 (ELF machine 183), the core is x86_64"
    );
}

#[test]
fn a_hosted_program_is_refused_by_its_interpreter() {
    let file = std::fs::read("/proc/self/exe").expect("the test itself");
    let isa = match file[18] {
        62 => Isa::X86,
        _ => Isa::Arm,
    };
    let e = UserImage::parse(&file, isa).expect_err("accepted");
    assert_eq!(e, ImageError::Dynamic("an interpreter"));
}

#[test]
fn relro_becomes_read_only() {
    let file = sample(Isa::Arm).build();
    let image = UserImage::parse(&file, Isa::Arm).expect("refused");
    let runs: Vec<_> = image
        .mappings()
        .map(|m| (m.offset, m.bytes, m.write, m.execute))
        .collect();
    let expected = [
        (0, 0x2000, false, false),
        (0x2000, 0x2000, false, true),
        (0x4000, 0x1000, false, false),
        (0x5000, 0x4000, true, false),
    ];
    assert_eq!(runs, expected);
    assert_eq!((image.bytes(), image.entry(0x40_0000)), (0x9000, 0x40_2010));
}

/// Whatever passes the checks can also be written out, inside its span.
fn use_up(file: &[u8]) {
    for isa in [Isa::X86, Isa::Arm] {
        if let Ok(image) = UserImage::parse(file, isa) {
            let span = image.bytes();
            let mut put = |at: u64, bytes: &[u8]| assert!(at + bytes.len() as u64 <= span);
            image.write(0x4020_0000, &mut put);
            for m in image.mappings() {
                assert!(!(m.write && m.execute) && m.offset + m.bytes <= span);
            }
        }
        if let Ok(k) = KernelImage::parse(file, isa) {
            assert!(k.note().base_va >= abi::vaddr::IMAGE_SLOT);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn flipped_bits_never_panic(
        arm: bool,
        flips in prop::collection::vec((0usize..0x600, 0u8..8), 1..6),
        cut in prop::option::of(0usize..0x6000),
    ) {
        let mut file = sample(if arm { Isa::Arm } else { Isa::X86 }).build();
        for (at, bit) in flips {
            file[at] ^= 1 << bit;
        }
        file.truncate(cut.unwrap_or(file.len()));
        use_up(&file);
    }

    #[test]
    fn wild_fields_never_panic(
        at in 0usize..0xc0,
        value in prop_oneof![Just(u64::MAX), Just(0), Just(1 << 63), Just(u64::MAX - 0xfff), any::<u64>()],
    ) {
        let mut file = sample(Isa::X86).build();
        // Program headers, dynamic section and relocations.
        for base in [16, 64, 0x130, 0x400, file.len() - 0x50] {
            let mut f = file.clone();
            let end = (base + at + 8).min(f.len());
            let start = (base + at).min(end);
            f[start..end].copy_from_slice(&value.to_le_bytes()[..end - start]);
            use_up(&f);
        }
        file.rotate_left(1);
        use_up(&file);
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        use_up(&bytes);
        let head = sample(Isa::X86).build();
        let n = bytes.len().min(64);
        bytes[..n].copy_from_slice(&head[..n]);
        use_up(&bytes);
    }
}
