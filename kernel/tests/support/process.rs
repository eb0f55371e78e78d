//! Further processes, made by system calls as a spawn service makes them.

use abi::{CapAddr, Op, disp, slots};
use capfmt::{CapType, Dcb, FORMAT_VERSION, Isa, Kcb, Notification, PhysAddr, PhysMap};
use kernel::Policy;

use super::machine::TestMachine;
use super::world::{RAM, World};

/// Slots that process `n` takes in the first process's free CNode.
const SLOTS: u32 = 8;
/// Bytes of RAM that a process is made of.
const BYTES: u64 = 0x1_0000;

/// What the first process holds of a process that it made.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pub dispatcher: CapAddr,
    pub root: CapAddr,
    pub task: CapAddr,
    pub vnode: CapAddr,
    pub frame: CapAddr,
    pub endpoint: CapAddr,
    pub dcb: Dcb,
    pub page: PhysAddr,
    /// Offset of its memory in the RAM capability.
    pub offset: u64,
}

impl Process {
    /// The addresses of process `n`.
    pub fn number(n: u32) -> Process {
        let at = |k| CapAddr::new(1, n * SLOTS + k);
        let offset = u64::from(n) * BYTES;
        Process {
            dispatcher: at(0),
            root: at(1),
            task: at(2),
            vnode: at(3),
            frame: at(4),
            endpoint: at(5),
            dcb: Dcb(RAM.add(offset + 0x8000)),
            page: RAM.add(offset + 0xc000),
            offset,
        }
    }
}

/// Writes a fresh OSnode's KCB and pages into the region, as a boot driver does.
pub fn write_osnode(m: &mut TestMachine, base: PhysAddr, bytes: u64) -> Kcb {
    let kcb = Kcb(base);
    kcb.set_magic(m, Kcb::MAGIC);
    kcb.set_format(m, FORMAT_VERSION);
    kcb.set_isa(m, Isa::X86 as u64);
    kcb.set_osnode(m, 77);
    kcb.set_mem_base(m, base.0);
    kcb.set_mem_size(m, bytes);
    kcb.set_time_page(m, base.0 + 0x4000);
    kcb.set_notification(m, base.0 + 0x5000);
    let sum = kcb.compute_checksum(m);
    kcb.set_checksum(m, sum);
    let page = Notification(base.add(0x5000));
    page.set_magic(m, Notification::MAGIC);
    page.set_osnode(m, 77);
    kcb
}

impl<P: Policy> World<P> {
    /// Retypes from the RAM capability.
    #[track_caller]
    pub fn make(
        &mut self,
        kind: CapType,
        param: u32,
        offset: u64,
        size: u64,
        count: u64,
        to: CapAddr,
    ) {
        let what = kind as u64 | u64::from(param) << 8;
        let root = u64::from(slots::ROOT_CNODE.0);
        let args = [offset, what, size, count, root, u64::from(to.0)];
        self.ok(Op::Retype, slots::RAM, &args);
    }

    /// Copies a capability of the first process into CNode `root` with all its rights.
    #[track_caller]
    pub fn copy(&mut self, from: CapAddr, root: CapAddr, to: CapAddr) {
        self.ok(Op::Copy, root, &[u64::from(from.0), u64::from(to.0), 15]);
    }

    /// Makes process `n`: own CSpace, root VNode, frame; endpoint 0 open with 8 ring slots.
    #[track_caller]
    pub fn spawn(&mut self, n: u32) -> Process {
        let p = Process::number(n);
        self.make(CapType::CNode, 8, p.offset, 0, 1, p.root);
        self.make(CapType::CNode, 8, p.offset + 0x4000, 0, 1, p.task);
        self.make(
            CapType::Dispatcher,
            0,
            p.offset + 0x8000,
            0,
            1,
            p.dispatcher,
        );
        self.make(CapType::VNode, 3, p.offset + 0xa000, 0, 1, p.vnode);
        self.make(
            CapType::Frame,
            0,
            p.offset + 0xc000,
            disp::FRAME_BYTES,
            1,
            p.frame,
        );
        self.copy(p.task, p.root, CapAddr::root(0));
        let give = [
            (p.root, slots::ROOT_CNODE),
            (p.dispatcher, slots::DISPATCHER),
            (p.vnode, slots::ROOT_VNODE),
            (p.frame, slots::DISP_FRAME),
        ];
        for (from, to) in give {
            self.copy(from, p.root, to);
        }
        let endpoint = u64::from(p.endpoint.0);
        self.ok(Op::EndpointOpen, p.dispatcher, &[0, 0, 8, endpoint]);
        self.copy(p.endpoint, p.root, slots::SELF_ENDPOINT);
        let args = [p.root, p.vnode, p.frame, slots::SELF_ENDPOINT].map(|a| u64::from(a.0));
        self.ok(Op::DispConfigure, p.dispatcher, &args);
        p
    }

    /// Starts a process.
    #[track_caller]
    pub fn start(&mut self, p: &Process) {
        self.ok(Op::DispRun, p.dispatcher, &[1]);
    }

    /// Makes upcalls of these numbers welcome.
    pub fn want(&mut self, page: PhysAddr, upcalls: &[disp::Upcall]) {
        let bits = upcalls.iter().fold(0, |b, u| b | 1 << *u as u8);
        self.m.store(page.add(disp::UPCALLS_WANTED), bits);
        self.m.store(page.add(disp::UPCALL_ENTRY), 0x40_1000);
        self.m.store(page.add(disp::UPCALL_STACK), 0x50_0000);
        self.m.store(page.add(disp::UPCALL_TLS), 0x60_0000);
    }
}
