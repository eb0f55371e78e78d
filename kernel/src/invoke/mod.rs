//! Invocations: one file per kind of object. Each `decode` part checks everything, then the object changes
//! in one transaction.

use abi::{Op, SysError};
use capfmt::undo::Transaction;
use capfmt::{Cap, CapType, Cte, Isa, Kcb, Rights, mdb};

use crate::entry::{Caller, Entry, Res, refuse};
use crate::{Machine, Policy, decode, shootdown};

pub(crate) mod bind;
pub(crate) mod care;
pub(crate) mod cnode;
pub(crate) mod core;
pub(crate) mod dispatcher;
pub(crate) mod endpoint;
pub(crate) mod irq;
pub(crate) mod kernel;
pub(crate) mod merge;
pub(crate) mod notify;
pub(crate) mod port;
pub(crate) mod retype;
pub(crate) mod seal;
pub(crate) mod shared;
pub(crate) mod vnode;

/// The invoked capability and its slot.
#[derive(Clone, Copy)]
pub(crate) struct Invoked {
    pub cte: Cte,
    pub cap: Cap,
}

impl Invoked {
    /// Checks type and rights.
    pub fn ensure(&self, kind: CapType, rights: Rights) -> Res {
        decode::ensure(&self.cap, kind, rights)
    }
}

/// Carries out operation number `op` on the capability in r1.
pub(crate) fn invoke<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, op: u8) -> Res {
    let Some(op) = Op::from_u8(op) else {
        return refuse(SysError::BadCall);
    };
    let (cte, cap) = decode::lookup(e, c, c.reg(e.m, 1))?;
    let i = Invoked { cte, cap };
    match op {
        Op::Identify => identify_slow(e, c, &i),
        Op::Copy => cnode::copy(e, c, &i),
        Op::Move => cnode::move_to(e, c, &i),
        Op::Delete => cnode::delete(e, c, &i),
        Op::Revoke => cnode::revoke(e, c, &i),
        Op::Retype => retype::retype(e, c, &i),
        Op::Merge => merge::merge(e, c, &i),
        Op::Map => vnode::map(e, c, &i),
        Op::Unmap => vnode::unmap(e, c, &i),
        Op::Protect => vnode::protect(e, c, &i),
        Op::DispConfigure => dispatcher::configure(e, c, &i),
        Op::DispRun => dispatcher::run(e, c, &i),
        Op::DispSchedule => dispatcher::schedule(e, c, &i),
        Op::DispName => dispatcher::name(e, c, &i),
        Op::DispInfo => dispatcher::info(e, c, &i),
        Op::EndpointOpen => endpoint::open(e, c, &i),
        Op::EndpointReceive => endpoint::receive(e, c, &i),
        Op::NotifyBind => notify::bind(e, c, &i),
        Op::Signal => notify::signal(e, c, &i),
        Op::NotifyMint => notify::mint(e, c, &i),
        Op::IrqMint => irq::mint(e, c, &i),
        Op::IrqBind => irq::bind(e, c, &i),
        Op::IrqAck => irq::acknowledge(e, c, &i),
        Op::PortIn if M::ISA as u8 == Isa::X86 as u8 => port::input(e, c, &i),
        Op::PortOut if M::ISA as u8 == Isa::X86 as u8 => port::output(e, c, &i),
        Op::PortIn | Op::PortOut => refuse(SysError::BadCall),
        Op::KernelIdentify => kernel::identify(e, c, &i),
        Op::KernelLog => kernel::log(e, c, &i),
        Op::KernelHalt => kernel::halt(e, c, &i),
        Op::OsnodeInfo => kernel::osnode_info(e, c, &i),
        Op::ClockInfo => kernel::clock_info(e, c, &i),
        Op::IdCreate => kernel::id_create(e, c, &i),
        Op::Seal => seal::seal(e, c, &i),
        Op::CapExport => seal::export(e, c, &i),
        Op::CapImport => seal::import(e, c, &i),
        Op::CapOwner => shared::owner(e, c, &i),
        Op::CapNext => shared::next(e, c, &i),
        Op::CapRemove => shared::remove(e, c, &i),
        Op::CapSetOwner => shared::set_owner(e, c, &i),
        Op::CapSetRemote => shared::set_remote(e, c, &i),
        Op::CapLock => shared::lock(e, c, &i),
        Op::CapMark => shared::mark(e, c, &i),
        Op::CapUnmark => shared::unmark(e, c, &i),
        Op::CapSweep => shared::sweep(e, c, &i),
        Op::CapPending => shared::pending(e, c, &i),
        Op::CapAnswer => shared::answer(e, c, &i),
        Op::MonitorBind => bind::bind(e, c, &i),
        Op::TlbFlush => shared::flush(e, c, &i),
        Op::ReclaimBind => bind::reclaim(e, c, &i),
        Op::Flushed => shootdown::flushed(e, c, &i),
        Op::KcbInfo => kernel::kcb_info(e, c, &i),
        Op::KcbCare => care::care(e, c, &i),
        Op::CoreMint => core::mint(e, c, &i),
        Op::CoreHandOver => core::hand_over(e, c, &i),
        Op::CoreCommand => core::command(e, c, &i),
        Op::CoreSignal => core::signal(e, c, &i),
        Op::CoreInfo => core::info(e, c, &i),
        Op::CoreRead => core::read(e, c, &i),
        Op::CorePhase => core::phase(e, c, &i),
        Op::CoreImage => core::image(e, c, &i),
        Op::CoreRelease => core::release(e, c, &i),
    }
}

/// `Identify` with unused high bits in r0: the same answer.
fn identify_slow<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    let raw = i.cap.emit().0;
    let node = i.cte.node(e.m);
    let about = u64::from(node.flags.0) | u64::from(node.owner) << 16;
    e.reply(c, &[raw[0], raw[1], raw[2], raw[3], about]);
    Ok(())
}

/// Moves a capability to an empty slot, with all that knows its slot.
pub(crate) fn move_cap<M: Machine>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    from: Cte,
    cap: &Cap,
    to: Cte,
) {
    if cap.kind == CapType::Mapping {
        vnode::mapping_moves(t, cap, from, to);
    }
    mdb::move_to(t, kcb, from, to);
}

/// Makes a capability derived from the one in `from`, in a slot known to be empty.
pub(crate) fn derive<M: Machine>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    from: Cte,
    slot: Cte,
    cap: &Cap,
) {
    let node = decode::derived(t, from, cap.kind == CapType::Mapping);
    decode::place(t, kcb, &node, slot, cap);
}
