//! What is used where firmware's tables do not say what a machine needs to boot: what the boot
//! core's object says, and what every PC has. Everything that follows is told as a problem.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use firmware::acpi::{Acpi, IoApic, Madt, MadtCore};
use firmware::tree::{Controller, Core, Machine, Range};
use firmware::{Problem, tree};

/// Where every PC has its first I/O APIC, with the first of its interrupts.
pub const USUAL_IO_APIC: IoApic = IoApic {
    id: 0,
    address: 0xfec0_0000,
    first: 0,
};

/// What the boot core's object says, whatever firmware says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Own {
    /// Its hardware id.
    pub hw_id: u64,
    /// `capfmt::Core::isa_param`, from the first on.
    pub isa_param: [u64; 6],
}

impl Own {
    /// The GIC that the loader started.
    fn controller(&self) -> Option<Controller> {
        let [distributor, redistributor, cpu_interface, version, ..] = self.isa_param;
        match version {
            2 => Some(Controller::V2 {
                distributor,
                cpu_interface,
            }),
            3 => Some(Controller::V3 {
                distributor,
                redistributors: Range {
                    base: redistributor,
                    // Two frames of 64 KiB.
                    bytes: 0x2_0000,
                },
            }),
            _ => None,
        }
    }
}

fn problem(table: &'static str, field: &str, why: String) -> Problem {
    Problem {
        table,
        field: field.into(),
        why,
    }
}

/// What is wrong with the cores that firmware lists; `None` if the boot core is among them.
fn cores_are_wrong(ids: &[u64], boot: u64) -> Option<String> {
    if ids.contains(&boot) {
        return None;
    }
    Some(match ids.len() {
        0 => format!("there is none: only the boot core ({boot:#x}) is used"),
        n => format!("the boot core ({boot:#x}) is none of the {n}: only the boot core is used"),
    })
}

/// Makes the tables of a PC enough to run on. Whether the boot core is used alone, because the
/// tables are wrong about cores.
pub fn complete_acpi(acpi: &mut Acpi, own: &Own) -> bool {
    const NAME: &str = "MADT";
    let mut problems = Vec::new();
    let mut note = |field: &str, why| problems.push(problem(NAME, field, why));
    let madt = acpi.madt.get_or_insert_with(Madt::default);
    let ids: Vec<u64> = madt.cores.iter().map(|c| c.hw_id.into()).collect();
    let wrong = cores_are_wrong(&ids, own.hw_id);
    let alone = wrong.is_some();
    if let Some(why) = wrong {
        note("local APIC entries", why);
        madt.cores = Vec::from([MadtCore {
            hw_id: own.hw_id as u32,
            uid: 0,
        }]);
    }
    if madt.local_apic == 0 {
        let [used, ..] = own.isa_param;
        note("local APIC address", format!("zero: {used:#x} is used"));
        madt.local_apic = used;
    }
    if madt.io_apics.is_empty() {
        let usual = USUAL_IO_APIC.address;
        let why = format!("there is none: the usual one at {usual:#x} is used");
        note("I/O APIC entries", why);
        madt.io_apics.push(USUAL_IO_APIC);
    }
    acpi.problems.append(&mut problems);
    alone
}

/// Makes a tree enough to run on. Whether the boot core is used alone, because the tree is wrong
/// about cores.
pub fn complete_tree(machine: &mut Machine, own: &Own) -> bool {
    const NAME: &str = "device tree";
    let ids: Vec<u64> = machine.cores.iter().map(|c| c.hw_id).collect();
    let wrong = cores_are_wrong(&ids, own.hw_id);
    let alone = wrong.is_some();
    if let Some(why) = wrong {
        machine.problems.push(problem(NAME, "cores in /cpus", why));
        machine.cores = Vec::from([Core::unknown(own.hw_id)]);
    }
    if machine.controller.is_none() {
        machine.controller = own.controller();
        if let Some(Controller::V2 { distributor, .. } | Controller::V3 { distributor, .. }) =
            machine.controller
        {
            let why = format!("the one at {distributor:#x} is used, which the loader started");
            let lack = problem(NAME, "interrupt controller", why);
            machine.problems.push(lack);
        }
    }
    alone
}

/// ACPI tables that firmware left nothing of.
#[must_use]
pub fn no_acpi() -> Acpi {
    let why = "firmware left no root pointer, so there are no tables".into();
    Acpi {
        problems: Vec::from([problem("RSDP", "address", why)]),
        ..Acpi::default()
    }
}

/// A tree that cannot be read.
#[must_use]
pub fn no_tree(at: u64, why: &str) -> Machine {
    let why = format!("{why} at {at:#x}: nothing of it is used");
    tree::Machine {
        problems: Vec::from([problem("device tree", "header", why)]),
        ..Machine::default()
    }
}
