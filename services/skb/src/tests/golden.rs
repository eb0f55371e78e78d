//! The same questions to every board, with every core running, and with one taken away.

use super::{BIG_LITTLE, NUMA8, apply, ask, check_tree, empty, start_all, take_away, tell};
use crate::collect;
use crate::datalog::{Base, Changes};
use std::vec::Vec;

/// What QEMU's firmware left on `qemu-x86` (format: `firmware`'s tests).
const X86: &[u8] = include_bytes!("../../../../boards/qemu-x86/tables.acpi");
/// The device tree of `qemu-arm`, as QEMU hands it over, without the room behind it.
const ARM: &[u8] = include_bytes!("../../../../boards/qemu-arm/tree.dtb");

/// Where the boot driver and kernels come from, and the console.
const ARCHIVE: [&str; 3] = ["kernel/std", "bin/console-16550", "bin/console-pl011"];

fn machine(mut facts: Changes, console: &str) -> Base {
    collect::archive(ARCHIVE.into_iter(), &mut facts);
    let mut base = empty();
    apply(&mut base, &facts);
    let isa = ask(&base, "isa(I)");
    start_all(&mut base, &isa);
    tell(
        &mut base,
        &[],
        &std::format!("device(console0, {console})."),
    );
    base
}

fn acpi(file: &[u8]) -> Base {
    let tables = super::numa8::tables(file, &mut |_, _| {});
    assert_eq!(tables.problems, []);
    let facts = collect::from_acpi(&tables, 0, None);
    machine(facts.expect("lists the boot core"), "ns16550")
}

fn tree(blob: &[u8]) -> Base {
    let tree = firmware::tree::read(blob);
    assert_eq!(tree.problems, []);
    let facts = collect::from_tree(&tree, 0);
    machine(facts.expect("lists the boot core"), "pl011")
}

const CORES: &str = "answer(count(C)) :- core(C, _).";
const PACKAGES: &str = "answer(P, count(C)) :- package(C, P).";
const NODES: &str = "answer(N, count(C)) :- core_node(C, N).";
/// Cores whose nearest memory is on another node than theirs.
const FAR: &str = "nearest_memory(C, N), not core_node(C, N)";
const NEAREST: &str = "nearest_memory(2, N)";
/// Of cores that stay when another one is taken away, and of one that is.
const NEAREST_3: &str = "nearest_memory(3, N)";
const NEAREST_4: &str = "nearest_memory(4, N)";
const TREE: &str = "multicast(0, F, T)";
const TREE_3: &str = "multicast(3, F, T)";
const START: &str = "answer(D, K, count(C)) :- boot_driver(C, D), kernel(C, K).";
const CONSOLE: &str = "driver(console0, P), driver_core(console0, C)";

fn check(base: &Base, expected: &[(&str, &str)]) {
    let found: Vec<_> = expected.iter().map(|(q, _)| (*q, ask(base, q))).collect();
    let found: Vec<(&str, &str)> = found.iter().map(|(q, a)| (*q, a.as_str())).collect();
    assert_eq!(found, expected);
    for root in [0, 3] {
        check_tree(base, root);
    }
}

#[test]
fn qemu_x86() {
    let mut b = acpi(X86);
    let before = [
        (CORES, "4"),
        (PACKAGES, "0 2, 1 2"),
        (NODES, "0 2, 1 2"),
        (FAR, ""),
        (NEAREST, "1"),
        (TREE, "0 1, 0 2, 2 3"),
        (TREE_3, "0 1, 3 0, 3 2"),
        (START, "\"bootdrv-x86-sipi\" \"std\" 4"),
        (CONSOLE, "\"console-16550\" 0"),
    ];
    check(&b, &before);
    take_away(&mut b, 2);
    let after = [
        (CORES, "3"),
        (PACKAGES, "0 2, 1 1"),
        (NODES, "0 2, 1 1"),
        (FAR, ""),
        (NEAREST, ""),
        (NEAREST_3, "1"),
        (TREE, "0 1, 0 3"),
        (TREE_3, "0 1, 3 0"),
        (START, "\"bootdrv-x86-sipi\" \"std\" 3"),
        (CONSOLE, "\"console-16550\" 0"),
    ];
    check(&b, &after);
    tell(&mut b, &[], "reserved(0).");
    check(&b, &[(CONSOLE, "\"console-16550\" 1")]);
}

