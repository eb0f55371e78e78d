//! ACPI.

use super::blobs::{Memory, NUMA8};
use crate::acpi::{Acpi, Segment};
use crate::cpuid::{Division, FeatureWords, Subleaf};
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;

fn problems(acpi: &Acpi) -> Vec<String> {
    acpi.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn eight_nodes() {
    let acpi = Memory::of(NUMA8).acpi();
    assert_eq!(problems(&acpi), [""; 0]);
    let madt = acpi.madt.expect("has it");
    let ids: Vec<u32> = madt.cores.iter().map(|c| c.hw_id).collect();
    assert_eq!(ids, (0..16).collect::<Vec<u32>>());
    assert_eq!(madt.local_apic, 0xfee0_0000);
    assert_eq!(madt.io_apics.len(), 1);
    assert_eq!(madt.io_apics[0].address, 0xfec0_0000);
    assert!(
        madt.overrides
            .iter()
            .any(|o| (o.source, o.global) == (0, 2))
    );
    let srat = acpi.srat.expect("has it");
    assert!(srat.cores.iter().all(|(id, domain)| *domain == id / 2));
    assert_eq!(srat.cores.len(), 16);
    let bytes = |d| {
        srat.memory
            .iter()
            .filter(move |m| m.domain == d)
            .map(|m| m.bytes)
    };
    for domain in 1..8 {
        assert_eq!(bytes(domain).sum::<u64>(), 256 << 20);
    }
    // The first one has the hole below 1 MiB.
    assert_eq!(bytes(0).sum::<u64>(), (256 << 20) - (384 << 10));
    let slit = acpi.slit.expect("has it");
    assert_eq!(slit.domains, 8);
    assert_eq!(slit.distance(0, 0), Some(10));
    assert_eq!(slit.distance(1, 5), Some(16));
    assert_eq!(slit.distance(0, 7), Some(28));
    assert_eq!(slit.distance(0, 8), None);
    let segment = Segment {
        base: 0xb000_0000,
        group: 0,
        first: 0,
        last: 255,
    };
    assert_eq!(acpi.mcfg, [segment]);
}

#[test]
fn a_wrong_checksum_costs_one_table() {
    let mut m = Memory::of(NUMA8);
    m.table(b"SRAT")[100] ^= 1;
    let acpi = m.acpi();
    assert!(acpi.srat.is_none() && acpi.slit.is_some());
    assert_eq!(acpi.madt.as_ref().map(|t| t.cores.len()), Some(16));
    let said = problems(&acpi);
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with("SRAT: checksum: the sum is 0x"),
        "{said:?}"
    );
}

#[test]
fn fields_are_named() {
    let mut m = Memory::of(NUMA8);
    // Entry 1 takes the id of entry 0, entry 2 is disabled, entry 3 ends the table early.
    let madt = m.table(b"APIC");
    madt[44 + 8 + 3] = 0;
    madt[44 + 16 + 4] = 0;
    madt[44 + 24 + 1] = 1;
    m.repair(b"APIC");
    // The second core's node; a distance.
    m.table(b"SRAT")[48 + 16 + 3] = 0;
    m.table(b"SRAT")[48 + 16 + 2] = 7;
    m.repair(b"SRAT");
    m.table(b"SLIT")[44 + 1] = 9;
    m.table(b"SLIT")[44] = 11;
    m.repair(b"SLIT");
    let buses = m.table(b"MCFG");
    (buses[54], buses[55]) = (9, 3);
    m.repair(b"MCFG");
    let acpi = m.acpi();
    assert_eq!(
        problems(&acpi),
        [
            "MADT: length of entry 3 (at byte 68): 1, with 172 bytes left: the rest is not read",
            "MADT: APIC id of entry 1: 0x0 is listed before: left out",
            "SRAT: proximity domain of entry 1: 7 for APIC id 0x0, which is on 0: left out",
            "SLIT: distance from 0 to 0: 11, but 10 is local: left out",
            "SLIT: distance from 0 to 1: 9, less than 10: left out",
            "MCFG: bus numbers of entry 0: 9 to 3: left out",
        ]
    );
    assert_eq!(acpi.madt.map(|t| t.cores.len()), Some(1));
    let slit = acpi.slit.expect("mostly sound");
    assert_eq!((slit.distance(0, 1), slit.distance(1, 0)), (None, Some(16)));
}

