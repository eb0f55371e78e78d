//! What a long operation takes away: the clear list and the done list of the record in the KCB.
//!
//! See [`crate::longop`] for why there are two.

use abi::SysError;
use capfmt::undo::Transaction;
use capfmt::{Cap, CapType, Cte, Dcb, Kcb, LongOpKind, MdbFlags, PhysAddr, PhysMap, mdb};

use crate::entry::Entry;
use crate::longop::{PASSES, Piece};
use crate::reclaim::{self, Left};
use crate::{Effect, Machine, Policy, clear, delete, family, invoke, share};

/// Marks `cte` as being deleted and links it before `next`.
fn mark<M: PhysMap>(m: &mut Transaction<'_, M>, cte: Cte, next: u64) {
    let mut node = cte.node(m);
    let kcb = m.kcb();
    family::unmark(m, kcb, &mut node.flags);
    node.flags = MdbFlags(node.flags.0 | MdbFlags::IN_DELETE.0 | MdbFlags::LISTED.0);
    node.sharers = PhysAddr(next);
    cte.set_node(m, &node);
}

/// Next on the list of a marked CTE.
fn next_of(m: &impl PhysMap, cte: Cte) -> u64 {
    cte.node(m).sharers.0
}

fn set_next(m: &mut impl PhysMap, cte: Cte, next: u64) {
    let mut node = cte.node(m);
    node.sharers = PhysAddr(next);
    cte.set_node(m, &node);
}

/// Puts a last capability on the done list, where its memory comes back. A Mapping is empty then.
pub(crate) fn set_apart<M: Machine>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    cte: Cte,
    cap: &Cap,
) -> Option<Effect> {
    let effect = match cap.kind {
        CapType::Mapping => invoke::vnode::remove_mapping(t, kcb, cap, cte),
        _ => None,
    };
    let done = kcb.op_delete_head(t);
    mark(t, cte, done);
    kcb.set_op_delete_head(t, cte.0.0);
    effect
}

/// Why the operation cannot be completed, once that is known: a `SysError` in `op_phase`.
pub(crate) fn failure(m: &impl PhysMap, kcb: Kcb) -> Option<SysError> {
    SysError::from_code(kcb.op_phase(m) as u16)
}

/// Takes the capability in `cte`, which is not marked, away, or puts it on the clear list, or notes why neither
/// can be: then it stays. Logged.
pub(crate) fn take_away<M: Machine>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    cte: Cte,
) -> Option<Effect> {
    let cap = cte.cap(t);
    match delete::decide(t, kcb, cte, &cap) {
        delete::Removal::Simple => {
            let Some(back) = delete::comes_back(t, kcb, cte, &cap) else {
                return set_apart(t, kcb, cte, &cap);
            };
            if kcb.op_target(t) == cte.0.0 {
                kcb.set_op_target(t, 0);
            }
            let effect = delete::remove(t, kcb, cte, &cap);
            back.give(t, kcb);
            effect
        }
        delete::Removal::Contents => {
            append(t, kcb, cte);
            None
        }
        delete::Removal::Refused(error) => {
            kcb.set_op_phase(t, error as u64);
            None
        }
    }
}

/// Puts `cte` second on the clear list (the first has a cursor), or first if that is empty.
pub(crate) fn append<M: Machine>(t: &mut Transaction<'_, M>, kcb: Kcb, cte: Cte) {
    let head = kcb.op_clear_head(t);
    if head == 0 {
        mark(t, cte, 0);
        kcb.set_op_clear_head(t, cte.0.0);
        kcb.set_op_cursor(t, 0);
        return;
    }
    let head = Cte(PhysAddr(head));
    let second = next_of(t, head);
    mark(t, cte, second);
    set_next(t, head, cte.0.0);
}

/// One piece of clearing the first object of the clear list.
pub(crate) fn clear_piece<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    let kcb = e.kcb();
    let cte = Cte(PhysAddr(kcb.op_clear_head(e.m)));
    let cap = cte.cap(e.m);
    let (cleared, effect) = match cap.kind {
        CapType::CNode => clear::cnode(e, &cap),
        CapType::Dispatcher => clear::dispatcher(e, Dcb(cap.base)),
        CapType::VNode => clear::vnode(e, &cap),
        _ => (true, None),
    };
    invoke::cnode::push(e, effect);
    if !cleared {
        return;
    }
    let mut t = e.begin();
    let next = next_of(&t, cte);
    let done = kcb.op_delete_head(&t);
    kcb.set_op_clear_head(&mut t, next);
    kcb.set_op_cursor(&mut t, 0);
    set_next(&mut t, cte, done);
    kcb.set_op_delete_head(&mut t, cte.0.0);
    t.commit();
}

/// Deals with the first capability of the done list: what is left of its memory comes back piece by piece, then it
/// is removed. After a failure it stays, usable, as what is left.
pub(crate) fn done_piece<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) -> Piece {
    let kcb = e.kcb();
    let cte = Cte(PhysAddr(kcb.op_delete_head(e.m)));
    let cap = cte.cap(e.m);
    if failure(e.m, kcb).is_some() {
        let mut t = e.begin();
        unlist(&mut t, kcb, cte);
        t.commit();
        return Piece::More;
    }
    let cursor = kcb.op_cursor(e.m);
    let quiet = kcb.op_kind(e.m) == LongOpKind::Delete as u64
        && kcb.op_how(e.m) == PASSES
        && kcb.op_target(e.m) == cte.0.0;
    let left = match quiet {
        true => Left::Nothing,
        false => reclaim::look(e.m, kcb, cte, &cap, cursor),
    };
    let slot = match left {
        Left::Last(..) | Left::Part(..) => match reclaim::free_slot(e.m, kcb) {
            Some(slot) => slot,
            None => return Piece::Paused,
        },
        Left::Nothing | Left::Further(_) => cte,
    };
    let mut t = e.begin();
    match left {
        Left::Further(at) => kcb.set_op_cursor(&mut t, at),
        Left::Part(base, size) => {
            reclaim::become_ram(&mut t, kcb, cte, &cap);
            reclaim::give(&mut t, kcb, slot, base, size);
            kcb.set_op_cursor(&mut t, base.0 + size);
        }
        Left::Last(base, size) => {
            remove_done(&mut t, kcb, cte, quiet);
            reclaim::give(&mut t, kcb, slot, base, size);
        }
        Left::Nothing => remove_done(&mut t, kcb, cte, quiet),
    }
    t.commit();
    e.os.attention = true;
    Piece::More
}

/// Takes the first capability of the done list off it.
fn unlist<M: PhysMap>(t: &mut Transaction<'_, M>, kcb: Kcb, cte: Cte) {
    let next = next_of(t, cte);
    kcb.set_op_delete_head(t, next);
    kcb.set_op_cursor(t, 0);
    let mut node = cte.node(t);
    node.flags = MdbFlags(node.flags.0 & !(MdbFlags::IN_DELETE.0 | MdbFlags::LISTED.0));
    node.sharers = PhysAddr::NULL;
    cte.set_node(t, &node);
}

/// Takes the first capability of the done list off it and out of the tree.
fn remove_done<M: PhysMap>(t: &mut Transaction<'_, M>, kcb: Kcb, cte: Cte, quiet: bool) {
    unlist(t, kcb, cte);
    if kcb.op_target(t) == cte.0.0 {
        kcb.set_op_target(t, 0);
    }
    if share::is_shared(t, cte) && !quiet {
        delete::count_drop(t, kcb);
    }
    mdb::clear(t, kcb, cte);
}