#[test]
fn qemu_arm() {
    let mut b = tree(ARM);
    let before = [
        (CORES, "4"),
        (PACKAGES, "0 4"),
        (NODES, "0 4"),
        (FAR, ""),
        (NEAREST, "0"),
        (TREE, "0 1, 0 2, 0 3"),
        (TREE_3, "3 0, 3 1, 3 2"),
        (START, "\"bootdrv-arm-psci\" \"std\" 4"),
        (CONSOLE, "\"console-pl011\" 0"),
    ];
    check(&b, &before);
    take_away(&mut b, 2);
    let after = [
        (CORES, "3"),
        (PACKAGES, "0 3"),
        (NODES, "0 3"),
        (FAR, ""),
        (NEAREST, ""),
        (NEAREST_3, "0"),
        (TREE, "0 1, 0 3"),
        (TREE_3, "3 0, 3 1"),
        (START, "\"bootdrv-arm-psci\" \"std\" 3"),
        (CONSOLE, "\"console-pl011\" 0"),
    ];
    check(&b, &after);
    tell(&mut b, &[], "reserved(0).");
    check(&b, &[(CONSOLE, "\"console-pl011\" 1")]);
}

#[test]
fn qemu_x86_numa8() {
    let mut b = acpi(NUMA8);
    let two_each = "0 2, 1 2, 2 2, 3 2, 4 2, 5 2, 6 2, 7 2";
    let before = [
        (CORES, "16"),
        (PACKAGES, two_each),
        (NODES, two_each),
        (FAR, ""),
        (NEAREST, "1"),
        (
            TREE,
            "0 1, 0 2, 0 4, 0 6, 0 8, 0 10, 0 12, 0 14, \
             2 3, 4 5, 6 7, 8 9, 10 11, 12 13, 14 15",
        ),
        (
            TREE_3,
            "0 1, 3 0, 3 2, 3 4, 3 6, 3 8, 3 10, 3 12, 3 14, \
             4 5, 6 7, 8 9, 10 11, 12 13, 14 15",
        ),
        (START, "\"bootdrv-x86-sipi\" \"std\" 16"),
        (CONSOLE, "\"console-16550\" 0"),
    ];
    check(&b, &before);
    take_away(&mut b, 4);
    take_away(&mut b, 5);
    let after = [
        (CORES, "14"),
        (PACKAGES, "0 2, 1 2, 3 2, 4 2, 5 2, 6 2, 7 2"),
        (NODES, "0 2, 1 2, 3 2, 4 2, 5 2, 6 2, 7 2"),
        (FAR, ""),
        (NEAREST, "1"),
        (NEAREST_3, "1"),
        (NEAREST_4, ""),
        (
            TREE,
            "0 1, 0 2, 0 6, 0 8, 0 10, 0 12, 0 14, \
             2 3, 6 7, 8 9, 10 11, 12 13, 14 15",
        ),
        (
            TREE_3,
            "0 1, 3 0, 3 2, 3 6, 3 8, 3 10, 3 12, 3 14, \
             6 7, 8 9, 10 11, 12 13, 14 15",
        ),
        (START, "\"bootdrv-x86-sipi\" \"std\" 14"),
        (CONSOLE, "\"console-16550\" 0"),
    ];
    check(&b, &after);
    // Its memory stays, and is somebody's.
    assert_eq!(
        ask(&b, "node_memory(2, B), not node_cores(2, _)"),
        "268435456"
    );
}

#[test]
fn qemu_arm_big_little() {
    let mut b = tree(BIG_LITTLE);
    let before = [
        (CORES, "8"),
        (PACKAGES, "0 8"),
        (NODES, "0 8"),
        (FAR, ""),
        (NEAREST, "0"),
        (TREE, "0 1, 0 2, 0 3, 0 4, 4 5, 4 6, 4 7"),
        (TREE_3, "3 0, 3 1, 3 2, 3 4, 4 5, 4 6, 4 7"),
        (START, "\"bootdrv-arm-psci\" \"std\" 8"),
        (CONSOLE, "\"console-pl011\" 0"),
    ];
    check(&b, &before);
    take_away(&mut b, 4);
    let after = [
        (CORES, "7"),
        (PACKAGES, "0 7"),
        (NODES, "0 7"),
        (FAR, ""),
        (NEAREST, "0"),
        (NEAREST_3, "0"),
        (NEAREST_4, ""),
        (TREE, "0 1, 0 2, 0 3, 0 5, 5 6, 5 7"),
        (TREE_3, "3 0, 3 1, 3 2, 3 5, 5 6, 5 7"),
        (START, "\"bootdrv-arm-psci\" \"std\" 7"),
        (CONSOLE, "\"console-pl011\" 0"),
    ];
    check(&b, &after);
    // Drivers wait most of the time: on a small core as long as there is one.
    tell(
        &mut b,
        &[],
        "reserved(0). reserved(1). reserved(2). reserved(3).",
    );
    check(&b, &[(CONSOLE, "\"console-pl011\" 5")]);
}
