//! An OSnode in an arena, and hands to drive it: registers in, `step`, registers out.

use abi::{Op, Syscall, disp, slots};
use capfmt::{
    Attachment, CORE_OBJECT_BYTES, Cap, CapType, Core, CoreStatus, Cte, DCB_BYTES, Dcb, DcbState,
    FORMAT_VERSION, Isa, Kcb, NOTIFICATION_BYTES, Notification, PhysAddr, PhysMap, VNODE_BYTES,
    mdb,
};
use kernel::{
    Effect, Event, KernelIdentity, Machine, Next, Osnode, Policy, Resume, attach, step, system_call,
};
use model::Arena;

use super::machine::TestMachine;

pub const CORE: PhysAddr = PhysAddr(0x10_0000);
pub const OTHER_CORE: PhysAddr = PhysAddr(0x11_0000);
pub const KCB: Kcb = Kcb(PhysAddr(0x12_0000));
pub const TIME_PAGE: PhysAddr = PhysAddr(0x12_4000);
pub const NOTIFICATION: PhysAddr = PhysAddr(0x12_5000);
pub const ROOT: PhysAddr = PhysAddr(0x13_0000);
pub const TASK: PhysAddr = PhysAddr(0x13_4000);
pub const FREE: PhysAddr = PhysAddr(0x13_8000);
pub const DCB: Dcb = Dcb(PhysAddr(0x14_0000));
pub const VNODE: PhysAddr = PhysAddr(0x14_2000);
pub const FRAME: PhysAddr = PhysAddr(0x14_4000);
pub const RAM: PhysAddr = PhysAddr(0x20_0000);
pub const DEVICES: PhysAddr = PhysAddr(0xf000_0000);
pub const OSNODE: u64 = 7;

pub const IDENTITY: KernelIdentity = KernelIdentity {
    build_id: [1, 2, 3],
    name: [0x0064_7473, 0],
    formats: 2 | 1 << 16,
};

/// An attached OSnode and what its last step answered.
pub struct World<P: Policy> {
    pub m: TestMachine,
    pub os: Osnode<P>,
    pub last: Resume,
    pub effects: Vec<Effect>,
    /// By the low 16 bits of r0: system calls that answered 0, and others.
    pub answers: std::collections::BTreeMap<u16, (u64, u64)>,
}

/// The slot at `addr` in the first process's CSpace (the first two CNodes in its root, and the root).
pub fn slot_at(addr: abi::CapAddr) -> Cte {
    let low = u64::from(addr.0 & 0xff) * 64;
    let base = match addr.0 >> 8 {
        0 => TASK,
        1 => FREE,
        _ => ROOT,
    };
    Cte(base.add(low))
}

/// The save area that a dispatcher page names.
pub fn live_area(m: &TestMachine, page: PhysAddr) -> PhysAddr {
    match m.load(page.add(disp::DISABLED)) {
        0 => page.add(disp::ENABLED_AREA),
        _ => page.add(disp::DISABLED_AREA),
    }
}

fn write_core(m: &mut TestMachine, at: PhysAddr, id: u64) {
    let core = Core(at);
    core.set_magic(m, Core::MAGIC);
    core.set_format(m, FORMAT_VERSION);
    core.set_isa(m, Isa::X86 as u64);
    core.set_hw_id(m, 100 + id);
    core.set_core_id(m, id);
    core.set_counter_hz(m, 1_000_000_000);
    core.set_mult(m, 1 << 20);
    core.set_shift(m, 20);
    core.set_holder(m, OSNODE);
    core.set_target_status(m, CoreStatus::Starting as u64);
}

fn write_kcb(m: &mut TestMachine, bytes: u64) {
    KCB.set_magic(m, Kcb::MAGIC);
    KCB.set_format(m, FORMAT_VERSION);
    KCB.set_isa(m, Isa::X86 as u64);
    KCB.set_features(m, 1);
    KCB.set_osnode(m, OSNODE);
    KCB.set_state(m, Attachment::Detached { epoch: 0 }.pack());
    KCB.set_mem_base(m, KCB.0.0);
    KCB.set_mem_size(m, bytes);
    KCB.set_next_id(m, 1);
    KCB.set_notification(m, NOTIFICATION.0);
    KCB.set_time_page(m, TIME_PAGE.0);
    KCB.set_peer_count(m, 1);
    KCB.set_peer(m, 0, OSNODE);
    let sum = KCB.compute_checksum(m);
    KCB.set_checksum(m, sum);
    let page = Notification(NOTIFICATION);
    page.set_magic(m, Notification::MAGIC);
    page.set_osnode(m, OSNODE);
}

fn vnode_cap() -> Cap {
    let mut cap = Cap::region(CapType::VNode, VNODE, VNODE_BYTES);
    cap.param = 3;
    cap.extra = Isa::X86 as u64;
    cap
}

