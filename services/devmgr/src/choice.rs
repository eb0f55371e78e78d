//! What to start, from answers of the knowledge base, or without it.
//!
//! Rules decide (`services/skb/rules/machine.dl`). If nobody answers, the machine must boot all
//! the same: then what firmware says picks one of the programs that there are.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Rows of an answer, a text for each value.
pub type Rows = Vec<Vec<String>>;

/// Which boot driver each core has: `boot_driver(C, Program)`.
pub const BOOT_DRIVERS: &str = "boot_driver(Core, Program)";
/// What drives the console, and where: the device is called `console0`.
pub const CONSOLE: &str = "driver(console0, Program), driver_core(console0, Core)";

/// Which kernel a core gets if nobody says which.
#[must_use]
pub fn kernel_question(core: u32) -> String {
    alloc::format!("kernel({core}, Kernel)")
}

/// The boot driver to start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BootDriver {
    /// Its program.
    pub program: String,
    /// Cores that it drives, ascending.
    pub cores: Vec<u32>,
}

/// The program that drives most of the cores (of equals the first), from the rows of
/// [`BOOT_DRIVERS`]; `None` if nothing drives any.
#[must_use]
pub fn boot_driver(rows: &Rows) -> Option<BootDriver> {
    let mut by_program: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for row in rows {
        if let [core, program] = &row[..]
            && let Ok(core) = core.parse()
        {
            by_program.entry(program).or_default().push(core);
        }
    }
    let most = by_program.values().map(Vec::len).max()?;
    let mut of_those = by_program.into_iter().filter(|(_, c)| c.len() == most);
    let (program, mut cores) = of_those.next()?;
    cores.sort_unstable();
    Some(BootDriver {
        program: program.to_string(),
        cores,
    })
}

/// Program and core, from the rows of [`CONSOLE`].
#[must_use]
pub fn placed_driver(rows: &Rows) -> Option<(String, u32)> {
    match &rows.first()?[..] {
        [program, core] => Some((program.clone(), core.parse().ok()?)),
        _ => None,
    }
}

/// The name in the only column of an answer's first row.
#[must_use]
pub fn name(rows: &Rows) -> Option<String> {
    rows.first()?.first().cloned()
}

/// The programs for a machine whose firmware left a device tree, or ACPI tables, when nobody
/// answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Boot driver.
    pub boot_driver: &'static str,
    /// Console driver.
    pub console: &'static str,
}

/// See [`Known`].
#[must_use]
pub const fn without_rules(tree: bool) -> Known {
    if tree {
        Known {
            boot_driver: "bootdrv-arm-psci",
            console: "console-pl011",
        }
    } else {
        Known {
            boot_driver: "bootdrv-x86-sipi",
            console: "console-16550",
        }
    }
}