#[test]
fn no_cores_and_too_many_domains() {
    let mut m = Memory::of(NUMA8);
    m.table(b"APIC").truncate(44);
    m.repair(b"APIC");
    m.table(b"SLIT")[36..44].copy_from_slice(&u64::MAX.to_le_bytes());
    m.repair(b"SLIT");
    assert_eq!(
        problems(&m.acpi()),
        [
            "MADT: local APIC entries: none is enabled",
            "SLIT: number of localities: 18446744073709551615 do not fit a table of 108 bytes",
        ]
    );
}

#[test]
fn what_comes_twice_is_counted_once() {
    let mut m = Memory::of(NUMA8);
    // Three more I/O APICs: one with the id of the first, one at its address, one with its
    // interrupts; and one that is sound.
    for io in [
        [0u8, 0, 0, 0xd0, 0xfe, 24],
        [1, 0, 0, 0xc0, 0xfe, 24],
        [2, 0, 0, 0xd1, 0xfe, 0],
        [3, 0, 0, 0xd2, 0xfe, 24],
    ] {
        let [id, a, b, c, d, first] = io;
        let entry = [1, 12, id, 0, a, b, c, d, first, 0, 0, 0];
        m.table(b"APIC").extend_from_slice(&entry);
    }
    m.repair(b"APIC");
    // The same buses again, some of them, and those of another group.
    for (group, first, last) in [(0u8, 0u8, 255u8), (0, 16, 31), (1, 16, 31)] {
        let mut entry = [0; 16];
        entry[..4].copy_from_slice(&0xc000_0000u32.to_le_bytes());
        (entry[8], entry[10], entry[11]) = (group, first, last);
        m.table(b"MCFG").extend_from_slice(&entry);
    }
    m.repair(b"MCFG");
    let acpi = m.acpi();
    let said = problems(&acpi);
    let numbered = |text: &str| said.iter().any(|s| s.ends_with(text));
    assert!(
        numbered(": 0x0 is another I/O APIC's, too: left out"),
        "{said:?}"
    );
    assert!(numbered(
        ": 0xfec00000 is another I/O APIC's, too: left out"
    ));
    assert!(said[0].starts_with("MADT: I/O APIC id of entry "));
    assert!(said[1].starts_with("MADT: I/O APIC address of entry "));
    assert!(said[2].starts_with("MADT: I/O APIC first interrupt of entry "));
    let buses = [
        "MCFG: bus numbers of entry 1: 0 to 255 of group 0 overlap 0 to 255 of an entry before: left out",
        "MCFG: bus numbers of entry 2: 16 to 31 of group 0 overlap 0 to 255 of an entry before: left out",
    ];
    assert_eq!(said[3..], buses);
    let addresses: Vec<u64> = acpi
        .madt
        .iter()
        .flat_map(|t| t.io_apics.iter().map(|a| a.address))
        .collect();
    assert_eq!(addresses, [0xfec0_0000, 0xfed2_0000]);
    let groups: Vec<u16> = acpi.mcfg.iter().map(|s| s.group).collect();
    assert_eq!(groups, [0, 1]);
}

/// An SRAT entry about memory.
fn memory(domain: u32, base: u64, bytes: u64) -> Vec<u8> {
    let mut e = std::vec![0; 40];
    (e[0], e[1], e[28]) = (1, 40, 1);
    e[2..6].copy_from_slice(&domain.to_le_bytes());
    e[8..16].copy_from_slice(&base.to_le_bytes());
    e[16..24].copy_from_slice(&bytes.to_le_bytes());
    e
}

/// The memory that a SRAT of these entries gives, and what is wrong with it.
fn srat_of(entries: &[(u32, u64, u64)]) -> (Vec<(u32, u64, u64)>, Vec<String>) {
    let mut m = Memory::of(NUMA8);
    let table = m.table(b"SRAT");
    table.truncate(48);
    for (domain, base, bytes) in entries {
        table.extend(memory(*domain, *base, *bytes));
    }
    m.repair(b"SRAT");
    let acpi = m.acpi();
    let found = acpi.srat.iter().flat_map(|s| &s.memory);
    let found = found.map(|r| (r.domain, r.base, r.bytes)).collect();
    (found, problems(&acpi))
}

