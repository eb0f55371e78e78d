//! Memory comes back: when the last capability over some bytes goes, they become a Ram capability again, in the
//! CNode that `ReclaimBind` named.
//!
//! Only what this OSnode owns and nobody else knows; others' memory is their monitors'
//! to account for. A page comes back when nothing is left in it: an ancestor, a copy, a
//! part that was made from it, a Mapping. Usually all of an object is free at once, and the
//! object's capability and the new one change places in one transaction. If only parts
//! are, or there is no slot, the doomed capability goes to the long operation's done
//! list: there it becomes Ram, its free parts become Ram capabilities one by one, and it
//! goes when none is left. Without a free slot the operation stands still until there
//! is one. So no byte is lost or counted twice, whenever a kernel dies.
//!
//! Whoever empties the CNode (the *collector*: the dispatcher whose word has the channel) never waits for
//! an operation that stands still, its own included: its calls end with `BackFull`. So it goes on, makes places,
//! and the operation goes on as well.

use abi::SysError;
use capfmt::schema::Class;
use capfmt::undo::Transaction;
use capfmt::{
    CTE_BYTES, Cap, CapType, Cte, Dcb, DcbState, KCB_BYTES, Kcb, MdbNode, PhysAddr, PhysMap, mdb,
};

use crate::entry::Entry;
use crate::{Machine, Policy, decode, dispatch, family, share};

/// Bytes of a page: what comes back is whole pages.
const PAGE: u64 = 4096;
/// Slots of the CNode that memory comes back to.
pub(crate) const SLOTS: u64 = 256;
/// Stretches looked at in one piece.
const LOOK: u32 = 32;

/// What the next look found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Left {
    /// Nothing (more) will be nobody's.
    Nothing,
    /// These bytes will, and nothing behind them.
    Last(PhysAddr, u64),
    /// These bytes will, and there may be more behind them.
    Part(PhysAddr, u64),
    /// Nothing up to here; the rest is to be looked at.
    Further(u64),
}

/// What will be nobody's from `from` on when the last capability in `cte` goes.
pub(crate) fn look(m: &impl PhysMap, kcb: Kcb, cte: Cte, cap: &Cap, from: u64) -> Left {
    if kcb.reclaim_cnode(m) == 0 || !is_own_memory(m, kcb, cte, cap) {
        return Left::Nothing;
    }
    let first = cap.base.0 & !(PAGE - 1);
    let end = up(cap.base.0 + cap.size);
    let mut at = first.max(from);
    for _ in 0..LOOK {
        if at >= end {
            return Left::Nothing;
        }
        if let Some(taken) = taken_from(m, kcb, cte, at) {
            at = taken;
            continue;
        }
        let stop = free_until(m, kcb, cte, at, end);
        let size = stop - at;
        return if stop == end {
            Left::Last(PhysAddr(at), size)
        } else {
            Left::Part(PhysAddr(at), size)
        };
    }
    Left::Further(at)
}

const fn up(at: u64) -> u64 {
    (at + PAGE - 1) & !(PAGE - 1)
}

/// Whether the bytes are memory that only this OSnode accounts for, and not about to be another one's. Rights to
/// objects of others (`Notify`, `CoreControl`) keep their bytes from coming back, but never bring them back
/// themselves.
fn is_own_memory(m: &impl PhysMap, kcb: Kcb, cte: Cte, cap: &Cap) -> bool {
    use CapType::{
        CNode, Core, Dispatcher, Endpoint, Frame, Notification, Ram, UmpEndpoint, VNode,
    };
    let memory = match cap.kind {
        Ram
        | Frame
        | CNode
        | Dispatcher
        | Endpoint
        | UmpEndpoint
        | VNode
        | Notification
        | Core
        | CapType::Kcb => true,
        CapType::Mapping => cap
            .mapped(capfmt::Isa::X86)
            .is_some_and(|what| what.kind != CapType::DevFrame),
        _ => false,
    };
    memory
        && m.covers(cap.base, cap.size)
        && !share::is_shared(m, cte)
        && !family::object(m, kcb).is_some_and(|object| {
            capfmt::schema::is_copy(cap, &object) || capfmt::schema::is_descendant(cap, &object)
        })
}

/// What the kernel itself needs of the OSnode's memory, whoever has a capability to it.
fn own_pages(m: &impl PhysMap, kcb: Kcb) -> [(u64, u64); 3] {
    [
        (kcb.0.0, kcb.0.0 + KCB_BYTES),
        (kcb.notification(m), kcb.notification(m) + PAGE),
        (kcb.time_page(m), kcb.time_page(m) + PAGE),
    ]
}

