//! Machines whose firmware is damaged boot with what is sound.

use crate::sound::{Own, complete_acpi, complete_tree, no_acpi, no_tree};
use crate::{CoreDescription, Interrupts, MachineDescription, Operation, Refusal, Registry};
use firmware::acpi::{self, Acpi};
use firmware::tree;
use proto::iface::cores::CoreOp;
use skb::collect;
use std::string::{String, ToString};
use std::vec::Vec;

const TABLES: &[u8] = include_bytes!("../../../../boards/qemu-x86/tables.acpi");
const TREE: &[u8] = include_bytes!("../../../../boards/qemu-arm/tree.dtb");

fn pc() -> Own {
    Own {
        hw_id: 0,
        isa_param: [0xfee0_0000, 0xfec0_0000, 0, 0, 0, 0],
    }
}

fn arm() -> Own {
    Own {
        hw_id: 0,
        isa_param: [0x800_0000, 0x80a_0000, 0, 3, 2, 0x900_0000],
    }
}

/// The tables of `qemu-x86` after `damage` to its MADT; length and checksum are made right by
/// `repair`.
fn tables(repair: bool, damage: impl FnOnce(&mut Vec<u8>)) -> Acpi {
    let mut pieces: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut file = TABLES;
    while let Some((head, rest)) = file.split_at_checked(16) {
        let word = |i: usize| u64::from_le_bytes(head[i..i + 8].try_into().expect("8 bytes"));
        let (bytes, rest) = rest.split_at(word(8) as usize);
        pieces.push((word(0), bytes.to_vec()));
        file = rest;
    }
    let mut all = pieces.iter_mut().map(|(_, bytes)| bytes);
    let madt = all.find(|t| t.starts_with(b"APIC")).expect("has it");
    damage(madt);
    if repair {
        let len = (madt.len() as u32).to_le_bytes();
        madt[4..8].copy_from_slice(&len);
        madt[9] = 0;
        madt[9] = madt.iter().fold(0u8, |s, b| s.wrapping_sub(*b));
    }
    acpi::read(pieces[0].0, &mut |at, len| {
        pieces.iter().find_map(|(base, bytes)| {
            let from = usize::try_from(at.checked_sub(*base)?).ok()?;
            Some(bytes.get(from..from + len as usize)?.to_vec())
        })
    })
}

/// That the boot core runs alone, from these tables; what is said of it.
fn alone(mut acpi: Acpi, own: &Own) -> Vec<String> {
    assert!(complete_acpi(&mut acpi, own), "{:?}", acpi.problems);
    let mut d = MachineDescription::from_acpi(&acpi).expect("one core");
    assert!(d.boot_core_first(own.hw_id));
    let ids: Vec<u64> = d.cores.iter().map(|c| c.hw_id).collect();
    assert_eq!(ids, [own.hw_id]);
    assert_eq!(d.interrupts, Interrupts::Apic { local: 0xfee0_0000 });
    let madt = acpi.madt.as_ref().expect("made");
    assert_eq!(madt.io_apics[0].address, 0xfec0_0000);
    assert_eq!((madt.io_apics.len(), madt.io_apics[0].first), (1, 0));
    let facts = collect::from_acpi(&acpi, own.hw_id, None).expect("lists the boot core");
    let cores = facts.asserted.iter().filter(|f| &*f.name == "core");
    assert_eq!(cores.count(), 1);
    acpi.problems.iter().map(ToString::to_string).collect()
}

const NONE: &str = "MADT: local APIC entries: there is none: only the boot core (0x0) is used";
const USUAL: &str = "MADT: I/O APIC entries: there is none: the usual one at 0xfec00000 is used";
const LOCAL: &str = "MADT: local APIC address: zero: 0xfee00000 is used";

#[test]
fn sound_tables_are_left_alone() {
    let mut acpi = tables(true, |_| {});
    let before = acpi.madt.clone();
    assert!(!complete_acpi(&mut acpi, &pc()));
    assert_eq!((acpi.madt, acpi.problems), (before, Vec::new()));
    let mut machine = tree::read(TREE);
    let before = (machine.cores.clone(), machine.controller);
    assert!(!complete_tree(&mut machine, &arm()));
    assert_eq!((machine.cores, machine.controller), before);
    assert_eq!(machine.problems, []);
}

#[test]
fn no_tables_at_all() {
    let said = alone(no_acpi(), &pc());
    let first = "RSDP: address: firmware left no root pointer, so there are no tables";
    assert_eq!(said, [first, NONE, LOCAL, USUAL]);
}

