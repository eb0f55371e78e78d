//! Tables made by hand, whole and damaged; operations allowed and refused.

use crate::acpi::{self, AcpiError};
use crate::tree::{self, TreeError};
use crate::*;
use proptest::prelude::*;
use proto::iface::cores::{CoreOp, CoreState};
use std::string::ToString;
use std::vec;
use std::vec::Vec;

/// Physical memory with ACPI tables in it.
struct Memory(Vec<u8>);

impl Memory {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
    /// Puts a table with length and checksum made right.
    fn table(&mut self, at: usize, name: &[u8; 4], body: &[u8]) {
        let mut t = vec![0u8; 36];
        t[..4].copy_from_slice(name);
        t.extend_from_slice(body);
        let len = t.len() as u32;
        t[4..8].copy_from_slice(&len.to_le_bytes());
        t[9] = t.iter().fold(0u8, |s, b| s.wrapping_sub(*b));
        self.put(at, &t);
    }
    fn read(&self, at: u64, len: u64) -> Option<Vec<u8>> {
        let at = at as usize;
        Some(self.0.get(at..at + len as usize)?.to_vec())
    }
    fn describe(&self) -> Result<MachineDescription, AcpiError> {
        acpi::describe(0x40, &mut |at, len| self.read(at, len))
    }
}

