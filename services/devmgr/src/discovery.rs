//! The machine, from the firmware's tables in physical memory.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use capfmt::{CapType, Core};
use devmgr::MachineDescription;
use firmware::{Problem, acpi, tree};
use rt::vspace::{self, Access};
use rt::{CapAddr, cap, env, invoke, mem};
use skb::collect;
use skb::datalog::{Changes, Value};

/// Bytes of a page.
const PAGE: u64 = 4096;
/// Largest device tree that is read.
const MAX_TREE: u64 = 4 << 20;

/// Where the console is.
#[derive(Clone, Copy, Debug)]
pub enum Console {
    /// A 16550 at these ports with this interrupt source.
    Ports(u16, u64),
    /// A PL011 at this address with this interrupt source.
    Pl011(u64, u64),
}

/// What facts call the console.
pub const CONSOLE: &str = "console0";

impl Console {
    /// What facts call this kind of device.
    fn kind(self) -> Value {
        collect::symbol(match self {
            Self::Ports(..) => "ns16550",
            Self::Pl011(..) => "pl011",
        })
    }
}

/// What the device manager knows of the machine.
pub struct Machine {
    pub description: MachineDescription,
    pub console: Console,
    /// Whether firmware left a device tree.
    pub tree: bool,
    /// All that it says, as facts.
    pub facts: Changes,
}

/// Reads physical memory that is not the OSnode's RAM.
fn read(devices: CapAddr, at: u64, bytes: u64) -> Option<Vec<u8>> {
    let first = at / PAGE * PAGE;
    let end = at.checked_add(bytes)?.checked_next_multiple_of(PAGE)?;
    let base = invoke::identify(devices).ok()?.cap.base.0;
    let frame = mem::retype_one(devices, CapType::DevFrame, 0, first - base, end - first).ok()?;
    let mapped = vspace::map(frame.addr(), 0, end - first, Access::Device).ok()?;
    let mut out = vec![0; bytes as usize];
    // Device memory takes aligned accesses only, and that is how `read` makes them.
    mapped.read(at - first, &mut out);
    Some(out)
}

/// The hardware id of the core that the loader started on.
fn boot_hw_id() -> Result<u64, String> {
    let core = env::given("core0").ok_or("the boot core was not given")?;
    let control = cap::in_slot(|slot| invoke::core_mint(core, slot));
    let control = control.map_err(|e| format!("the boot core's control: {}", e.message()))?;
    let field = Core::FIELDS.iter().find(|f| f.name == "hw_id");
    let offset = field.map_or(0, |f| f.offset);
    let id = invoke::core_read(control.addr(), offset);
    id.map(|words| words[0])
        .map_err(|e| format!("the boot core's object: {}", e.message()))
}

/// Says what is malformed in firmware's tables; the rest is used.
fn tell(problems: &[Problem]) {
    for problem in problems {
        rt::println!("devmgr: firmware: {problem}");
    }
}

fn with_problems(mut facts: Changes, problems: &[Problem]) -> Changes {
    collect::problems(problems, &mut facts);
    facts
}

/// Reads the tables.
///
/// # Errors
/// What is missing or damaged, as a sentence.
pub fn machine() -> Result<Machine, String> {
    let mut args = env::args().skip(1).map(|a| a.parse::<u64>().unwrap_or(0));
    let (rsdp, fdt) = (args.next().unwrap_or(0), args.next().unwrap_or(0));
    let devices = env::given("devices").ok_or("device memory was not given")?;
    let boot = boot_hw_id()?;
    let unlisted = || format!("the firmware's tables do not list the boot core ({boot:#x})");
    let mut machine = if rsdp != 0 {
        let tables = acpi::read(rsdp, &mut |at, bytes| read(devices, at, bytes));
        tell(&tables.problems);
        Machine {
            description: MachineDescription::from_acpi(&tables).map_err(|e| e.to_string())?,
            // The first serial port of every PC (ISA interrupt 4).
            console: Console::Ports(0x3f8, 4),
            tree: false,
            facts: {
                let facts = collect::from_acpi(&tables, boot, None);
                with_problems(facts.ok_or_else(unlisted)?, &tables.problems)
            },
        }
    } else {
        let head = read(devices, fdt, 8).ok_or("the device tree cannot be read")?;
        let bytes = tree::total_bytes(&head).filter(|b| *b <= MAX_TREE);
        let bytes = bytes.ok_or_else(|| format!("no device tree is at {fdt:#x}"))?;
        let blob = read(devices, fdt, bytes).ok_or("the device tree cannot be read")?;
        let tree = tree::read(&blob);
        tell(&tree.problems);
        let uart = tree
            .console
            .ok_or("the device tree names no PL011 console")?;
        Machine {
            description: MachineDescription::from_tree(&tree).map_err(|e| e.to_string())?,
            console: Console::Pl011(uart.base, uart.interrupt),
            tree: true,
            facts: {
                let facts = collect::from_tree(&tree, boot);
                with_problems(facts.ok_or_else(unlisted)?, &tree.problems)
            },
        }
    };
    if !machine.description.boot_core_first(boot) {
        return Err(unlisted());
    }
    machine.facts.assert(
        "device",
        &[collect::symbol(CONSOLE), machine.console.kind()],
    );
    Ok(machine)
}
