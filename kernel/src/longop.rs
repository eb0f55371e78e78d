//! Long operations: the record in the KCB, advanced a bounded step at a time by whatever kernel is there.
//!
//! *Revoke* takes away the descendants and copies of its target one by one. The
//! last capability of a CNode, dispatcher or VNode stays where it is, marked, on
//! the *clear list* (linked through the CTE's last word) until the object's
//! contents are gone; contents of that kind join the list. A cleared object goes
//! to the *done list*, and only when nothing is left to be cleared are the
//! capabilities on that list removed: one of them may stand in a CNode that is
//! on it too. Until then `Retype` waits, so their memory stays as it is.
//! *Delete* is the same with one object on the clear list at first. *Zero* clears
//! memory piece by piece and then completes the retype of its requester. *Family*
//! is a walk of the monitors' (see [`crate::family`]).
//!
//! Whoever else needs a long operation waits and repeats the call when it ends.

use abi::{SysError, disp};
use capfmt::undo::Transaction;
use capfmt::{Cap, Cte, Dcb, DcbState, Kcb, LongOpKind, MdbFlags, PhysAddr, PhysMap, RawCap, mdb};

use crate::entry::{Caller, Entry, Res, Stop, live_area};
use crate::{
    Machine, Policy, decode, dispatch, doomed, family, invoke, peers, reclaim, share, shootdown,
};

/// Nanoseconds between two steps while dispatchers run.
pub(crate) const GAP_NS: u64 = 200_000;
/// Pieces of work in one entry.
const PIECES: u32 = 24;
/// `op_how` of a Revoke, Delete or Zero that passes over what other OSnodes hold.
pub(crate) const PASSES: u64 = 1;
/// Bytes zeroed in one piece.
const ZERO_PIECE: u64 = 0x8000;

/// Writes the record and makes the caller wait for its end.
fn start<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    kind: LongOpKind,
    target: Cte,
    rest: impl FnOnce(&mut Transaction<'_, M>, Kcb),
) -> Res {
    start_for(e, c, None, kind, target, rest)
}

/// As [`start`], for a call of `client` that waited for the monitor `c`: both wait for the end.
fn start_for<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    client: Option<&Caller>,
    kind: LongOpKind,
    target: Cte,
    rest: impl FnOnce(&mut Transaction<'_, M>, Kcb),
) -> Res {
    if e.os.op_active {
        return Err(Stop::Busy);
    }
    let kcb = e.kcb();
    let current = e.os.current;
    let mut t = e.begin();
    kcb.set_op_kind(&mut t, kind as u64);
    kcb.set_op_phase(&mut t, 0);
    kcb.set_op_target(&mut t, target.0.0);
    kcb.set_op_cursor(&mut t, 0);
    kcb.set_op_requester(&mut t, client.unwrap_or(c).dcb.0.0);
    kcb.set_op_steps(&mut t, 0);
    if let Some(client) = client {
        kcb.set_op_how(&mut t, PASSES);
        kcb.set_op_second(&mut t, c.dcb.0.0);
        client.dcb.set_state(&mut t, DcbState::WaitingLongOp as u64);
    }
    rest(&mut t, kcb);
    c.dcb.set_state(&mut t, DcbState::WaitingLongOp as u64);
    kcb.set_current_dcb(&mut t, 0);
    t.commit();
    dispatch::leave(e);
    e.requester = current;
    e.os.op_active = true;
    e.os.guarded = true;
    Ok(())
}

/// Starts the deletion of the last capability of an object with contents.
pub(crate) fn start_delete<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    cte: Cte,
) -> Res {
    start(e, c, LongOpKind::Delete, cte, |t, kcb| {
        doomed::append(t, kcb, cte);
    })
}

/// Starts the removal of a last capability whose memory comes back in several steps, or waits for a slot.
pub(crate) fn start_parts<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    cte: Cte,
    cap: &Cap,
) -> Res {
    let mut effect = None;
    start(e, c, LongOpKind::Delete, cte, |t, kcb| {
        effect = doomed::set_apart(t, kcb, cte, cap);
    })?;
    invoke::cnode::push(e, effect);
    Ok(())
}

/// As [`start_delete`], for a monitor that is told whether anything of the object is still held.
pub(crate) fn start_remove<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    cte: Cte,
    cap: &Cap,
) -> Res {
    start(e, c, LongOpKind::Delete, cte, |t, kcb| {
        doomed::append(t, kcb, cte);
        kcb.set_op_how(t, PASSES);
        for (k, word) in (0..).zip(cap.emit().0) {
            kcb.set_op_word(t, k, word);
        }
    })
}

/// Starts a revoke, perhaps for a call of `client` that waited for the monitor.
pub(crate) fn start_revoke<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    client: Option<&Caller>,
    target: Cte,
) -> Res {
    start_for(e, c, client, LongOpKind::Revoke, target, |_, _| {})
}

