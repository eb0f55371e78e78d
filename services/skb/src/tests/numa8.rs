//! `qemu-x86-numa8`: 8 nodes of 2 cores and 256 MiB; a cube, 6 more for each hop.

use super::{NUMA8, apply, ask, check_tree, empty, start_all, take_away, tell};
use crate::collect;
use crate::datalog::{Base, Changes};
use firmware::acpi::Acpi;
use firmware::cpuid::Division;
use std::vec::Vec;

/// The tables of a file like [`NUMA8`], each after `change`.
pub fn tables(mut file: &[u8], change: &mut dyn FnMut(usize, &mut Vec<u8>)) -> Acpi {
    let mut pieces: Vec<(u64, Vec<u8>)> = Vec::new();
    while let Some((head, rest)) = file.split_at_checked(16) {
        let word = |i: usize| u64::from_le_bytes(head[i..i + 8].try_into().expect("8 bytes"));
        let (bytes, rest) = rest.split_at(word(8) as usize);
        let mut bytes = bytes.to_vec();
        change(pieces.len(), &mut bytes);
        pieces.push((word(0), bytes));
        file = rest;
    }
    firmware::acpi::read(pieces[0].0, &mut |at, len| {
        pieces.iter().find_map(|(base, bytes)| {
            let from = usize::try_from(at.checked_sub(*base)?).ok()?;
            Some(bytes.get(from..from.checked_add(len as usize)?)?.to_vec())
        })
    })
}

fn facts(boot: u64, division: Option<Division>) -> Changes {
    let acpi = tables(NUMA8, &mut |_, _| {});
    collect::from_acpi(&acpi, boot, division).expect("lists the boot core")
}

fn machine() -> Base {
    let mut base = empty();
    apply(&mut base, &facts(0, None));
    start_all(&mut base, "x86_64");
    base
}

#[test]
fn cores_nodes_packages() {
    let b = machine();
    assert_eq!(ask(&b, "answer(count(C)) :- core(C, _)"), "16");
    assert_eq!(ask(&b, "core_node(5, N)"), "2");
    assert_eq!(ask(&b, "answer(count(N)) :- node_cores(N, 2)"), "8");
    assert_eq!(ask(&b, "packages(N)"), "8");
    assert_eq!(ask(&b, "package(13, P)"), "6");
    assert_eq!(
        ask(&b, "node_memory(N, B), N < 2"),
        "0 268042240, 1 268435456"
    );
    assert_eq!(
        ask(&b, "interrupt_controller(K, B), K = io_apic"),
        "io_apic 4273995776"
    );
    assert_eq!(ask(&b, "pci_segment(G, F, L, B)"), "0 0 255 2952790016");
    // What the processors say goes before what the nodes suggest.
    let mut b = empty();
    let two_nodes_each = Division {
        thread_bits: 1,
        package_bits: 2,
    };
    apply(&mut b, &facts(0, Some(two_nodes_each)));
    assert_eq!(ask(&b, "packages(N)"), "4");
    assert_eq!(ask(&b, "package(13, P)"), "3");
    assert_eq!(
        ask(&b, "core_unit(A, U), core_unit(B, U), A < B, B < 4"),
        "0 0 1, 2 1 3"
    );
}

#[test]
fn features_are_facts() {
    let mut b = machine();
    let words = firmware::cpuid::FeatureWords {
        leaf1_ecx: 1 << 21,
        leaf7_ebx: 1 << 7,
        ..Default::default()
    };
    let mut facts = Changes::default();
    let is = firmware::processor::Processor {
        vendor: "GenuineIntel".into(),
        family: 6,
        model: 85,
        revision: 4,
        features: words,
        division: None,
    };
    collect::processor(3, &is, &mut facts);
    apply(&mut b, &facts);
    assert_eq!(ask(&b, "feature(3, F)"), "\"smep\", \"x2apic\"");
    assert_eq!(
        ask(&b, "processor(3, V, F, M, R)"),
        "\"GenuineIntel\" 6 85 4"
    );
    take_away(&mut b, 3);
    assert_eq!(ask(&b, "feature(C, F)"), "");
}