fn acpi_machine() -> Memory {
    let mut m = Memory(vec![0; 0x2000]);
    let mut rsdp = *b"RSD PTR \0NEKTON\0\0\x01\0\0";
    rsdp[8] = rsdp.iter().fold(0u8, |s, b| s.wrapping_sub(*b));
    m.put(0x40, &rsdp);
    let pointers: Vec<u8> = [0x400u32, 0x800]
        .iter()
        .flat_map(|a| a.to_le_bytes())
        .collect();
    m.table(0x100, b"RSDT", &pointers);
    let mut madt = vec![0, 0, 0xe0, 0xfe, 1, 0, 0, 0];
    for (id, flags) in [(0u8, 1u8), (1, 1), (2, 0), (3, 1)] {
        madt.extend_from_slice(&[0, 8, 0, id, flags, 0, 0, 0]);
    }
    madt.extend_from_slice(&[1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    madt.extend_from_slice(&[9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0]);
    m.table(0x400, b"APIC", &madt);
    let mut srat = vec![0; 12];
    for (id, domain) in [(0u8, 0u8), (1, 0), (3, 1)] {
        srat.extend_from_slice(&[0, 16, domain, id, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    let memory = [
        1u8, 40, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    srat.extend_from_slice(&memory);
    srat.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    m.table(0x800, b"SRAT", &srat);
    m
}

#[test]
fn madt_and_srat_give_cores_and_nodes() {
    let d = acpi_machine().describe().expect("whole tables");
    let cores: Vec<_> = d.cores.iter().map(|c| (c.hw_id, c.node)).collect();
    assert_eq!(cores, [(0, 0), (1, 0), (3, 1), (0x100, 0)]);
    assert_eq!(d.interrupts, Interrupts::Apic { local: 0xfee0_0000 });
    let memory = NodeMemory {
        base: 0x2000_0000,
        bytes: 0x1000_0000,
        node: 1,
    };
    assert_eq!(d.memory, [memory]);
    let mut d = d;
    assert!(d.boot_core_first(3));
    let ids: Vec<_> = d.cores.iter().map(|c| c.hw_id).collect();
    assert_eq!(ids, [3, 0, 1, 0x100]);
    assert!(!d.boot_core_first(77));
}

#[test]
fn damaged_tables_are_named() {
    let mut m = acpi_machine();
    m.0[0x400 + 50] ^= 1;
    assert_eq!(m.describe(), Err(AcpiError::BadTable(0x400)));
    let mut m = acpi_machine();
    m.0[0x48] ^= 1;
    assert_eq!(m.describe(), Err(AcpiError::NoRsdp(0x40)));
    let mut m = acpi_machine();
    m.put(0x400, b"XXXX");
    assert_eq!(m.describe(), Err(AcpiError::Missing("APIC")));
    let mut m = acpi_machine();
    m.0.truncate(0x410);
    assert!(matches!(m.describe(), Err(AcpiError::Unreadable(_))));
}

/// Writes a device tree, structure block token by token.
#[derive(Default)]
struct TreeWriter {
    structure: Vec<u8>,
    strings: Vec<u8>,
}

impl TreeWriter {
    fn word(&mut self, w: u32) {
        self.structure.extend_from_slice(&w.to_be_bytes());
    }
    fn bytes(&mut self, b: &[u8]) {
        self.structure.extend_from_slice(b);
        self.structure
            .resize(self.structure.len().next_multiple_of(4), 0);
    }
    fn node(&mut self, name: &str, inside: impl FnOnce(&mut TreeWriter)) {
        self.word(1);
        self.bytes(&[name.as_bytes(), b"\0"].concat());
        inside(self);
        self.word(2);
        self.word(4); // FDT_NOP, as QEMU leaves them
    }
    fn property(&mut self, name: &str, value: &[u8]) {
        self.word(3);
        self.word(value.len() as u32);
        self.word(self.strings.len() as u32);
        self.strings
            .extend_from_slice(&[name.as_bytes(), b"\0"].concat());
        self.bytes(value);
    }
    fn finish(mut self) -> Vec<u8> {
        self.word(9);
        let structure_at = 40 + 16;
        let strings_at = structure_at + self.structure.len();
        let total = strings_at + self.strings.len();
        let header = [
            0xd00d_feed,
            total,
            structure_at,
            strings_at,
            40,
            17,
            16,
            0,
            self.strings.len(),
            self.structure.len(),
        ];
        let mut out: Vec<u8> = header
            .iter()
            .flat_map(|w| (*w as u32).to_be_bytes())
            .collect();
        out.extend_from_slice(&[0; 16]);
        out.extend_from_slice(&self.structure);
        out.extend_from_slice(&self.strings);
        out
    }
}

fn arm_tree() -> Vec<u8> {
    let mut t = TreeWriter::default();
    t.node("", |t| {
        t.property("#address-cells", &2u32.to_be_bytes());
        t.property("#size-cells", &2u32.to_be_bytes());
        t.node("psci", |t| t.property("method", b"hvc\0"));
        t.node("cpus", |t| {
            t.property("#address-cells", &1u32.to_be_bytes());
            t.property("#size-cells", &0u32.to_be_bytes());
            t.node("cpu-map", |t| t.property("x", b""));
            for (id, capacity) in [(0u32, 1024u32), (1, 592), (0x100, 592)] {
                t.node(&std::format!("cpu@{id:x}"), |t| {
                    t.property("device_type", b"cpu\0");
                    t.property("reg", &id.to_be_bytes());
                    t.property("capacity-dmips-mhz", &capacity.to_be_bytes());
                    t.property("numa-node-id", &(id & 1).to_be_bytes());
                    if id == 0x100 {
                        t.property("status", b"disabled\0");
                    }
                });
            }
        });
        t.node("chosen", |t| {
            t.property("stdout-path", b"/pl011@9000000:115200\0")
        });
        t.node("pl011@9000000", |t| {
            t.property("compatible", b"arm,pl011\0arm,primecell\0");
            let words = |w: &[u32]| w.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
            t.property("reg", &words(&[0, 0x900_0000, 0, 0x1000]));
            t.property("interrupts", &words(&[0, 1, 4]));
        });
        t.node("intc@8000000", |t| {
            t.property("compatible", b"arm,gic-v3\0");
            let reg = [0, 0x800_0000u32, 0, 0x1_0000, 0, 0x80a_0000, 0, 0xf6_0000];
            let reg: Vec<u8> = reg.iter().flat_map(|w| w.to_be_bytes()).collect();
            t.property("reg", &reg);
        });
    });
    t.finish()
}

#[test]
fn a_tree_gives_cores_and_controller() {
    let bytes = arm_tree();
    assert_eq!(tree::total_bytes(&bytes), Some(bytes.len() as u64));
    let d = tree::describe(&bytes).expect("whole tree");
    let core = |hw_id, node, capacity| CoreDescription {
        hw_id,
        node,
        capacity,
    };
    assert_eq!(d.cores, [core(0, 0, 1024), core(1, 1, 592)]);
    assert_eq!(d.psci_conduit, 2);
    let gic = Interrupts::Gic {
        version: 3,
        distributor: 0x800_0000,
        redistributors: 0x80a_0000,
        redistributor_bytes: 0xf6_0000,
        cpu_interface: 0,
    };
    assert_eq!(d.interrupts, gic);
    assert_eq!(tree::console(&bytes), Some((0x900_0000, 33)));
    assert_eq!(tree::describe(b"not a tree"), Err(TreeError::Malformed));
}

proptest! {
    #[test]
    fn damaged_firmware_never_panics(at: prop::sample::Index, with: [u8; 4], cut: prop::sample::Index) {
        let mut t = arm_tree();
        let i = at.index(t.len() - 4);
        t[i..i + 4].copy_from_slice(&with);
        let _ = (tree::describe(&t), tree::console(&t));
        t.truncate(cut.index(t.len()));
        let _ = tree::describe(&t);
        let mut m = acpi_machine();
        let i = at.index(0x900);
        m.put(i, &with);
        let _ = m.describe();
    }
}

fn four_cores() -> Registry {
    let d = |i| CoreDescription {
        hw_id: i,
        node: i as u32 / 2,
        capacity: 1024,
    };
    Registry::new(&[d(0), d(1), d(2), d(3)], 1)
}

fn run(r: &mut Registry, op: CoreOp, core: u32, fresh: bool, then: CoreState, osnode: u64) -> Plan {
    let plan = r.plan(Operation { op, core, fresh }).expect("allowed");
    r.finish(plan, then, osnode);
    plan
}

fn refused(r: &mut Registry, op: CoreOp, core: u32) -> Refusal {
    r.plan(Operation {
        op,
        core,
        fresh: false,
    })
    .expect_err("refused")
}

#[test]
fn the_life_of_a_core() {
    use CoreState::{Crashed, Penned, Running};
    let mut r = four_cores();
    let p = run(&mut r, CoreOp::Start, 1, false, Running, 2);
    assert_eq!((p.osnode, p.executor), (0, 1));
    assert_eq!(refused(&mut r, CoreOp::Start, 1), Refusal::Running(1, 2));
    let p = run(&mut r, CoreOp::Stop, 1, false, Penned, 0);
    assert_eq!(p.osnode, 2);
    assert_eq!(r.osnodes(), [(1, 0, true), (2, 1, false)]);
    assert_eq!(
        refused(&mut r, CoreOp::Update, 1),
        Refusal::NotRunning(1, Penned)
    );
    let p = run(&mut r, CoreOp::Start, 1, true, Running, 3);
    assert_eq!(p.osnode, 0, "fresh");
    assert_eq!(r.osnodes(), [(1, 0, true), (2, 1, false), (3, 1, true)]);
    run(&mut r, CoreOp::Stop, 1, false, Penned, 0);
    let p = run(&mut r, CoreOp::Start, 1, false, Running, 0);
    assert_eq!(p.osnode, 3, "the one stopped last");
    r.observe(1, Crashed);
    assert_eq!(refused(&mut r, CoreOp::Update, 1), Refusal::Crashed(1));
    let p = run(&mut r, CoreOp::Recover, 1, false, Running, 0);
    assert_eq!(p.osnode, 3);
    assert_eq!(refused(&mut r, CoreOp::Recover, 1), Refusal::NotCrashed(1));
    assert_eq!(refused(&mut r, CoreOp::Recover, 2), Refusal::NeverRan(2));
    assert_eq!(refused(&mut r, CoreOp::Stop, 9), Refusal::NoCore(9, 4));
    assert_eq!(refused(&mut r, CoreOp::Stop, 0), Refusal::Console(0));
}

#[test]
fn an_osnode_whose_first_kernel_failed_is_kept() {
    use CoreState::{Crashed, Off, Penned, Running};
    let mut r = four_cores();
    run(&mut r, CoreOp::Start, 1, false, Crashed, 2);
    assert_eq!(r.osnodes(), [(1, 0, true), (2, 1, false)]);
    let p = run(&mut r, CoreOp::Recover, 1, false, Running, 0);
    assert_eq!(p.osnode, 2);
    run(&mut r, CoreOp::Start, 2, false, Penned, 3);
    assert_eq!(r.osnodes().last(), Some(&(3, 2, false)));
    let p = run(&mut r, CoreOp::Start, 2, false, Penned, 3);
    assert_eq!((p.osnode, r.osnodes().len()), (3, 3), "listed once");
    run(&mut r, CoreOp::Start, 3, false, Off, 0);
    assert_eq!(r.osnodes().len(), 3, "refused before one was made");
}

#[test]
fn nobody_drives_the_core_that_it_stands_on() {
    let mut r = four_cores();
    assert_eq!(refused(&mut r, CoreOp::Update, 0), Refusal::NoExecutor(0));
    run(&mut r, CoreOp::Start, 2, false, CoreState::Running, 2);
    let p = run(&mut r, CoreOp::Update, 0, false, CoreState::Running, 0);
    assert_eq!((p.osnode, p.executor), (1, 2));
}

#[test]
fn an_executor_is_not_detached_meanwhile() {
    let mut r = four_cores();
    let op = |core| Operation {
        op: CoreOp::Update,
        core,
        fresh: false,
    };
    run(&mut r, CoreOp::Start, 1, false, CoreState::Running, 2);
    run(&mut r, CoreOp::Start, 2, false, CoreState::Running, 3);
    let one = r.plan(op(1)).expect("by o1");
    let two = r.plan(op(2)).expect("at the same time");
    assert_eq!((one.executor, two.executor), (1, 1));
    assert_eq!(
        r.plan(op(0)),
        Err(Refusal::Busy(0)),
        "it executes for others"
    );
    assert_eq!(r.plan(op(1)), Err(Refusal::Busy(1)));
    r.finish(one, CoreState::Running, 0);
    r.finish(two, CoreState::Running, 0);
    let zero = r.plan(op(0)).expect("now free");
    assert_eq!(zero.executor, 2);
    assert_eq!(
        r.plan(op(1)),
        Err(Refusal::Busy(1)),
        "o2 executes for core 0"
    );
    let two = r.plan(op(2));
    assert_eq!(
        two,
        Err(Refusal::Busy(0)),
        "only o1 has the control of core 2"
    );
    r.finish(zero, CoreState::Running, 0);
    r.plan(op(2)).expect("o1 is free again");
    assert!(Refusal::Busy(1).to_string().contains("core 1"));
}

proptest! {
    /// Whatever the order: no core is detached by an OSnode on it, and no executor is being detached.
    #[test]
    fn random_operations_keep_the_rules(steps in prop::collection::vec((0u32..4, 0u32..5, any::<bool>(), 0u8..4), 1..80)) {
        let mut r = four_cores();
        let mut open: Vec<Plan> = Vec::new();
        let mut next = 2;
        for (op, core, fresh, end) in steps {
            let op = [CoreOp::Start, CoreOp::Stop, CoreOp::Update, CoreOp::Recover][op as usize];
            if let Ok(p) = r.plan(Operation { op, core, fresh }) {
                let on = r.osnodes().into_iter().find(|(o, ..)| *o == p.executor).expect("known");
                prop_assert!(on.2 && on.1 != core);
                prop_assert!(open.iter().all(|q| q.operation.core != core && q.operation.core != on.1));
                prop_assert!(open.iter().all(|q| q.executor_core != core));
                open.push(p);
            }
            if end < 3 && !open.is_empty() {
                let p = open.remove(usize::from(end) % open.len());
                let state = match p.operation.op {
                    CoreOp::Stop => CoreState::Penned,
                    _ if end == 2 => CoreState::Crashed,
                    _ => CoreState::Running,
                };
                let made = if p.osnode == 0 { next += 1; next } else { 0u64 };
                r.finish(p, state, made);
            }
            let mut ids: Vec<u64> = r.osnodes().iter().map(|o| o.0).collect();
            let n = ids.len();
            ids.dedup();
            prop_assert_eq!(ids.len(), n, "an OSnode is listed once");
        }
    }
}