fn endpoint_cap() -> Cap {
    Cap::region(CapType::Endpoint, DCB.0, DCB_BYTES)
}

/// Capabilities of the first process, in their slots.
fn capabilities(bytes: u64) -> Vec<(Cte, Cap)> {
    let kernel = Cap {
        kind: CapType::Kernel,
        rights: capfmt::Rights::ALL,
        ..Cap::NULL
    };
    let ram = Cap::region(CapType::Ram, RAM, bytes - (RAM.0 - CORE.0));
    let at = slot_at;
    let frame = Cap::region(CapType::Frame, FRAME, disp::FRAME_BYTES);
    vec![
        (Cte(ROOT), Cap::cnode(TASK, 8)),
        (Cte(ROOT.add(64)), Cap::cnode(FREE, 8)),
        (at(slots::ROOT_CNODE), Cap::cnode(ROOT, 8)),
        (
            at(slots::DISPATCHER),
            Cap::region(CapType::Dispatcher, DCB.0, DCB_BYTES),
        ),
        (at(slots::ROOT_VNODE), vnode_cap()),
        (at(slots::DISP_FRAME), frame),
        (at(slots::KERNEL), kernel),
        (at(slots::SELF_ENDPOINT), endpoint_cap()),
        (
            at(slots::NOTIFICATION),
            Cap::region(CapType::Notification, NOTIFICATION, NOTIFICATION_BYTES),
        ),
        (
            at(slots::IRQ_SOURCES),
            Cap::region(CapType::IrqSource, PhysAddr(0), 96),
        ),
        (
            at(slots::IO_PORTS),
            Cap::region(CapType::IoPort, PhysAddr(0), 0x1_0000),
        ),
        (
            at(slots::CORE),
            Cap::region(CapType::Core, OTHER_CORE, CORE_OBJECT_BYTES),
        ),
        (
            at(slots::DEVICES),
            Cap::region(CapType::PhysAddr, DEVICES, 0x10_0000),
        ),
        (at(slots::RAM), ram),
        (DCB.cspace(), Cap::cnode(ROOT, 8)),
        (DCB.vspace(), vnode_cap()),
        (DCB.disp_frame(), frame),
        (DCB.fault_endpoint(), endpoint_cap()),
    ]
}

/// Memory with a fresh, detached OSnode of one dispatcher.
pub fn fresh_machine(bytes: u64) -> TestMachine {
    let mut m = TestMachine {
        arena: Arena::new(CORE.0, bytes),
        counter: std::cell::Cell::new(1_000_000),
        core: CORE,
        shared: None,
    };
    write_core(&mut m, CORE, 0);
    write_core(&mut m, OTHER_CORE, 1);
    Core(OTHER_CORE).set_target_status(&mut m, CoreStatus::Penned as u64);
    write_kcb(&mut m, bytes - (KCB.0.0 - CORE.0));
    for (cte, cap) in capabilities(bytes) {
        mdb::place(&mut m, KCB, cte, &cap);
    }
    DCB.set_magic(&mut m, Dcb::MAGIC);
    DCB.set_id(&mut m, 0);
    DCB.set_state(&mut m, DcbState::Runnable as u64);
    DCB.set_wake_at_ns(&mut m, u64::MAX);
    DCB.set_endpoint_word(&mut m, 2, 32 << 32);
    KCB.set_dcb_head(&mut m, DCB.0.0);
    m
}

impl<P: Policy> World<P> {
    /// A fresh OSnode in `bytes` of memory, attached and running its first dispatcher.
    pub fn new(bytes: u64) -> World<P> {
        World::adopt(fresh_machine(bytes))
    }

    /// Attaches what stands in memory.
    pub fn adopt(mut m: TestMachine) -> World<P> {
        let mut os = attach(&mut m, KCB.0, IDENTITY).expect("the KCB can be adopted");
        step(&mut os, &mut m, Event::Idle);
        let last = *os.resume();
        let effects = os.effects().iter().collect();
        World {
            m,
            os,
            last,
            effects,
            answers: Default::default(),
        }
    }

    /// One kernel entry.
    pub fn event(&mut self, event: Event) -> Resume {
        let area = match (event, self.last.next) {
            (Event::Syscall, Next::Run { page, .. }) => Some(live_area(&self.m, page)),
            _ => None,
        };
        let r0 = area.map(|a| self.m.load(a));
        self.last = match event {
            Event::Syscall => self.system_call(),
            _ => {
                step(&mut self.os, &mut self.m, event);
                *self.os.resume()
            }
        };
        self.effects.extend(self.os.effects().iter());
        if let (Some(area), Some(r0)) = (area, r0) {
            let code = r0 as u16 & if r0 as u8 == 0 { 0xff00 } else { 0xff };
            let (done, refused) = self.answers.entry(code).or_default();
            match self.m.load(area) {
                0 => *done += 1,
                _ => *refused += 1,
            }
        }
        self.last
    }

