//! What a kernel file says of itself: three ELF notes (plan: "Address spaces … ELF note").

use crate::run::Variant;
use kernel::KernelIdentity;

const OWNER: [u8; 8] = *b"Nekton\0\0";

#[derive(Clone, Copy)]
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
#[derive(Clone, Copy)]
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

impl Note {
    /// What stands in the running image, which need not be what was compiled: test kernels get their names later.
    fn read(&'static self) -> Note {
        // SAFETY: a reference to a static, whose bytes nobody writes while the image runs.
        unsafe { core::ptr::from_ref(self).read_volatile() }
    }

    /// The kernel's name, zero padded.
    #[must_use]
    pub fn name(&'static self) -> [u8; 16] {
        self.read().name
    }

    /// Who the running kernel is.
    #[must_use]
    pub fn identity(&'static self) -> KernelIdentity {
        let Note {
            words, id, name, ..
        } = self.read();
        let word = |b: &[u8], i: usize| {
            let mut w = [0; 8];
            w.copy_from_slice(&b[8 * i..8 * i + 8]);
            u64::from_le_bytes(w)
        };
        let formats = u64::from_le_bytes(words[1]);
        KernelIdentity {
            build_id: [word(&id, 0), word(&id, 1), word(&id, 2)],
            name: [word(&name, 0), word(&name, 1)],
            formats: formats & 0xffff | formats >> 32 << 16,
        }
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

/// Twenty bytes of source hash (NEKTON_BUILD_ID), then four that tell the variants apart.
const fn build_id(name: &str) -> [u8; 24] {
    let digits = env!("NEKTON_BUILD_ID").as_bytes();
    assert!(
        digits.len() == 2 * genesis::VARIANT_AT,
        "NEKTON_BUILD_ID is not 40 hexadecimal digits"
    );
    let mut id = [0; 24];
    let mut i = 0;
    while i < genesis::VARIANT_AT {
        id[i] = hex(digits[2 * i]) << 4 | hex(digits[2 * i + 1]);
        i += 1;
    }
    [id[20], id[21], id[22], id[23]] = genesis::variant_digest(name.as_bytes());
    id
}

const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => panic!("NEKTON_BUILD_ID is not hexadecimal"),
    }
}
