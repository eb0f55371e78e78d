//! Damaged firmware: what is collected from it always fits the rules and the limits.

use super::{BIG_LITTLE, NUMA8, ask, check_tree, empty, numa8, start_all};
use crate::collect;
use crate::datalog::Changes;
use proptest::prelude::*;

fn derive(facts: Option<Changes>, isa: &str) {
    let Some(facts) = facts else { return };
    let mut base = empty();
    if let Err(e) = base.apply(&facts) {
        panic!("{e}");
    }
    start_all(&mut base, isa);
    // Every core is somewhere, and has a kernel; trees reach everybody who is in a group.
    assert_eq!(ask(&base, "core(C, _), not core_node(C, _)"), "");
    assert_eq!(ask(&base, "core(C, _), not kernel(C, _)"), "");
    assert_eq!(ask(&base, "core(C, _), not group(C, _)"), "");
    check_tree(&base, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn acpi(damage in prop::collection::vec((1..9usize, any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let acpi = numa8::tables(NUMA8, &mut |number, table| {
            for (at, index, byte) in &damage {
                if *at == number && table.len() > 36 {
                    // Behind the header, with the checksum made right: it gets through.
                    let i = 36 + index.index(table.len() - 36);
                    table[9] = table[9].wrapping_add(table[i]).wrapping_sub(*byte);
                    table[i] = *byte;
                }
            }
        });
        derive(collect::from_acpi(&acpi, 0, None), "x86_64");
    }

    #[test]
    fn tree(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut blob = BIG_LITTLE.to_vec();
        for (index, byte) in damage {
            let i = index.index(blob.len());
            blob[i] = byte;
        }
        derive(collect::from_tree(&firmware::tree::read(&blob), 0), "aarch64");
    }
}