#[test]
fn the_boot_core_is_core_0() {
    let mut b = empty();
    apply(&mut b, &facts(5, None));
    assert_eq!(
        ask(&b, "core(C, H), C < 7"),
        "0 5, 1 0, 2 1, 3 2, 4 3, 5 4, 6 6"
    );
    let acpi = tables(NUMA8, &mut |_, _| {});
    assert!(collect::from_acpi(&acpi, 99, None).is_none());
}

#[test]
fn nearest_memory() {
    let mut b = machine();
    assert_eq!(ask(&b, "nearest_memory(C, N), core_node(C, M), N != M"), "");
    assert_eq!(
        ask(&b, "distance(0, N, D)"),
        "0 10, 1 16, 2 16, 3 22, 4 16, 5 22, 6 22, 7 28"
    );
    tell(&mut b, &["memory(_, _, 3)"], "");
    assert_eq!(ask(&b, "nearest_memory(6, N)"), "1");
    assert_eq!(ask(&b, "memory_distance(6, N, 16)"), "1, 2, 7");
    // Out of reach is out of reach, and where nobody says it is 20.
    tell(
        &mut b,
        &["node_distance(3, 1, _)", "node_distance(3, 2, _)"],
        "node_distance(3, 1, 255).",
    );
    assert_eq!(ask(&b, "nearest_memory(6, N)"), "7");
    assert_eq!(ask(&b, "memory_distance(6, 2, D)"), "20");
}

#[test]
fn a_tree_from_every_core() {
    let b = machine();
    assert_eq!(ask(&b, "multicast(0, 0, C)"), "1, 2, 4, 6, 8, 10, 12, 14");
    assert_eq!(ask(&b, "multicast(0, 6, C)"), "7");
    assert_eq!(ask(&b, "multicast(7, 7, C)"), "0, 2, 4, 6, 8, 10, 12, 14");
    assert_eq!(ask(&b, "multicast_cost(0, 0, 14, D)"), "28");
    for root in 0..16 {
        check_tree(&b, root);
    }
}

#[test]
fn a_tree_follows_measurements() {
    let mut b = machine();
    tell(&mut b, &[], "latency(0, 4, 900). latency(0, 6, 900).");
    assert_eq!(
        ask(&b, "multicast(0, 0, C), C < 8"),
        "1, 2, 4, 6",
        "half a group says nothing"
    );
    tell(&mut b, &[], "latency(0, 5, 700).");
    assert_eq!(ask(&b, "multicast(0, 0, C), C < 8"), "1, 2, 5, 6");
    assert_eq!(ask(&b, "multicast(0, 5, C)"), "4");
    check_tree(&b, 0);
    take_away(&mut b, 5);
    assert_eq!(ask(&b, "multicast(0, 0, C), C < 8"), "1, 2, 4, 6");
    assert_eq!(ask(&b, "latency(0, C, _)"), "4, 6");
}

#[test]
fn a_core_is_taken_away_and_comes_back() {
    let mut b = machine();
    let before = ask(&b, "multicast(R, F, T)");
    take_away(&mut b, 4);
    assert_eq!(ask(&b, "core(4, H)"), "");
    assert_eq!(ask(&b, "core_node(C, 2)"), "5");
    assert_eq!(ask(&b, "node_cores(2, N)"), "1");
    assert_eq!(ask(&b, "multicast(0, 0, C)"), "1, 2, 5, 6, 8, 10, 12, 14");
    assert_eq!(ask(&b, "multicast(4, F, T)"), "");
    assert_eq!(ask(&b, "boot_driver(4, D)"), "");
    for root in [0, 1, 5, 15] {
        check_tree(&b, root);
    }
    take_away(&mut b, 5);
    assert_eq!(ask(&b, "packages(N)"), "7");
    assert_eq!(
        ask(&b, "nearest_memory(6, N)"),
        "3",
        "memory stays without its cores"
    );
    assert_eq!(ask(&b, "node(2), node_memory(2, B)"), "268435456");
    apply(&mut b, &facts(0, None));
    tell(&mut b, &[], "running(4, 20). running(5, 21).");
    assert_eq!(ask(&b, "multicast(R, F, T)"), before);
    // Only stopped: it is known, and can be started again.
    tell(&mut b, &["running(4, _)"], "");
    assert_eq!(ask(&b, "multicast(0, _, 4)"), "");
    assert_eq!(ask(&b, "startable(C)"), "4");
}