#[test]
fn memory_of_a_domain_is_counted_once() {
    let (found, said) = srat_of(&[
        (0, 10, 10),
        (0, 40, 10),
        (0, 0, 60),
        (0, 10, 10),
        (1, 60, 5),
    ]);
    let parts = [
        (0, 10, 10),
        (0, 40, 10),
        (0, 0, 10),
        (0, 20, 20),
        (0, 50, 10),
        (1, 60, 5),
    ];
    assert_eq!(found, parts);
    let twice = [
        "SRAT: base address of entry 2: 0x0..0x3c overlaps 0xa..0x14 of the same domain: counted once",
        "SRAT: base address of entry 3: 0xa..0x14 overlaps 0xa..0x14 of the same domain: counted once",
    ];
    assert_eq!(said, twice);
    let (found, said) = srat_of(&[(0, 0, 8), (1, 4, 8)]);
    assert_eq!(found, [(0, 0, 8)]);
    let why = "SRAT: base address of entry 1: 0x4..0xc overlaps memory of domain 0: left out";
    assert_eq!(said, [why]);
}

#[test]
fn a_short_srat_is_told() {
    let mut m = Memory::of(NUMA8);
    m.table(b"SRAT").truncate(47);
    m.repair(b"SRAT");
    let acpi = m.acpi();
    assert_eq!(problems(&acpi), ["SRAT: length: 47 is less than 48"]);
    assert_eq!(acpi.srat, Some(crate::acpi::Srat::default()));
}

proptest! {
    /// Byte by byte: who is first has it, and nobody has it twice.
    #[test]
    fn memory_is_whose_it_was_first(entries in prop::collection::vec((0u32..2, 0u64..40, 1u64..12), 0..12)) {
        let mut owners = [None; 64];
        for (domain, base, bytes) in &entries {
            let range = *base as usize..(base + bytes) as usize;
            if owners[range.clone()].iter().any(|o| o.is_some_and(|o| o != *domain)) {
                continue;
            }
            owners[range].fill(Some(*domain));
        }
        let mut found = [None; 64];
        for (domain, base, bytes) in srat_of(&entries).0 {
            for byte in &mut found[base as usize..(base + bytes) as usize] {
                prop_assert!(byte.replace(domain).is_none(), "twice");
            }
        }
        prop_assert_eq!(found, owners);
    }
}

#[test]
fn pointers_that_lead_back_end() {
    let mut m = Memory::of(NUMA8);
    let root = m.0[1].0 as u32;
    let list = m.table(b"RSDT");
    let fourth: [u8; 4] = list[36 + 12..36 + 16].try_into().expect("4 bytes");
    list[36..40].copy_from_slice(&root.to_le_bytes());
    list[40..44].copy_from_slice(&fourth);
    list[44..48].copy_from_slice(&[0; 4]);
    m.repair(b"RSDT");
    let acpi = m.acpi();
    let said = problems(&acpi);
    assert_eq!(
        said[0],
        std::format!("RSDT: entry 0: it points back to a root table at {root:#x}")
    );
    assert_eq!(said[1], "RSDT: entry 2: it is zero");
    assert!(said[2].contains("entry 3: it points to 0x") && said[2].ends_with("before does"));
    assert!(acpi.madt.is_none() && acpi.slit.is_some());
}

