//! What a kernel file says of itself: three ELF notes (plan: "Address spaces … ELF note").

use crate::run::Variant;
use kernel::KernelIdentity;

const OWNER: [u8; 8] = *b"Nekton\0\0";

#[repr(C)]
struct Head {
    name_bytes: u32,
    desc_bytes: u32,
    kind: u32,
    owner: [u8; 8],
}

impl Head {
    const fn new(kind: u32, desc_bytes: usize) -> Head {
        Head {
            name_bytes: genesis::NOTE_NAME.len() as u32,
            desc_bytes: desc_bytes as u32,
            kind,
            owner: OWNER,
        }
    }
}

/// The notes as they stand in the file.
#[repr(C, align(4))]
pub struct Note {
    head: Head,
    words: [[u8; 8]; 5],
    id_head: Head,
    id: [u8; 24],
    name_head: Head,
    name: [u8; 16],
}

/// The notes of a variant.
#[must_use]
pub const fn note<V: Variant>() -> Note {
    let formats = V::FORMATS.0 as u64 | (V::FORMATS.1 as u64) << 32;
    Note {
        head: Head::new(genesis::NOTE_KERNEL, 40),
        words: [
            (capfmt::Isa::Arm as u64).to_le_bytes(),
            formats.to_le_bytes(),
            V::NEEDS.to_le_bytes(),
            arch_arm::fpu::FEATURE_FP_SIMD.to_le_bytes(),
            V::BASE.to_le_bytes(),
        ],
        id_head: Head::new(genesis::NOTE_BUILD_ID, 24),
        id: build_id(V::NAME),
        name_head: Head::new(genesis::NOTE_KERNEL_NAME, 16),
        name: padded(V::NAME),
    }
}

/// Who the running kernel is: the same words as in the notes.
#[must_use]
pub fn identity<V: Variant>() -> KernelIdentity {
    let id = build_id(V::NAME);
    let name: [u8; 16] = padded(V::NAME);
    let word = |b: &[u8], i: usize| {
        let mut w = [0; 8];
        w.copy_from_slice(&b[8 * i..8 * i + 8]);
        u64::from_le_bytes(w)
    };
    KernelIdentity {
        build_id: [word(&id, 0), word(&id, 1), word(&id, 2)],
        name: [word(&name, 0), word(&name, 1)],
        formats: u64::from(V::FORMATS.0) | u64::from(V::FORMATS.1) << 16,
    }
}

const fn padded(name: &str) -> [u8; 16] {
    let name = name.as_bytes();
    let mut out = [0; 16];
    let mut i = 0;
    while i < name.len() {
        out[i] = name[i];
        i += 1;
    }
    out
}

/// Twenty bytes of source hash (NEKTON_BUILD_ID), then four that tell the variants apart (FNV-1a of the name).
const fn build_id(name: &str) -> [u8; 24] {
    let digits = env!("NEKTON_BUILD_ID").as_bytes();
    assert!(
        digits.len() == 40,
        "NEKTON_BUILD_ID is not 40 hexadecimal digits"
    );
    let mut id = [0; 24];
    let mut i = 0;
    while i < 20 {
        id[i] = hex(digits[2 * i]) << 4 | hex(digits[2 * i + 1]);
        i += 1;
    }
    let name = name.as_bytes();
    let mut h = 0x811c_9dc5u32;
    let mut k = 0;
    while k < name.len() {
        h = (h ^ name[k] as u32).wrapping_mul(0x0100_0193);
        k += 1;
    }
    let h = h.to_le_bytes();
    (id[20], id[21], id[22], id[23]) = (h[0], h[1], h[2], h[3]);
    id
}

const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => panic!("NEKTON_BUILD_ID is not hexadecimal"),
    }
}