    /// A system call by the way that kernels take; where it just goes on, what that means.
    fn system_call(&mut self) -> Resume {
        match system_call(&mut self.os, &mut self.m) {
            true => *self.os.resume(),
            false => Resume {
                save_fpu: None,
                load_fpu: false,
                ..self.last
            },
        }
    }

    /// Who runs.
    pub fn running(&self) -> Option<Dcb> {
        match self.last.next {
            Next::Run { dcb, .. } => Some(Dcb(dcb)),
            _ => None,
        }
    }

    /// The save area of whoever runs.
    pub fn area(&self) -> PhysAddr {
        match self.last.next {
            Next::Run { area, .. } => area,
            other => panic!("nobody runs: {other:?}"),
        }
    }

    /// A save area's system-call registers.
    pub fn regs(&self, area: PhysAddr) -> [u64; 8] {
        TestMachine::SYSCALL_REGS.map(|r| self.m.load(area.add(r)))
    }

    /// Enters the kernel by a system call of whoever runs.
    pub fn enter(&mut self, regs: [u64; 8]) -> Resume {
        self.enter_at(self.area(), regs)
    }

    /// As [`World::enter`], with the registers in this save area.
    pub fn enter_at(&mut self, area: PhysAddr, regs: [u64; 8]) -> Resume {
        self.set_regs(area, regs);
        self.event(Event::Syscall)
    }

    /// Writes system-call registers.
    pub fn set_regs(&mut self, area: PhysAddr, regs: [u64; 8]) {
        for (r, v) in TestMachine::SYSCALL_REGS.into_iter().zip(regs) {
            self.m.store(area.add(r), v);
        }
    }

    /// A system call that returns at once: its registers afterwards.
    pub fn call(&mut self, regs: [u64; 8]) -> [u64; 8] {
        let (who, area) = (self.running(), self.area());
        self.enter(regs);
        self.settle(who);
        self.regs(area)
    }

    /// Lets time pass until `who` runs again: long operations take a while.
    fn settle(&mut self, who: Option<Dcb>) {
        for _ in 0..100_000 {
            if self.running() == who {
                return;
            }
            self.tick();
        }
        panic!("the caller never ran again");
    }

    /// Lets time pass to the next deadline, and fires the timer.
    pub fn tick(&mut self) {
        self.pass_time();
        self.event(Event::Timer);
    }

    /// Lets time pass to the next deadline.
    pub fn pass_time(&mut self) {
        if let Some(d) = self.last.deadline {
            let now = self.m.counter.get();
            self.m.counter.set(now.max(d));
        }
    }

    /// Invokes `op` on `cap` with arguments from r2 on; all registers afterwards.
    pub fn op(&mut self, op: Op, cap: abi::CapAddr, args: &[u64]) -> [u64; 8] {
        let mut regs = [0; 8];
        regs[0] = Syscall::Invoke as u64 | (op as u64) << 8;
        regs[1] = u64::from(cap.0);
        regs[2..2 + args.len()].copy_from_slice(args);
        self.call(regs)
    }

    /// As [`World::op`], which must succeed.
    #[track_caller]
    pub fn ok(&mut self, op: Op, cap: abi::CapAddr, args: &[u64]) -> [u64; 8] {
        let regs = self.op(op, cap, args);
        let error = abi::SysError::from_code(regs[0] as u16);
        assert_eq!(regs[0], 0, "{op:?} was refused: {error:?}");
        regs
    }

    /// As [`World::op`], which must be refused with `error`.
    #[track_caller]
    pub fn refused(&mut self, error: abi::SysError, op: Op, cap: abi::CapAddr, args: &[u64]) {
        let regs = self.op(op, cap, args);
        let got = abi::SysError::from_code(regs[0] as u16);
        assert_eq!(got, Some(error), "{op:?}");
    }

    /// The capability at `addr` of the first process.
    pub fn cap(&self, addr: abi::CapAddr) -> Cap {
        slot_at(addr).cap(&self.m)
    }

    /// All capabilities of the OSnode, in order.
    pub fn caps(&self) -> Vec<(Cte, Cap)> {
        let mut all = Vec::new();
        let mut at = mdb::first(&self.m, KCB);
        while let Some(cte) = at {
            all.push((cte, cte.cap(&self.m)));
            at = mdb::next(&self.m, KCB, cte);
        }
        all
    }

    /// Checks the invariants of the tree; returns the number of capabilities.
    #[track_caller]
    pub fn check(&self) -> u64 {
        mdb::check_invariants(&self.m, KCB)
            .unwrap_or_else(|v| panic!("{} is broken: {v:?}", v.name()))
            .caps
    }
}
