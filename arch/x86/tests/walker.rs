//! Tables made of these entries, against a slow walker written from the manual (SDM vol. 3A, 4.5 and 4.6) and a
//! plain list of what is mapped: every access, from user and kernel, in tables of both.

use std::collections::HashMap;

use arch_x86::paging::{
    ENTRIES, LeafRights, ROOT_LEVEL, entry_bytes, index, is_table, is_valid, kernel_table, leaf,
    output, user_table,
};
use proptest::prelude::*;

/// What the processor is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Access {
    Read,
    Write,
    Fetch,
}
use Access::*;

/// Physical memory, word by word.
#[derive(Default)]
struct Memory {
    words: HashMap<u64, u64>,
    tables: u64,
}

impl Memory {
    fn load(&self, at: u64) -> u64 {
        self.words.get(&at).copied().unwrap_or(0)
    }
    fn new_table(&mut self) -> u64 {
        self.tables += 1;
        0x10_0000 + 4096 * self.tables
    }
}

const ROOT: u64 = 0x10_0000;

/// The processor: long mode, CR0.WP, EFER.NXE, SMEP and SMAP set (EFLAGS.AC clear), PAT as reset. Where an access
/// leads and whether through caches, or `None`: a page fault.
fn walk(m: &Memory, va: u64, access: Access, user: bool) -> Option<(u64, bool)> {
    assert_eq!(((va << 16) as i64 >> 16) as u64, va, "a canonical address");
    let (mut writable, mut user_page, mut no_execute) = (true, true, false);
    let mut table = ROOT;
    for (shift, may_be_leaf) in [(39, false), (30, true), (21, true), (12, true)] {
        let entry = m.load(table + 8 * (va >> shift & 0x1ff));
        if entry & 1 == 0 {
            return None;
        }
        assert_ne!(
            entry & 1 << 5,
            0,
            "the processor would set the accessed flag"
        );
        writable &= entry & 2 != 0;
        user_page &= entry & 4 != 0;
        no_execute |= entry >> 63 != 0;
        let address = entry & 0x000f_ffff_ffff_f000;
        let large = entry & 0x80 != 0;
        assert!(may_be_leaf || !large, "reserved in the root");
        if shift != 12 && !large {
            table = address;
            continue;
        }
        let mask = (1_u64 << shift) - 1;
        assert!(shift == 12 || address & mask == 0, "reserved or PAT bits");
        assert!(shift != 12 || !large, "the PAT bit of a page");
        assert_eq!(entry & 0x100, 0, "global");
        assert!(
            entry & 2 == 0 || entry & 0x40 != 0,
            "the processor would set the dirty flag"
        );
        let permitted = match (access, user) {
            (_, true) if !user_page => false,
            // SMAP and SMEP.
            (_, false) if user_page => false,
            (Read, _) => true,
            (Write, _) => writable,
            (Fetch, _) => !no_execute,
        };
        // PAT entry from PWT and PCD: 0 is write-back, 3 uncached.
        let cached = match entry >> 3 & 3 {
            0 => true,
            3 => false,
            other => panic!("PAT entry {other}"),
        };
        return permitted.then_some((address & !mask | va & mask, cached));
    }
    unreachable!("level 0 has no tables")
}

/// Enters a leaf as kernels and loader do; `false`: something is in its way.
fn map(m: &mut Memory, va: u64, level: u32, phys: u64, rights: LeafRights) -> bool {
    let mut table = ROOT;
    for at in (level + 1..=ROOT_LEVEL).rev() {
        let word = table + 8 * index(at, va);
        let entry = m.load(word);
        if !is_valid(entry) {
            let lower = m.new_table();
            let link = if rights.user {
                user_table(lower)
            } else {
                kernel_table(lower)
            };
            m.words.insert(word, link);
            table = lower;
        } else if is_table(at, entry) {
            table = output(entry);
        } else {
            return false;
        }
    }
    let word = table + 8 * index(level, va);
    if is_valid(m.load(word)) {
        return false;
    }
    m.words.insert(word, leaf(level, phys, rights));
    true
}