#[test]
fn the_root_pointer() {
    let mut m = Memory::of(NUMA8);
    m.0[0].1[8] ^= 1;
    assert!(problems(&m.acpi())[0].starts_with("RSDP: checksum"));
    m.0[0].1[0] = 0;
    assert!(problems(&m.acpi())[0].starts_with("RSDP: signature"));
    m.0[0].1.clear();
    assert!(problems(&m.acpi())[0].starts_with("RSDP: address"));
    // Revision 2 with an unusable extension: the older list is used.
    let mut m = Memory::of(NUMA8);
    let root = &mut m.0[0].1;
    root[8] = root[8].wrapping_sub(2);
    root[15] = 2;
    assert_eq!(
        problems(&m.acpi()),
        ["RSDP: extended checksum: wrong: the RSDT is used"]
    );
    assert!(m.acpi().madt.is_some());
    // And with a usable one.
    let list = m.table(b"RSDT").clone();
    let mut long = list[..36].to_vec();
    long[..4].copy_from_slice(b"XSDT");
    for pointer in list[36..].chunks(4) {
        long.extend_from_slice(pointer);
        long.extend_from_slice(&[0; 4]);
    }
    m.0.push((0x9000_0000_0000, long));
    m.repair(b"XSDT");
    let root = &mut m.0[0].1;
    root.extend_from_slice(&[36, 0, 0, 0]);
    root.extend_from_slice(&0x9000_0000_0000u64.to_le_bytes());
    root.extend_from_slice(&[0; 4]);
    let sum = root[20..].iter().fold(0u8, |s, b| s.wrapping_sub(*b));
    root[32] = sum;
    assert_eq!(problems(&m.acpi()), [""; 0]);
    m.table(b"RSDT").clear();
    assert_eq!(m.acpi().madt.map(|t| t.cores.len()), Some(16));
}

#[test]
fn ids_are_divided() {
    let leaf = |eax, kind: u32| Subleaf {
        eax,
        ecx: kind << 8,
    };
    let d = Division::of(&[leaf(1, 1), leaf(4, 2), leaf(0, 0)]).expect("two levels");
    assert_eq!((d.thread_bits, d.package_bits), (1, 4));
    assert_eq!((d.package(0x23), d.core(0x23)), (2, 0x11));
    assert_eq!(Division::of(&[leaf(0, 0)]), None);
    assert_eq!(
        Division::of(&[leaf(4, 1), leaf(1, 2)]),
        None,
        "shrinking levels"
    );
}

#[test]
fn features_have_names() {
    let words = FeatureWords {
        leaf1_ecx: 1 << 21 | 1 << 3 | 1 << 2,
        leaf1_edx: 1 << 9,
        leaf7_ebx: 1 << 20,
    };
    let names: Vec<&str> = words.names().collect();
    assert_eq!(names, ["monitor", "x2apic", "apic", "smap"]);
    assert_eq!(FeatureWords::default().names().count(), 0);
}

fn damage() -> impl Strategy<Value = (usize, prop::sample::Index, Vec<u8>)> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..5),
        Just([0u8; 8].to_vec()),
        Just([0xffu8; 8].to_vec()),
    ];
    (0..9usize, any::<prop::sample::Index>(), bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    /// Damage is survived; with the checksums made right again, so that it gets through.
    #[test]
    fn damaged_tables_are_read(
        damage in prop::collection::vec(damage(), 1..4),
        cut in prop::option::weighted(0.2, (1..9usize, any::<prop::sample::Index>())),
        repair in prop::bool::weighted(0.8),
    ) {
        let mut m = Memory::of(NUMA8);
        for (table, at, bytes) in damage {
            let table = &mut m.0[table].1;
            let at = at.index(table.len());
            let end = table.len().min(at + bytes.len());
            table[at..end].copy_from_slice(&bytes[..end - at]);
        }
        if let Some((table, at)) = cut {
            let len = at.index(m.0[table].1.len());
            m.0[table].1.truncate(len);
        }
        if repair {
            let first = &mut m.0[0].1;
            first[8] = 0;
            first[8] = first.iter().fold(0u8, |s, b| s.wrapping_sub(*b));
            for (_, table) in &mut m.0[1..] {
                if table.len() >= 36 {
                    table[9] = 0;
                    table[9] = table.iter().fold(0u8, |s, b| s.wrapping_sub(*b));
                }
            }
        }
        let acpi = m.acpi();
        if let Some(srat) = &acpi.srat {
            prop_assert!(srat.memory.iter().all(|r| r.base.checked_add(r.bytes).is_some()));
        }
        if let Some(madt) = &acpi.madt {
            let mut ids: Vec<u32> = madt.cores.iter().map(|c| c.hw_id).collect();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), madt.cores.len());
        }
        let sound = acpi.madt.is_some_and(|t| !t.cores.is_empty());
        prop_assert!(sound || !acpi.problems.is_empty(), "cores are lost without a word");
    }
}
