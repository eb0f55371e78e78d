//! Facts from what firmware and processors say.
//!
//! Cores are numbered as the device manager numbers them: the boot core is core 0, the others
//! follow in firmware's order. The predicates are the inputs of [`crate::RULES`].

mod acpi;
mod tree;

pub use acpi::from_acpi;
pub use tree::from_tree;

use crate::datalog::{Changes, Value};
use alloc::vec::Vec;
use firmware::cpuid::FeatureWords;

/// A symbol of ours.
fn symbol(name: &str) -> Value {
    Value::symbol(name).unwrap_or_else(|| Value::text(name))
}

/// The hardware ids, the boot core's first; `None` if firmware does not list the boot core.
fn numbered(ids: impl Iterator<Item = u64>, boot: u64) -> Option<Vec<u64>> {
    let mut ids: Vec<u64> = ids.collect();
    let at = ids.iter().position(|id| *id == boot)?;
    ids[..=at].rotate_right(1);
    Some(ids)
}

/// That core number `core` has the features that CPUID's words name.
pub fn features(core: u32, words: FeatureWords, changes: &mut Changes) {
    for name in words.names() {
        changes.assert("feature", &[core.into(), Value::text(name)]);
    }
}