/// Starts a walk over a family.
pub(crate) fn start_family<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    keep: Option<Cte>,
    rest: impl FnOnce(&mut Transaction<'_, M>, Kcb),
) -> Res {
    let keep = keep.unwrap_or(Cte(PhysAddr::NULL));
    start(e, c, LongOpKind::Family, keep, rest)
}

/// Starts the search for free places of the peer table.
pub(crate) fn start_peers<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller) -> Res {
    start(e, c, LongOpKind::Peers, Cte(PhysAddr::NULL), |t, kcb| {
        kcb.set_op_how(t, PASSES);
    })
}

/// Starts the zeroing of `len` bytes from `from` on, which a retype of `source` needs.
pub(crate) fn start_zero<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    client: Option<&Caller>,
    source: Cte,
    from: PhysAddr,
    len: u64,
) -> Res {
    start_for(e, c, client, LongOpKind::Zero, source, |t, kcb| {
        kcb.set_op_zero_from(t, from.0);
        kcb.set_op_zero_end(t, from.0 + len);
        kcb.set_op_cursor(t, from.0);
    })
}

/// What a piece of work found.
pub(crate) enum Piece {
    More,
    /// There is no slot for memory that comes back.
    Paused,
    Ended(Result<(), SysError>),
}

/// Advances the operation by a bounded step.
pub(crate) fn advance<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    let kcb = e.kcb();
    let steps = kcb.op_steps(e.m);
    kcb.set_op_steps(e.m, steps + 1);
    let told = |m: &M| (kcb.shared_drops(m), kcb.flush_owed(m));
    let (before, back) = (told(e.m), kcb.reclaimed(e.m));
    e.os.op_paused = false;
    pieces(e);
    e.os.dropped |= before != told(e.m);
    e.os.reclaimed |= back != kcb.reclaimed(e.m);
}

fn pieces<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    for _ in 0..PIECES {
        // One effect may follow from each piece.
        if e.os.effects.room() == 0 {
            return;
        }
        match piece(e) {
            Piece::More => {}
            Piece::Paused => {
                e.os.op_paused = true;
                return reclaim::release_collector(e);
            }
            Piece::Ended(result) => return end(e, result),
        }
    }
}

fn piece<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) -> Piece {
    let kcb = e.kcb();
    if kcb.op_clear_head(e.m) != 0 {
        doomed::clear_piece(e);
        return Piece::More;
    }
    if kcb.op_delete_head(e.m) != 0 {
        return doomed::done_piece(e);
    }
    let failed = doomed::failure(e.m, kcb);
    if let Some(error) = failed {
        return Piece::Ended(Err(error));
    }
    match kcb.op_kind(e.m) {
        k if k == LongOpKind::Revoke as u64 => revoke_piece(e),
        k if k == LongOpKind::Zero as u64 => zero_piece(e),
        k if k == LongOpKind::Family as u64 => family::piece(e),
        k if k == LongOpKind::Peers as u64 => peers::piece(e),
        _ => Piece::Ended(Ok(())),
    }
}

/// Takes one descendant or copy of the target away.
fn revoke_piece<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) -> Piece {
    let kcb = e.kcb();
    let target = Cte(PhysAddr(kcb.op_target(e.m)));
    if target.0.is_null() {
        return Piece::Ended(Err(SysError::NoCapability));
    }
    let doomed =
        mdb::first_descendant(e.m, kcb, target).or_else(|| mdb::other_copy(e.m, kcb, target));
    let Some(doomed) = doomed else {
        return Piece::Ended(Ok(()));
    };
    // What others hold is revoked by the monitors, or by their leave.
    let theirs = MdbFlags::REMOTE_COPIES.0 | MdbFlags::REMOTE_DESCENDANTS.0;
    if decode::flags(e.m, doomed).0 & theirs != 0 && kcb.op_how(e.m) != PASSES {
        return Piece::Ended(Err(SysError::SharedRemote));
    }
    let mut t = e.begin();
    let effect = doomed::take_away(&mut t, kcb, doomed);
    t.commit();
    invoke::cnode::push(e, effect);
    Piece::More
}

/// Zeroes the next piece of memory, after checking that it is still nobody's.
fn zero_piece<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) -> Piece {
    let kcb = e.kcb();
    let (first, end) = (kcb.op_zero_from(e.m), kcb.op_zero_end(e.m));
    if kcb.op_requester(e.m) == 0 {
        return Piece::Ended(Ok(()));
    }
    let source = Cte(PhysAddr(kcb.op_target(e.m)));
    if let Err(error) = invoke::retype::ensure_free(e.m, kcb, source, first, end - first) {
        return Piece::Ended(Err(error));
    }
    let at = kcb.op_cursor(e.m);
    if at == end {
        return Piece::Ended(Ok(()));
    }
    // A death after the zeroing and before the store zeroes the piece again.
    let len = ZERO_PIECE.min(end - at);
    e.m.zero(PhysAddr(at), len);
    kcb.set_op_cursor(e.m, at + len);
    Piece::More
}

