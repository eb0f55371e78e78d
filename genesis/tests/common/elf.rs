//! Makes ELF files, right ones and wrong ones.

use capfmt::Isa;
use genesis::{elf_machine, relative_relocation};

/// A loadable segment: link address, flags (4 R, 2 W, 1 X), contents, bytes in memory.
#[derive(Clone)]
pub struct Load {
    pub va: u64,
    pub flags: u32,
    pub data: Vec<u8>,
    pub mem: u64,
}

/// An ELF file in parts. The file starts with header and program headers; each segment's
/// contents stand at a file offset congruent to its address.
#[derive(Clone)]
pub struct Elf {
    pub machine: u16,
    pub kind: u16,
    pub entry: u64,
    pub loads: Vec<Load>,
    /// (type, offset, addend), stored in the first segment's contents.
    pub rela: Vec<(u32, u64, i64)>,
    pub note: Vec<u8>,
    pub relro: Option<(u64, u64)>,
    pub extra_dyn: Vec<(u64, u64)>,
    pub interp: bool,
}

const HEADS: u64 = 0x300;
const NOTE: u64 = 0x300;
const RELA: u64 = 0x400;

pub fn note(kind: u32, desc: &[u8]) -> Vec<u8> {
    let mut n = Vec::new();
    for w in [7u32, desc.len() as u32, kind] {
        n.extend(w.to_le_bytes());
    }
    n.extend(b"Nekton\0\0");
    n.extend(desc);
    n.resize(n.len().next_multiple_of(4), 0);
    n
}

pub fn kernel_note(words: [u64; 5]) -> Vec<u8> {
    let desc: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let mut all = note(9, b"of another kind");
    all.extend(note(1, &desc));
    all.extend(note(2, &[0xb1; 20]));
    all.extend(note(3, b"std"));
    all
}

fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i as u8).wrapping_mul(31) ^ seed)
        .collect()
}

/// A file as the linker makes it: constants, code, relocated constants, data with bss.
pub fn sample(isa: Isa) -> Elf {
    let relative = relative_relocation(isa);
    let load = |va, flags, seed, len: usize, mem| Load {
        va,
        flags,
        data: pattern(seed, len),
        mem,
    };
    Elf {
        machine: elf_machine(isa),
        kind: 3,
        entry: 0x2010,
        loads: vec![
            load(0, 4, 1, 0x1234, 0x1234),
            load(0x2000, 5, 2, 0x1801, 0x1801),
            load(0x4000, 6, 3, 0x300, 0x1000),
            load(0x5008, 6, 4, 0x123, 0x3450),
        ],
        rela: vec![
            (relative, 0x4010, 0x2020),
            (relative, 0x4018, 0),
            (relative, 0x5110, 0x5008),
            (relative, 0x5121, 0x2033),
        ],
        note: kernel_note([isa as u64, 1 | 1 << 32, 0b11, 0b111, KERNEL_BASE]),
        relro: Some((0x4000, 0x1000)),
        extra_dyn: vec![],
        interp: false,
    }
}

/// Load address that the sample kernel asks for.
pub const KERNEL_BASE: u64 = abi::vaddr::IMAGE_SLOT + (1 << 30);

impl Elf {
    pub fn build(&self) -> Vec<u8> {
        let mut file = vec![0; HEADS as usize];
        let mut first = self.loads[0].clone();
        put(&mut first.data, NOTE, &self.note);
        let mut rela = Vec::new();
        for (kind, off, addend) in &self.rela {
            rela.extend(off.to_le_bytes());
            rela.extend(u64::from(*kind).to_le_bytes());
            rela.extend(addend.to_le_bytes());
        }
        put(&mut first.data, RELA, &rela);
        let mut heads = Vec::new();
        for (i, l) in self.loads.iter().enumerate() {
            let data = if i == 0 { &first.data } else { &l.data };
            let offset = match i {
                0 => 0,
                _ => (file.len() as u64).next_multiple_of(0x1000) + l.va % 0x1000,
            };
            if i == 0 {
                file.resize(data.len(), 0);
                file[HEADS as usize..].copy_from_slice(&data[HEADS as usize..]);
            } else {
                put(&mut file, offset, data);
            }
            heads.push((1, l.flags, offset, l.va, data.len() as u64, l.mem));
        }
        let note_bytes = self.note.len() as u64;
        heads.push((4, 4, NOTE, NOTE, note_bytes, note_bytes));
        let mut dynamic = vec![(7, RELA), (8, rela.len() as u64), (9, 24)];
        dynamic.extend(&self.extra_dyn);
        dynamic.push((0, 0));
        let bytes: Vec<u8> = dynamic
            .iter()
            .flat_map(|(t, v): &(u64, u64)| [t.to_le_bytes(), v.to_le_bytes()].concat())
            .collect();
        let at = (file.len() as u64).next_multiple_of(16);
        put(&mut file, at, &bytes);
        heads.push((2, 6, at, 0x4000, bytes.len() as u64, bytes.len() as u64));
        if let Some((va, bytes)) = self.relro {
            heads.push((0x6474_e552, 4, 0, va, 0, bytes));
        }
        if self.interp {
            heads.push((3, 4, 0, 0, 1, 1));
        }
        self.write_heads(&mut file, &heads);
        file
    }

    fn write_heads(&self, file: &mut [u8], heads: &[(u32, u32, u64, u64, u64, u64)]) {
        let mut h = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
        h.resize(16, 0);
        h.extend(self.kind.to_le_bytes());
        h.extend(self.machine.to_le_bytes());
        h.extend(1u32.to_le_bytes());
        for w in [self.entry, 64, 0] {
            h.extend(w.to_le_bytes());
        }
        h.extend(0u32.to_le_bytes());
        for w in [64u16, 56, heads.len() as u16, 0, 0, 0] {
            h.extend(w.to_le_bytes());
        }
        for (kind, flags, offset, va, bytes, mem) in heads {
            h.extend(kind.to_le_bytes());
            h.extend(flags.to_le_bytes());
            for w in [*offset, *va, *va, *bytes, *mem, 0x1000] {
                h.extend(w.to_le_bytes());
            }
        }
        assert!(h.len() <= HEADS as usize);
        file[..h.len()].copy_from_slice(&h);
    }

    /// The image as it must stand in memory, loaded at `base`.
    pub fn loaded(&self, base: u64) -> Vec<u8> {
        let last = self.loads.last().expect("a segment");
        let mut image = vec![0; ((last.va + last.mem).next_multiple_of(0x1000)) as usize];
        let file = self.build();
        image[..self.loads[0].data.len()].copy_from_slice(&file[..self.loads[0].data.len()]);
        for l in &self.loads[1..] {
            put(&mut image, l.va, &l.data);
        }
        for (_, off, addend) in &self.rela {
            let value = base.wrapping_add_signed(*addend);
            put(&mut image, *off, &value.to_le_bytes());
        }
        image
    }
}

fn put(to: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let (at, end) = (at as usize, at as usize + bytes.len());
    if to.len() < end {
        to.resize(end, 0);
    }
    to[at..end].copy_from_slice(bytes);
}
