//! Facts of a machine with ACPI.

use super::{numbered, symbol};
use crate::datalog::Changes;
use firmware::acpi::Acpi;
use firmware::cpuid::Division;

/// The facts that the tables give; `division` says where a package begins in an APIC id, if the
/// processors say it. `None` if the tables do not list the boot core, whose APIC id is `boot`.
#[must_use]
pub fn from_acpi(acpi: &Acpi, boot: u64, division: Option<Division>) -> Option<Changes> {
    let madt = acpi.madt.as_ref()?;
    let ids = numbered(madt.cores.iter().map(|c| c.hw_id.into()), boot)?;
    let mut facts = Changes::default();
    facts.assert("isa", &[symbol("x86_64")]);
    for (core, id) in (0u32..).zip(&ids) {
        let hw_id = *id as u32;
        facts.assert("core", &[core.into(), hw_id.into()]);
        facts.assert("start_method", &[core.into(), symbol("sipi")]);
        if let Some(domain) = acpi.srat.as_ref().and_then(|s| s.cores.get(&hw_id)) {
            facts.assert("core_domain", &[core.into(), (*domain).into()]);
        }
        if let Some(division) = division {
            super::division(&[(core, hw_id)], division, &mut facts);
        }
    }
    facts.assert(
        "interrupt_controller",
        &[symbol("local_apic"), madt.local_apic.into()],
    );
    for io in &madt.io_apics {
        facts.assert(
            "interrupt_controller",
            &[symbol("io_apic"), io.address.into()],
        );
    }
    for range in acpi.srat.iter().flat_map(|s| &s.memory) {
        let values = [range.base.into(), range.bytes.into(), range.domain.into()];
        facts.assert("memory", &values);
    }
    if let Some(slit) = &acpi.slit {
        let domains = 0..slit.domains as u32;
        for (from, to) in domains
            .clone()
            .flat_map(|a| domains.clone().map(move |b| (a, b)))
        {
            if let Some(distance) = slit.distance(from, to) {
                let values = [from.into(), to.into(), distance.into()];
                facts.assert("node_distance", &values);
            }
        }
    }
    for s in &acpi.mcfg {
        let values = [s.group.into(), s.first.into(), s.last.into(), s.base.into()];
        facts.assert("pci_segment", &values);
    }
    Some(facts)
}