/// Clears the record and answers the requester; those who waited repeat their calls.
fn end<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, mut result: Result<(), SysError>) {
    let kcb = e.kcb();
    let requester = kcb.op_requester(e.m);
    let kind = kcb.op_kind(e.m);
    let caller = caller_of(e, requester);
    let zeroed = (PhysAddr(kcb.op_zero_from(e.m)), kcb.op_zero_end(e.m));
    let (how, second) = (kcb.op_how(e.m), kcb.op_second(e.m));
    let removed = RawCap(core::array::from_fn(|k| kcb.op_word(e.m, k as u64))).parse();
    let mut t = Transaction::begin(e.m, kcb);
    // Only a Zero whose requester is gone does not end with its retype.
    let mut results = (0, [0]);
    if let Some(c) = &caller
        && kind == LongOpKind::Zero as u64
        && result.is_ok()
    {
        let total = zeroed.1 - zeroed.0.0;
        match invoke::retype::complete(&mut t, kcb, c, how == PASSES, zeroed.0, total) {
            Ok(count) => results = (1, [count]),
            Err(error) => {
                t.abort();
                result = Err(error);
            }
        }
    }
    if kind == LongOpKind::Delete as u64
        && how == PASSES
        && let Some(removed) = removed
    {
        let held = invoke::shared::held(&t, kcb, &removed).is_some();
        results = (1, [held.into()]);
    }
    forget(&mut t, kcb);
    let code = result.map_or_else(|error| error as u64, |()| 0);
    let mut waits = false;
    if let Some(c) = caller
        && kind == LongOpKind::Peers as u64
        && result.is_ok()
    {
        let at = c.area.add(disp::AREA_PC);
        let pc = t.load(at);
        t.store(at, pc.wrapping_sub(M::SYSCALL_BYTES));
        c.dcb.set_state(&mut t, DcbState::Runnable as u64);
    } else if requester != 0 {
        let dcb = Dcb(PhysAddr(requester));
        share::write_end(&mut t, dcb, code, &results.1[..results.0]);
        waits = wait_for_flushes(&mut t, kcb, kind, dcb);
    }
    if second != 0 {
        share::write_end(&mut t, Dcb(PhysAddr(second)), 0, &[code]);
    }
    let marked = kcb.marked(&t);
    t.commit();
    e.os.op_active = false;
    e.os.guarded = marked != 0;
    let goes_on = if waits { 0 } else { requester };
    let waiting = if second == 0 { goes_on } else { second };
    release(e, waiting);
    if second != 0 && goes_on != 0 {
        dispatch::wake(e, Dcb(PhysAddr(requester)));
    }
}

/// Whether the requester of what took capabilities away waits until nobody can use what they mapped.
fn wait_for_flushes<M: Machine>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    kind: u64,
    requester: Dcb,
) -> bool {
    let removes = kind == LongOpKind::Delete as u64 || kind == LongOpKind::Revoke as u64;
    let number = shootdown::outstanding(t, kcb).filter(|_| removes);
    let Some(number) = number.filter(|_| shootdown::may_wait(t, kcb, requester)) else {
        return false;
    };
    shootdown::wait(t, requester, number);
    true
}

/// Clears the record.
fn forget<M: PhysMap>(t: &mut Transaction<'_, M>, kcb: Kcb) {
    kcb.set_op_kind(t, LongOpKind::None as u64);
    kcb.set_op_target(t, 0);
    kcb.set_op_requester(t, 0);
    if kcb.op_how(t) == 0 {
        return;
    }
    kcb.set_op_how(t, 0);
    kcb.set_op_second(t, 0);
    for k in 0..4 {
        kcb.set_op_word(t, k, 0);
    }
    for k in 0..5 {
        kcb.set_op_position(t, k, 0);
    }
}

/// The requester as a caller, if it and its frame are still there.
fn caller_of<M: Machine, P: Policy>(e: &Entry<'_, M, P>, requester: u64) -> Option<Caller> {
    if requester == 0 {
        return None;
    }
    let dcb = Dcb(PhysAddr(requester));
    let page = dispatch::frame(e.m, dcb)?;
    let area = live_area(e.m, page);
    Some(Caller { dcb, page, area })
}

/// Lets the requester and all who waited go on. What is written here, attach makes up for.
fn release<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, requester: u64) {
    e.os.attention = true;
    let kcb = e.kcb();
    let mut at = kcb.dcb_head(e.m);
    while at != 0 {
        let dcb = Dcb(PhysAddr(at));
        at = dcb.next(e.m);
        if dcb.state(e.m) == DcbState::WaitingLongOp as u64 {
            dcb.set_state(e.m, DcbState::Runnable as u64);
            dispatch::wake(e, dcb);
        }
    }
    if requester == 0 {
        return;
    }
    // Started and ended in one entry: the requester just goes on.
    match e.requester.take() {
        Some(current) if current.dcb.0.0 == requester && e.os.current.is_none() => {
            kcb.set_current_dcb(e.m, requester);
            e.os.current = Some(current);
        }
        _ => dispatch::wake(e, Dcb(PhysAddr(requester))),
    }
}
