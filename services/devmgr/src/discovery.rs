//! The machine, from the firmware's tables in physical memory.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use capfmt::{CapType, Core};
use devmgr::MachineDescription;
use devmgr::sound::{self, Own};
use firmware::{Problem, acpi, tree};
use rt::vspace::{self, Access};
use rt::{CapAddr, cap, env, invoke, mem};
use skb::collect;
use skb::datalog::{Changes, Value};

/// Bytes of a page.
const PAGE: u64 = 4096;
/// Largest device tree that is read (the arm64 boot protocol allows no larger one).
const MAX_TREE: u64 = 2 << 20;

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
    /// Whether the boot core is used alone, because of damaged tables.
    pub alone: bool,
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

/// What the object of the core says that the loader started on.
fn own() -> Result<Own, String> {
    let core = env::given("core0").ok_or("the boot core was not given")?;
    let control = cap::in_slot(|slot| invoke::core_mint(core, slot));
    let control = control.map_err(|e| format!("the boot core's control: {}", e.message()))?;
    let read = |name: &str| {
        let field = Core::FIELDS.iter().find(|f| f.name == name);
        let offset = field.map_or(0, |f| f.offset);
        invoke::core_read(control.addr(), offset)
            .map_err(|e| format!("the boot core's object: {}", e.message()))
    };
    let [hw_id, ..] = read("hw_id")?;
    let [a, b, c, d, e, f, _] = read("isa_param")?;
    Ok(Own {
        hw_id,
        isa_param: [a, b, c, d, e, f],
    })
}

/// Says what is malformed in firmware's tables; the rest is used.
fn tell(problems: &[Problem]) {
    for problem in problems {
        rt::println!("devmgr: firmware: {problem}");
    }
}

/// The machine, without the device that is the console.
struct Described {
    description: MachineDescription,
    console: Console,
    alone: bool,
    facts: Option<Changes>,
    problems: Vec<Problem>,
}

fn of_acpi(devices: CapAddr, rsdp: u64, own: &Own) -> Result<Described, String> {
    let mut tables = match rsdp {
        0 => sound::no_acpi(),
        _ => acpi::read(rsdp, &mut |at, bytes| read(devices, at, bytes)),
    };
    let alone = sound::complete_acpi(&mut tables, own);
    Ok(Described {
        description: MachineDescription::from_acpi(&tables).map_err(|e| e.to_string())?,
        // The first serial port of every PC (ISA interrupt 4).
        console: Console::Ports(0x3f8, 4),
        alone,
        facts: collect::from_acpi(&tables, own.hw_id, None),
        problems: tables.problems,
    })
}

fn device_tree(devices: CapAddr, fdt: u64) -> Result<tree::Machine, &'static str> {
    let head = read(devices, fdt, 8).ok_or("memory cannot be read")?;
    let bytes = tree::total_bytes(&head).ok_or("no device tree is")?;
    // One that says that it is longer is read that far, and told about.
    let bytes = bytes.min(MAX_TREE);
    let blob = read(devices, fdt, bytes).ok_or("not all of the device tree can be read")?;
    Ok(tree::read(&blob))
}

fn of_tree(devices: CapAddr, fdt: u64, own: &Own) -> Result<Described, String> {
    let found = device_tree(devices, fdt);
    let mut tree = found.unwrap_or_else(|why| sound::no_tree(fdt, why));
    let alone = sound::complete_tree(&mut tree, own);
    let Some(uart) = tree.console else {
        // The loader's PL011 is known, but not its interrupt: the tree alone says that.
        tell(&tree.problems);
        return Err("the device tree describes no PL011 with its interrupt: no console".into());
    };
    Ok(Described {
        description: MachineDescription::from_tree(&tree).map_err(|e| e.to_string())?,
        console: Console::Pl011(uart.base, uart.interrupt),
        alone,
        facts: collect::from_tree(&tree, own.hw_id),
        problems: tree.problems,
    })
}

/// Reads the tables. Where they are damaged, the machine is what is sound of them, and at least
/// the boot core.
///
/// # Errors
/// What nothing can be done without, as a sentence.
pub fn machine() -> Result<Machine, String> {
    let mut args = env::args().skip(1).map(|a| a.parse::<u64>().unwrap_or(0));
    let (rsdp, fdt) = (args.next().unwrap_or(0), args.next().unwrap_or(0));
    let devices = env::given("devices").ok_or("device memory was not given")?;
    let own = own()?;
    let boot = own.hw_id;
    // A loader that leaves neither is a PC's: others are told of the RAM by a tree.
    let tree = rsdp == 0 && fdt != 0;
    let mut found = match tree {
        true => of_tree(devices, fdt, &own)?,
        false => of_acpi(devices, rsdp, &own)?,
    };
    tell(&found.problems);
    let listed = found
        .facts
        .filter(|_| found.description.boot_core_first(boot));
    let unlisted = || format!("the firmware's tables do not list the boot core ({boot:#x})");
    let mut facts = listed.ok_or_else(unlisted)?;
    collect::problems(&found.problems, &mut facts);
    facts.assert("device", &[collect::symbol(CONSOLE), found.console.kind()]);
    Ok(Machine {
        description: found.description,
        console: found.console,
        alone: found.alone,
        tree,
        facts,
    })
}