/// What covers the byte at `at`, beside `cte`. The right to make device frames of addresses does not: it
/// goes over all memory.
fn cover(m: &impl PhysMap, kcb: Kcb, cte: Cte, at: u64) -> Option<Cap> {
    let mut next = mdb::last_covering(m, kcb, Class::Physical, at, cte);
    while let Some(other) = next {
        let cap = other.cap(m);
        if other != cte && cap.kind != CapType::PhysAddr {
            return Some(cap);
        }
        next = mdb::covering_before(m, kcb, other, at);
    }
    None
}

/// The end of what is in the page at `at`, beside `cte`; `None`: the page's first byte is free.
fn taken_from(m: &impl PhysMap, kcb: Kcb, cte: Cte, at: u64) -> Option<u64> {
    let own = own_pages(m, kcb);
    if let Some((_, end)) = own
        .into_iter()
        .find(|(from, end)| (*from..*end).contains(&at))
    {
        return Some(end);
    }
    if let Some(other) = cover(m, kcb, cte, at) {
        return Some(up(other.last() + 1));
    }
    // Something that begins later in this page?
    let next = mdb::next_after(m, kcb, Class::Physical, at, cte)?.cap(m);
    (next.base.0 < at + PAGE).then(|| up(next.last() + 1).min(at + PAGE))
}

/// The page in which the next thing after the free page at `at` begins, at most `end`.
fn free_until(m: &impl PhysMap, kcb: Kcb, cte: Cte, at: u64, end: u64) -> u64 {
    let next = mdb::next_after(m, kcb, Class::Physical, at, cte);
    let next = next.map_or(u64::MAX, |n| n.cap(m).base.0 & !(PAGE - 1));
    let own = own_pages(m, kcb).map(|(from, _)| if from > at { from } else { u64::MAX });
    own.into_iter().fold(end.min(next), u64::min)
}

/// A free slot of the CNode that memory comes back to.
pub(crate) fn free_slot(m: &impl PhysMap, kcb: Kcb) -> Option<Cte> {
    let first = PhysAddr(kcb.reclaim_cnode(m));
    let slot = |k| Cte(first.add(k * CTE_BYTES));
    (0..SLOTS)
        .map(slot)
        .find(|s| decode::kind_of(m, *s) == CapType::Null as u8)
}

/// The dispatcher that empties the CNode.
pub(crate) fn collector(m: &impl PhysMap, kcb: Kcb) -> Option<Dcb> {
    let word = kcb.reclaim_channel(m).checked_sub(1)? / 64;
    let dcb = kcb.notify_binding(m, word);
    (dcb != 0).then_some(Dcb(PhysAddr(dcb)))
}

/// Whether others wait for `dcb` to empty the CNode, so that it must not wait for them.
pub(crate) fn is_awaited(m: &impl PhysMap, kcb: Kcb, dcb: Dcb) -> bool {
    collector(m, kcb) == Some(dcb) && kcb.reclaim_cnode(m) != 0 && free_slot(m, kcb).is_none()
}

/// The long operation stands still: the collector does not wait for it any longer. Of its own one it is told that
/// it goes on later.
pub(crate) fn release_collector<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    let kcb = e.kcb();
    let Some(dcb) = collector(e.m, kcb) else {
        return;
    };
    let state = dcb.state(e.m);
    let asks_monitor = state == DcbState::WaitingMonitor as u64;
    if state != DcbState::WaitingLongOp as u64 && !asks_monitor {
        return;
    }
    let mut t = e.begin();
    let is_requester = kcb.op_requester(&t) == dcb.0.0;
    if is_requester {
        kcb.set_op_requester(&mut t, 0);
    }
    if is_requester || asks_monitor {
        share::write_end(&mut t, dcb, SysError::BackFull as u64, &[]);
    } else {
        // It repeats its call, and is told then.
        dcb.set_state(&mut t, DcbState::Runnable as u64);
    }
    t.commit();
    e.requester = None;
    dispatch::wake(e, dcb);
}

/// Makes a Ram capability of free bytes.
pub(crate) fn give<M: Machine>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    slot: Cte,
    base: PhysAddr,
    size: u64,
) {
    let ram = Cap::region(CapType::Ram, base, size);
    decode::place(t, kcb, &MdbNode::default(), slot, &ram);
    let count = kcb.reclaimed(t);
    kcb.set_reclaimed(t, count.wrapping_add(1));
}

/// Makes the doomed capability in `cte` Ram over the pages that it touches, so that parts of it can be Ram, too.
pub(crate) fn become_ram<M: Machine>(t: &mut Transaction<'_, M>, kcb: Kcb, cte: Cte, cap: &Cap) {
    if cap.kind == CapType::Ram {
        return;
    }
    let first = cap.base.0 & !(PAGE - 1);
    let ram = Cap::region(
        CapType::Ram,
        PhysAddr(first),
        up(cap.base.0 + cap.size) - first,
    );
    mdb::replace(t, kcb, cte, &ram);
}
