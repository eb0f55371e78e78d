//! `qemu-arm-big-little`: a cluster of four small cores, one of four big ones.

use super::{BIG_LITTLE, apply, ask, check_tree, empty, start_all, take_away, tell};
use crate::collect;
use crate::datalog::Base;

fn machine(boot: u64) -> Base {
    let tree = firmware::tree::read(BIG_LITTLE);
    let facts = collect::from_tree(&tree, boot).expect("lists the boot core");
    let mut base = empty();
    apply(&mut base, &facts);
    start_all(&mut base, "aarch64");
    base
}

#[test]
fn cores_and_their_kinds() {
    let b = machine(0);
    assert_eq!(ask(&b, "little(C)"), "0, 1, 2, 3");
    assert_eq!(ask(&b, "big(C)"), "4, 5, 6, 7");
    assert_eq!(ask(&b, "answer(K) :- capacity(_, K)"), "444, 1024");
    assert_eq!(ask(&b, "packages(N), package(7, P)"), "1 0");
    assert_eq!(ask(&b, "core_node(7, N), nearest_memory(7, M)"), "0 0");
    assert_eq!(ask(&b, "core_cluster(C, 1)"), "4, 5, 6, 7");
    assert_eq!(
        ask(&b, "interrupt_controller(K, B), conduit(I)"),
        "gic3 134217728 hvc"
    );
    // The boot core is core 0, whichever it is.
    let b = machine(6);
    assert_eq!(ask(&b, "big(C)"), "0, 5, 6, 7");
    let tree = firmware::tree::read(BIG_LITTLE);
    assert!(collect::from_tree(&tree, 8).is_none());
}

#[test]
fn what_work_costs() {
    let b = machine(0);
    assert_eq!(
        ask(&b, "power(0, Hz, P)"),
        "500000000 26950, 1000000000 70400, 1400000000 124740, 1800000000 198000"
    );
    assert_eq!(ask(&b, "power(4, 2400000000, P)"), "1597200");
    assert_eq!(ask(&b, "work_cost(0, X), work_cost(4, Y)"), "445 1559");
}

#[test]
fn trees_kernels_drivers() {
    let mut b = machine(0);
    assert_eq!(
        ask(&b, "multicast(0, F, T)"),
        "0 1, 0 2, 0 3, 0 4, 4 5, 4 6, 4 7"
    );
    assert_eq!(
        ask(&b, "multicast(5, F, T)"),
        "0 1, 0 2, 0 3, 5 0, 5 4, 5 6, 5 7"
    );
    assert_eq!(
        ask(&b, "boot_driver(5, D), kernel(5, K)"),
        "\"bootdrv-arm-psci\" \"std\""
    );
    tell(
        &mut b,
        &[],
        "device(uart0, pl011). driver_program(pl011, \"console-pl011\").",
    );
    assert_eq!(ask(&b, "driver_core(uart0, C)"), "0", "a small core does");
    tell(&mut b, &["running(0, _)", "running(1, _)"], "reserved(2).");
    assert_eq!(ask(&b, "driver_core(uart0, C)"), "3");
    take_away(&mut b, 3);
    assert_eq!(ask(&b, "driver_core(uart0, C)"), "4");
    take_away(&mut b, 4);
    assert_eq!(ask(&b, "multicast(5, F, T)"), "5 2, 5 6, 5 7");
    assert_eq!(ask(&b, "multicast(2, F, T)"), "2 5, 5 6, 5 7");
    for root in [2, 5, 6, 7] {
        check_tree(&b, root);
    }
    assert_eq!(ask(&b, "startable(C)"), "0, 1");
    tell(&mut b, &["conduit(_)"], "");
    assert_eq!(
        ask(&b, "boot_driver(C, D)"),
        "",
        "nobody could call firmware"
    );
}

#[test]
fn leaders_are_fast() {
    // The capacities change, the clusters stay: the leader of a mixed cluster is its fastest.
    let mut b = machine(0);
    tell(&mut b, &["dmips_mhz(4, _)"], "dmips_mhz(4, 500).");
    assert_eq!(ask(&b, "multicast(0, 0, C)"), "1, 2, 3, 5");
    check_tree(&b, 0);
}
