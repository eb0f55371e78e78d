//! Clearing the contents of an object whose last capability is being deleted, piece by piece.
//!
//! Each function does one bounded piece, from the cursor of the long-operation
//! record on, and says whether the object is clear now.

use capfmt::{CTE_BYTES, Cap, CapType, Cte, Dcb, DcbState, MdbFlags, PhysAddr, PhysMap};

use crate::entry::Entry;
use crate::invoke::{dispatcher, irq, vnode};
use crate::{Effect, Machine, Policy, decode, doomed, ending, shootdown, time};

/// Slots or entries looked at in one piece.
const LOOK: u64 = 32;

/// Whether there is something in the slot to be taken away.
fn is_left(m: &impl PhysMap, cte: Cte) -> bool {
    m.load(cte.0) as u8 != CapType::Null as u8 && !decode::flags(m, cte).contains(MdbFlags::LISTED)
}

/// CNode: the first capability from the cursor on goes.
pub(crate) fn cnode<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    cap: &Cap,
) -> (bool, Option<Effect>) {
    let kcb = e.kcb();
    let from = kcb.op_cursor(e.m);
    let slots = cap.size / CTE_BYTES;
    let slot = |i: u64| Cte(cap.base.add(i * CTE_BYTES));
    let end = slots.min(from + LOOK);
    let found = (from..end).find(|&i| is_left(e.m, slot(i)));
    let next = found.map_or(end, |i| i + 1);
    let mut t = e.begin();
    if kcb.reclaim_cnode(&t) == cap.base.0 {
        // What comes back from now on has no place to come to.
        kcb.set_reclaim_cnode(&mut t, 0);
        kcb.set_reclaim_channel(&mut t, 0);
    }
    let effect = found.and_then(|i| doomed::take_away(&mut t, kcb, slot(i)));
    kcb.set_op_cursor(&mut t, next);
    t.commit();
    (next == slots, effect)
}

/// VNode: the first Mapping in its shadow from the cursor on goes.
pub(crate) fn vnode<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    cap: &Cap,
) -> (bool, Option<Effect>) {
    let kcb = e.kcb();
    let from = kcb.op_cursor(e.m);
    let end = vnode::ENTRIES.min(from + LOOK);
    let found = (from..end).find(|&i| vnode::is_filled_here(e.m, kcb, cap.base, i));
    // On, even if this Mapping cannot go: then the table stays, and the operation says why when all was tried.
    let next = found.map_or(end, |i| i + 1);
    let mut t = e.begin();
    let effect = found.and_then(|i| {
        let mapping = Cte(PhysAddr(t.load(vnode::shadow(cap.base, i))));
        doomed::take_away(&mut t, kcb, mapping)
    });
    kcb.set_op_cursor(&mut t, next);
    t.commit();
    (next == vnode::ENTRIES, effect)
}

/// Dispatcher: first it stops and leaves the OSnode's lists, then its slots go one by one, then its bindings.
pub(crate) fn dispatcher<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    dcb: Dcb,
) -> (bool, Option<Effect>) {
    let kcb = e.kcb();
    let cursor = kcb.op_cursor(e.m);
    let slots = [
        dcb.cspace(),
        dcb.vspace(),
        dcb.disp_frame(),
        dcb.fault_endpoint(),
    ];
    match cursor {
        // One that was deleted in vain before is in no list any more.
        0 if dcb.magic(e.m) == Dcb::MAGIC => {
            retire(e, dcb);
            (false, None)
        }
        0 => {
            kcb.set_op_cursor(e.m, 1);
            (false, None)
        }
        1..=4 => {
            let cte = slots[cursor as usize - 1];
            let left = is_left(e.m, cte);
            let mut t = e.begin();
            let effect = if left {
                doomed::take_away(&mut t, kcb, cte)
            } else {
                None
            };
            kcb.set_op_cursor(&mut t, cursor + 1);
            t.commit();
            (false, effect)
        }
        _ => {
            let effect = irq::unbind_target(e, dcb);
            (effect.is_none(), effect)
        }
    }
}

/// Takes the dispatcher out of everything that runs, wakes or reaches it.
fn retire<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, dcb: Dcb) {
    let kcb = e.kcb();
    let state = dcb.state_of(e.m);
    let is_current = e.os.current.is_some_and(|c| c.dcb == dcb);
    if is_current {
        crate::dispatch::leave(e);
    } else if state == Some(DcbState::Runnable) {
        crate::dispatch::dequeue(e, dcb);
    }
    time::forget_wait(e, dcb);
    let mut t = e.begin();
    if is_current {
        kcb.set_current_dcb(&mut t, 0);
    }
    if kcb.op_requester(&t) == dcb.0.0 {
        kcb.set_op_requester(&mut t, 0);
    }
    if kcb.op_second(&t) == dcb.0.0 {
        kcb.set_op_second(&mut t, 0);
    }
    shootdown::abandon(&mut t, kcb, dcb);
    dcb.set_state(&mut t, DcbState::Stopped as u64);
    ending::note(&mut t, kcb, dcb);
    dcb.set_flags(&mut t, 0);
    for i in 0..capfmt::DCB_ENDPOINTS {
        if dcb.endpoint(&t, i).ring != 0 {
            dcb.set_endpoint(&mut t, i, &capfmt::EndpointRecord::default());
        }
    }
    for word in 0..64 {
        if kcb.notify_binding(&t, word) == dcb.0.0 {
            kcb.set_notify_binding(&mut t, word, 0);
        }
    }
    dispatcher::unlink(&mut t, kcb, dcb);
    dcb.set_magic(&mut t, 0);
    kcb.set_op_cursor(&mut t, 1);
    t.commit();
    ending::look(e);
}