#[test]
fn a_madt_with_a_bad_checksum() {
    let said = alone(tables(false, |t| t[50] ^= 1), &pc());
    assert!(
        said[0].starts_with("MADT: checksum: the sum is 0x"),
        "{said:?}"
    );
    assert_eq!(said[1], "RSDT: entries: none leads to a usable MADT");
    assert_eq!(said[2..], [NONE, LOCAL, USUAL]);
}

#[test]
fn a_truncated_madt() {
    // Within its fixed part; behind it; within the first entry.
    let said = alone(tables(true, |t| t.truncate(38)), &pc());
    let none = "MADT: local APIC entries: none is enabled";
    let short = "MADT: length: 38 is less than 44";
    assert_eq!(said, [short, none, NONE, LOCAL, USUAL]);
    let said = alone(tables(true, |t| t.truncate(44)), &pc());
    assert_eq!(said, [none, NONE, USUAL]);
    let said = alone(tables(true, |t| t.truncate(47)), &pc());
    assert!(said[0].starts_with("MADT: length of entry 0"), "{said:?}");
    assert_eq!(said[1..], [none, NONE, USUAL]);
}

#[test]
fn no_core_is_enabled_or_the_boot_core_is_not_listed() {
    let disable = |t: &mut Vec<u8>| (0..4).for_each(|i| t[44 + 8 * i + 4] = 0);
    let said = alone(tables(true, disable), &pc());
    assert_eq!(said, ["MADT: local APIC entries: none is enabled", NONE]);
    let elsewhere = Own { hw_id: 9, ..pc() };
    let said = alone(tables(true, |_| {}), &elsewhere);
    let why = "MADT: local APIC entries: the boot core (0x9) is none of the 4: only the boot core is used";
    assert_eq!(said, [why]);
}

fn alone_in_tree(mut machine: tree::Machine, own: &Own) -> Vec<String> {
    assert!(complete_tree(&mut machine, own), "{:?}", machine.problems);
    let mut d = MachineDescription::from_tree(&machine).expect("one core");
    assert!(d.boot_core_first(own.hw_id) && d.cores.len() == 1);
    let facts = collect::from_tree(&machine, own.hw_id).expect("lists the boot core");
    assert!(facts.asserted.iter().any(|f| &*f.name == "core"));
    machine.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn trees_without_cores_or_controller() {
    let mut machine = tree::read(TREE);
    machine.cores.clear();
    let none = "device tree: cores in /cpus: there is none: only the boot core (0x0) is used";
    assert_eq!(alone_in_tree(machine, &arm()), [none]);
    let elsewhere = Own { hw_id: 7, ..arm() };
    let why = "device tree: cores in /cpus: the boot core (0x7) is none of the 4: only the boot core is used";
    assert_eq!(alone_in_tree(tree::read(TREE), &elsewhere), [why]);
    let mut machine = tree::read(TREE);
    machine.controller = None;
    assert!(!complete_tree(&mut machine, &arm()));
    let d = MachineDescription::from_tree(&machine).expect("four cores");
    let gic = Interrupts::Gic {
        version: 3,
        distributor: 0x800_0000,
        redistributors: 0x80a_0000,
        redistributor_bytes: 0x2_0000,
        cpu_interface: 0,
    };
    assert_eq!((d.cores.len(), d.interrupts), (4, gic));
    let said = machine.problems[0].to_string();
    let why =
        "device tree: interrupt controller: the one at 0x8000000 is used, which the loader started";
    assert_eq!(said, why);
}

#[test]
fn an_unreadable_tree() {
    let said = alone_in_tree(no_tree(0x4000, "no device tree is"), &arm());
    let first = "device tree: header: no device tree is at 0x4000: nothing of it is used";
    assert_eq!(said[0], first);
    assert_eq!(said.len(), 3, "{said:?}");
}

#[test]
fn other_cores_are_refused_with_the_cause() {
    let d = CoreDescription {
        hw_id: 0,
        node: 0,
        capacity: 1024,
    };
    let mut r = Registry::new(&[d], 1);
    r.use_boot_core_alone();
    for op in [CoreOp::Start, CoreOp::Stop, CoreOp::Update, CoreOp::Recover] {
        let wanted = Operation {
            op,
            core: 3,
            fresh: false,
            pause_ns: 0,
        };
        let refused = r.plan(wanted);
        assert_eq!(refused, Err(Refusal::Alone(3)));
    }
    assert_eq!(r.plan_move(3, 0), Err(Refusal::Alone(3)));
    let why = "core 3 cannot be used: what firmware says of cores is damaged, so core 0 is used alone (log 0 says what is wrong)";
    assert_eq!(Refusal::Alone(3).to_string(), why);
}
