//! Facts of a machine with a device tree.

use super::{numbered, symbol};
use crate::datalog::{Changes, Value};
use firmware::tree::{Conduit, Controller, Core, EnableMethod, Machine};

/// The facts that the tree gives; `None` if it does not list the boot core, whose packed MPIDR
/// affinity is `boot`.
#[must_use]
pub fn from_tree(machine: &Machine, boot: u64) -> Option<Changes> {
    let ids = numbered(machine.cores.iter().map(|c| c.hw_id), boot)?;
    let mut facts = Changes::default();
    facts.assert("isa", &[symbol("aarch64")]);
    for described in &machine.cores {
        let number = ids.iter().position(|id| *id == described.hw_id);
        if let Some(number) = number {
            core(described, &Value::from(number as u64), &mut facts);
        }
    }
    if let Some(conduit) = machine.psci {
        let instruction = match conduit {
            Conduit::Smc => "smc",
            Conduit::Hvc => "hvc",
        };
        facts.assert("conduit", &[symbol(instruction)]);
    }
    if let Some(controller) = machine.controller {
        let (kind, base) = match controller {
            Controller::V2 { distributor, .. } => ("gic2", distributor),
            Controller::V3 { distributor, .. } => ("gic3", distributor),
        };
        facts.assert("interrupt_controller", &[symbol(kind), base.into()]);
    }
    for memory in &machine.memory {
        let (base, bytes) = (memory.range.base, memory.range.bytes);
        let node = memory.node.unwrap_or(0);
        facts.assert("memory", &[base.into(), bytes.into(), node.into()]);
    }
    for ((from, to), distance) in &machine.distances {
        let values = [(*from).into(), (*to).into(), (*distance).into()];
        facts.assert("node_distance", &values);
    }
    Some(facts)
}

fn core(core: &Core, number: &Value, facts: &mut Changes) {
    let mut tell = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            facts.assert(name, &[number.clone(), value]);
        }
    };
    tell("core", Some(core.hw_id.into()));
    tell("core_kind", Some(Value::text(&core.kind)));
    tell("core_domain", core.node.map(Value::from));
    tell("core_package", core.package.map(Value::from));
    tell("core_cluster", core.cluster.map(Value::from));
    tell("core_unit", core.thread_of.map(Value::from));
    tell("dmips_mhz", core.capacity_dmips_mhz.map(Value::from));
    tell("power_coefficient", core.power_coefficient.map(Value::from));
    let method = match &core.enable {
        EnableMethod::Psci => Some("psci"),
        EnableMethod::SpinTable(_) => Some("spin_table"),
        EnableMethod::Other(_) => None,
    };
    tell("start_method", method.map(symbol));
    for point in &core.points {
        let values = [number.clone(), point.hz.into(), point.microvolts.into()];
        facts.assert("operating_point", &values);
    }
}
