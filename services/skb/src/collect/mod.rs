//! Facts from what firmware and processors say.
//!
//! Cores are numbered as the device manager numbers them: the boot core is core 0, the others
//! follow in firmware's order. The predicates are the inputs of [`crate::RULES`].

mod acpi;
mod tree;

pub use acpi::from_acpi;
pub use tree::from_tree;

use crate::datalog::{Changes, Fact, Value};
use alloc::vec::Vec;
use firmware::Problem;
use firmware::cpuid::Division;
use firmware::processor::Processor;

/// Inputs about cores that the system tells, and which of their arguments is the core.
const OF_CORES: &[(&str, usize)] = &[
    ("core", 0),
    ("core_kind", 0),
    ("core_domain", 0),
    ("core_package", 0),
    ("core_cluster", 0),
    ("core_unit", 0),
    ("feature", 0),
    ("processor", 0),
    ("start_method", 0),
    ("dmips_mhz", 0),
    ("operating_point", 0),
    ("power_coefficient", 0),
    ("running", 0),
    ("placed", 1),
];

/// What only the device manager knows: how the machine is now. What firmware describes (memory,
/// distances, speeds) is not among it, since a person may know better.
const OF_THE_SYSTEM: &[&str] = &[
    "isa",
    "clock",
    "core",
    "running",
    "placed",
    "device",
    "kernel_image",
    "program_image",
    "problem",
];

/// Whether facts with this name that were told in a change are withdrawn in a change only.
#[must_use]
pub fn is_of_the_system(name: &str) -> bool {
    OF_THE_SYSTEM.contains(&name)
}

/// Whether a fact is about this core: it goes with it. Of facts that the system tells; the base
/// itself finds all others, too ([`crate::datalog::Base::about`]).
#[must_use]
pub fn is_about(fact: &Fact, core: u32) -> bool {
    let mut places = OF_CORES.iter().filter(|(name, _)| *name == &*fact.name);
    places.any(|(_, at)| fact.values.get(*at) == Some(&core.into()))
}

/// What was malformed, and so left out.
pub fn problems(problems: &[Problem], changes: &mut Changes) {
    for p in problems {
        let values = [p.table, &*p.field, &*p.why].map(Value::text);
        changes.assert("problem", &values);
    }
}

/// What the boot archive has, from the names of its files: kernels, which are for this machine's
/// instruction set, and programs.
pub fn archive<'a>(files: impl Iterator<Item = &'a str>, changes: &mut Changes) {
    let isa = changes.asserted.iter().find(|f| &*f.name == "isa");
    let isa = isa.and_then(|f| f.values.first().cloned());
    for file in files {
        match (file.split_once('/'), &isa) {
            (Some(("kernel", name)), Some(isa)) => {
                changes.assert("kernel_image", &[Value::text(name), isa.clone()]);
            }
            (Some(("bin", name)), _) => changes.assert("program_image", &[Value::text(name)]),
            _ => {}
        }
    }
}

/// A symbol of ours.
#[must_use]
pub fn symbol(name: &str) -> Value {
    Value::symbol(name).unwrap_or_else(|| Value::text(name))
}

/// The hardware ids, the boot core's first; `None` if firmware does not list the boot core.
fn numbered(ids: impl Iterator<Item = u64>, boot: u64) -> Option<Vec<u64>> {
    let mut ids: Vec<u64> = ids.collect();
    let at = ids.iter().position(|id| *id == boot)?;
    ids[..=at].rotate_right(1);
    Some(ids)
}

/// What core number `core` says that it is.
pub fn processor(core: u32, is: &Processor, changes: &mut Changes) {
    let kind = [
        core.into(),
        Value::text(&is.vendor),
        is.family.into(),
        is.model.into(),
        is.revision.into(),
    ];
    changes.assert("processor", &kind);
    for name in is.features.names() {
        changes.assert("feature", &[core.into(), Value::text(name)]);
    }
}

/// Package and physical core of each core, from its APIC id, as a processor says that it is divided.
pub fn division(ids: &[(u32, u32)], division: Division, changes: &mut Changes) {
    for (core, hw_id) in ids {
        let package = division.package(*hw_id);
        changes.assert("core_package", &[(*core).into(), package.into()]);
        changes.assert("core_unit", &[(*core).into(), division.core(*hw_id).into()]);
    }
}