/// Clears the leaf at `va`.
fn unmap(m: &mut Memory, va: u64) {
    let mut table = ROOT;
    for level in (0..=ROOT_LEVEL).rev() {
        let word = table + 8 * index(level, va);
        if is_table(level, m.load(word)) {
            table = output(m.load(word));
        } else {
            m.words.insert(word, 0);
            return;
        }
    }
}

/// What is mapped: first address, bytes, where to, how.
#[derive(Clone, Copy, Debug)]
struct Mapped {
    va: u64,
    bytes: u64,
    phys: u64,
    rights: LeafRights,
}

/// What an access to `va` must come to.
fn expected(list: &[Mapped], va: u64, access: Access, user: bool) -> Option<(u64, bool)> {
    let hit = list.iter().find(|l| va >= l.va && va - l.va < l.bytes)?;
    let r = hit.rights;
    let permitted = r.user == user
        && match access {
            Read => true,
            Write => r.write,
            Fetch => r.execute && !r.write && !r.device,
        };
    permitted.then_some((hit.phys + (va - hit.va), !r.device))
}

#[derive(Clone, Copy, Debug)]
struct Step {
    map: bool,
    va: u64,
    level: u32,
    phys: u64,
    rights: LeafRights,
}

/// Few places, close together, so that they meet; users below, kernels above.
fn step() -> impl Strategy<Value = Step> {
    let rights = any::<[bool; 4]>().prop_map(|[user, write, execute, device]| LeafRights {
        user,
        write,
        execute,
        device,
    });
    let place = (0..3_u64, 0..3_u64, 0..3_u64, 0..4_u64);
    let phys = 0..1_u64 << 40;
    (prop::bool::weighted(0.75), place, 0..3_u32, phys, rights).prop_map(
        |(map, (a, b, c, d), level, page, rights)| {
            let va = if rights.user {
                a << 39
            } else {
                0xffff_8000_0000_0000 | ((255 - a) << 39)
            };
            let va = va | ((b * 255) << 30) | ((c * 200) << 21) | ((d * 170) << 12);
            Step {
                map,
                va: va & !(entry_bytes(level) - 1),
                level,
                phys: (page << 12) & !(entry_bytes(level) - 1),
                rights,
            }
        },
    )
}

fn compare(m: &Memory, list: &[Mapped], places: &[u64]) {
    for &va in places {
        for access in [Read, Write, Fetch] {
            for user in [true, false] {
                let (got, wanted) = (walk(m, va, access, user), expected(list, va, access, user));
                assert_eq!(got, wanted, "{access:?} at {va:#x}, user: {user}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_mapped_is_what_is_reached(steps in prop::collection::vec(step(), 1..60), inside: u64) {
        let (mut m, mut list) = (Memory::default(), Vec::<Mapped>::new());
        let mut places = vec![0, 0x7fff_ffff_ffff, 0xffff_8000_0000_0000, u64::MAX];
        for s in steps {
            let bytes = entry_bytes(s.level);
            let overlaps = |l: &Mapped| s.va < l.va + (l.bytes - 1) && l.va < s.va + (bytes - 1);
            if s.map {
                let taken = list.iter().any(overlaps);
                let done = map(&mut m, s.va, s.level, s.phys, s.rights);
                prop_assert!(!(done && taken), "two leaves at {:#x}", s.va);
                if done {
                    list.push(Mapped { va: s.va, bytes, phys: s.phys, rights: s.rights });
                }
            } else if let Some(i) = list.iter().position(overlaps) {
                let l = list.swap_remove(i);
                unmap(&mut m, l.va);
            }
            places.extend([s.va, s.va + inside % bytes, s.va + (bytes - 1)]);
            compare(&m, &list, &places);
        }
        prop_assert!(m.words.keys().all(|w| w % 4096 / 8 < ENTRIES));
    }
}