#[test]
fn kernels_and_boot_drivers() {
    let mut b = machine();
    assert_eq!(ask(&b, "boot_driver(3, D)"), "\"bootdrv-x86-sipi\"");
    assert_eq!(ask(&b, "kernel(3, K)"), "\"std\"");
    assert_eq!(ask(&b, "kernel(C, K), K != \"std\""), "");
    tell(
        &mut b,
        &[],
        "kernel_wish(3, \"rt\"). kernel_wish(4, \"none\").",
    );
    assert_eq!(ask(&b, "kernel(3, K)"), "\"rt\"");
    assert_eq!(
        ask(&b, "kernel(4, K)"),
        "\"std\"",
        "there is no such kernel"
    );
    tell(
        &mut b,
        &["kernel_image(_, _)"],
        "kernel_image(\"std\", aarch64).",
    );
    assert_eq!(ask(&b, "kernel(3, K)"), "", "none for this ISA");
    assert_eq!(ask(&b, "startable(C)"), "");
}

#[test]
fn where_drivers_run() {
    let mut b = machine();
    tell(
        &mut b,
        &[],
        "device(nic0, e1000e). device(nic1, e1000e). device(disk0, nvme). device(com1, uart).
         device_node(nic0, 3). device_node(nic1, 3). device_node(disk0, 3).
         driver_program(e1000e, \"e1000e\"). driver_program(uart, \"console-16550\").",
    );
    assert_eq!(ask(&b, "driver_core(nic0, C)"), "6");
    assert_eq!(ask(&b, "driver_core(disk0, C)"), "", "nobody drives it");
    assert_eq!(ask(&b, "driver_core(com1, C)"), "0");
    tell(&mut b, &[], "placed(nic0, 6).");
    assert_eq!(
        ask(&b, "driver_core(nic0, C)"),
        "6",
        "it is not in its own way"
    );
    assert_eq!(ask(&b, "driver_core(nic1, C)"), "7");
    tell(&mut b, &[], "reserved(7).");
    assert_eq!(ask(&b, "driver_core(nic1, C)"), "6");
    take_away(&mut b, 6);
    assert_eq!(ask(&b, "driver_core(nic1, C), core_node(C, N)"), "2 1");
    assert_eq!(ask(&b, "placed(D, C)"), "");
}

#[test]
fn sixty_four_cores_fit_the_limits() {
    let mut b = empty();
    let mut changes = Changes::default();
    changes.assert_text("isa(x86_64).").expect("a fact");
    for core in 0..64u32 {
        changes.assert("core", &[core.into(), core.into()]);
        changes.assert("core_domain", &[core.into(), (core / 8).into()]);
        changes.assert("running", &[core.into(), (core + 1).into()]);
        for other in 0..64u32 {
            changes.assert(
                "latency",
                &[core.into(), other.into(), (300 + other).into()],
            );
        }
    }
    let work = b.apply(&changes).expect("fits the limits").work;
    assert!(work.steps < 1_000_000 && work.bytes < 16 << 20, "{work:?}");
    for root in [0, 31, 63] {
        check_tree(&b, root);
    }
    let stop = Changes {
        withdrawn: b.about("Core", &17u32.into()),
        ..Changes::default()
    };
    let work = b.apply(&stop).expect("fits the limits").work;
    assert!(work.steps < 1_000_000 && work.bytes < 24 << 20, "{work:?}");
}
