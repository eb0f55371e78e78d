//! Work for an instruction counter: `cost null N` makes N system calls that change nothing, `cost lmp N` makes N
//! calls from one dispatcher to another and back. The difference between two N is what they cost. Memory is
//! reached as a kernel's window reaches it: one check, one access.

#[path = "../tests/support/mod.rs"]
mod support;

use abi::{CapAddr, MessageTag, Syscall, disp, slots};
use capfmt::{Isa, PhysAddr, PhysMap};
use kernel::{Event, Machine, Next, Osnode, PageRights, RoundRobin, attach, step, system_call};
use support::machine::TestMachine;
use support::process::Process;
use support::world::{CORE, IDENTITY, KCB, World};

type W = World<RoundRobin>;

/// As much as a window costs: an alignment and range check, then the access.
struct Lean {
    words: Box<[u64; WORDS]>,
    counter: std::cell::Cell<u64>,
}
const WORDS: usize = 1 << 21;

fn place(at: PhysAddr) -> usize {
    assert!(at.0 & !(WORDS as u64 * 8 - 8) == 0);
    (at.0 / 8) as usize
}

impl PhysMap for Lean {
    #[inline]
    fn load(&self, at: PhysAddr) -> u64 {
        self.words[place(at)]
    }
    #[inline]
    fn store(&mut self, at: PhysAddr, value: u64) {
        self.words[place(at)] = value;
    }
    fn compare_exchange(&mut self, at: PhysAddr, old: u64, new: u64) -> Result<(), u64> {
        let word = &mut self.words[place(at)];
        if *word != old {
            return Err(*word);
        }
        *word = new;
        Ok(())
    }
    fn covers(&self, at: PhysAddr, len: u64) -> bool {
        at.0.saturating_add(len) <= WORDS as u64 * 8
    }
}

impl Machine for Lean {
    const ISA: Isa = TestMachine::ISA;
    const SYSCALL_REGS: [u64; 8] = TestMachine::SYSCALL_REGS;
    const ARGUMENT_REGS: [u64; 4] = TestMachine::ARGUMENT_REGS;
    const SYSCALL_BYTES: u64 = 2;
    const USER_FLAGS: u64 = 0x202;
    const ROOT_LEVEL: u32 = 3;
    const USER_ROOT_ENTRIES: u64 = 256;
    fn leaf_entry(&self, _: u32, frame: PhysAddr, _: PageRights) -> u64 {
        frame.0
    }
    fn table_entry(&self, table: PhysAddr) -> u64 {
        table.0
    }
    fn init_root(&mut self, _: PhysAddr) {}
    #[inline]
    fn counter(&self) -> u64 {
        self.counter.set(self.counter.get() + 100);
        self.counter.get()
    }
    fn features(&self) -> u64 {
        3
    }
    fn core_object(&self) -> PhysAddr {
        CORE
    }
    fn fresh_fpu(&self) -> &'static [(u64, u64)] {
        &[]
    }
}

/// The same memory, reached the short way, and its OSnode, adopted.
fn lean(w: W) -> (Lean, Osnode<RoundRobin>, PhysAddr) {
    let mut words: Box<[u64; WORDS]> = vec![0; WORDS].try_into().expect("as many words");
    let first = (CORE.0 / 8) as usize;
    words[first..first + w.m.arena.words().len()].copy_from_slice(w.m.arena.words());
    let mut m = Lean {
        words,
        counter: std::cell::Cell::new(w.m.counter.get()),
    };
    let mut os = attach(&mut m, KCB.0, IDENTITY).expect("attached before");
    step(&mut os, &mut m, Event::Idle);
    let next = os.resume().next;
    let Next::Run { area, .. } = next else {
        panic!("nobody runs");
    };
    (m, os, area)
}

fn set(m: &mut Lean, area: PhysAddr, regs: [u64; 8]) {
    for (r, v) in Lean::SYSCALL_REGS.into_iter().zip(regs) {
        m.store(area.add(r), v);
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_default();
    let n: u64 = args.next().and_then(|n| n.parse().ok()).unwrap_or(1000);
    match what.as_str() {
        "null" => null(n),
        "lmp" => lmp(n),
        other => eprintln!("cost null|lmp N, not {other:?}"),
    }
}

fn null(n: u64) {
    let (mut m, mut os, area) = lean(W::new(0x80_0000));
    set(&mut m, area, [0, u64::from(slots::RAM.0), 0, 0, 0, 0, 0, 0]);
    for _ in 0..n {
        m.store(area.add(Lean::SYSCALL_REGS[1]), u64::from(slots::RAM.0));
        assert!(!system_call(&mut os, &mut m));
    }
}

/// A server that waits for any message.
fn server(w: &mut W) -> Process {
    let p = w.spawn(0);
    w.copy(slots::SELF_ENDPOINT, p.root, CapAddr::new(0, 40));
    w.start(&p);
    w.enter([Syscall::Wait as u64, 3_000_000, 0, 0, 0, 0, 0, 0]);
    w.enter([Syscall::Wait as u64, u64::MAX, 0, 0, 0, 0, 0, 0]);
    assert_eq!(w.last.next, Next::Idle);
    w.tick();
    p
}

fn lmp(n: u64) {
    let mut w = W::new(0x80_0000);
    let p = server(&mut w);
    let (mut m, mut os, mut area) = lean(w);
    let r0 = MessageTag::default().r0(Syscall::Call);
    let back = CapAddr::new(0, 40);
    assert_eq!(area, support::world::FRAME.add(disp::DISABLED_AREA));
    for k in 0..n {
        let to = if k % 2 == 0 { p.endpoint } else { back };
        m.store(area.add(Lean::SYSCALL_REGS[0]), r0);
        m.store(area.add(Lean::SYSCALL_REGS[1]), u64::from(to.0));
        assert!(system_call(&mut os, &mut m), "another one runs");
        let Next::Run { area: next, .. } = os.resume().next else {
            panic!("the receiver does not run");
        };
        assert!(next != area);
        area = next;
    }
}
