//! Walks over an object's family (its copies and everything derived from it), one capability at a time.
//!
//! What the monitors agree on is written to the MDB part of each: owner, what others
//! hold, a lock, a mark. It is a long operation, so that a family may be of any size; a
//! small one is done before the call returns. While it goes on, no member moves and
//! nothing is derived from one, so the walk meets every member once.

use abi::SysError;
use capfmt::schema::LastDelete;
use capfmt::undo::Transaction;
use capfmt::{CTE_BYTES, Cap, CapType, Cte, Kcb, LongOpKind, MdbFlags, PhysMap, RawCap, mdb};
use mdb::{OfObject, Position};

use crate::entry::{Caller, Entry, Res};
use crate::longop::{self, Piece};
use crate::{Effect, Machine, Policy, decode, delete, doomed, invoke, shootdown};

/// Most capabilities looked at in one piece of a walk over copies and Mappings.
const LOOK: usize = 32;

/// What is done to each member. The number is part of the long-operation record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(crate) enum Action {
    /// Names the owner: of copies and of Mappings that stand for the object.
    Owner = 1,
    /// Says what others hold: of the same.
    Remote = 2,
    /// Locks.
    Lock = 3,
    /// Unlocks.
    Unlock = 4,
    /// Marks all but the kept copy as being deleted.
    Mark = 5,
    /// Takes the marks back.
    Unmark = 6,
    /// Deletes what is marked.
    Sweep = 7,
}

impl Action {
    fn of(how: u64) -> Option<Action> {
        Some(match how & 0xff {
            1 => Action::Owner,
            2 => Action::Remote,
            3 => Action::Lock,
            4 => Action::Unlock,
            5 => Action::Mark,
            6 => Action::Unmark,
            7 => Action::Sweep,
            _ => return None,
        })
    }
    /// With its argument, as it stands in the record.
    fn pack(self, argument: u64) -> u64 {
        self as u64 | argument << 8
    }
}

/// Starts the walk; `keep` is the copy that a mark leaves alone. `more` is stored with the record.
pub(crate) fn start<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    action: Action,
    argument: u64,
    object: &Cap,
    keep: Option<Cte>,
    more: impl FnOnce(&mut Transaction<'_, M>, Kcb),
) -> Res {
    longop::start_family(e, c, keep, |t, kcb| {
        kcb.set_op_how(t, action.pack(argument));
        for (k, word) in (0..).zip(object.emit().0) {
            kcb.set_op_word(t, k, word);
        }
        set_position(t, kcb, &Position::before(object));
        more(t, kcb);
    })
}

/// The object of the walk that the record describes.
pub(crate) fn object(m: &impl PhysMap, kcb: Kcb) -> Option<Cap> {
    if kcb.op_kind(m) != LongOpKind::Family as u64 {
        return None;
    }
    RawCap(core::array::from_fn(|k| kcb.op_word(m, k as u64))).parse()
}

pub(crate) fn position(m: &impl PhysMap, kcb: Kcb) -> Position {
    Position::from_words(core::array::from_fn(|k| kcb.op_position(m, k as u64)))
}

pub(crate) fn set_position<M: PhysMap>(t: &mut Transaction<'_, M>, kcb: Kcb, to: &Position) {
    for (k, word) in (0..).zip(to.words()) {
        if kcb.op_position(t, k) != word {
            kcb.set_op_position(t, k, word);
        }
    }
}

/// Deals with the next member.
pub(crate) fn piece<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) -> Piece {
    let kcb = e.kcb();
    let how = kcb.op_how(e.m);
    let (Some(object), Some(action)) = (object(e.m, kcb), Action::of(how)) else {
        return Piece::Ended(Err(SysError::BadObject));
    };
    let from = position(e.m, kcb);
    let next = match action {
        Action::Owner | Action::Remote => mdb::next_of_object(e.m, kcb, &object, &from, LOOK),
        _ => mdb::next_of_family(e.m, kcb, &object, &from)
            .map_or(OfObject::End, |(cte, cap)| OfObject::Found(cte, cap)),
    };
    let (cte, cap) = match next {
        OfObject::Found(cte, cap) => (cte, cap),
        OfObject::Further(position) => {
            let mut t = e.begin();
            set_position(&mut t, kcb, &position);
            t.commit();
            return Piece::More;
        }
        OfObject::End => return Piece::Ended(outcome(action, how)),
    };
    let next = Position::of(e.m, cte);
    if action == Action::Mark && !may_go(e.m, kcb, cte, &cap) {
        let mut t = e.begin();
        kcb.set_op_how(&mut t, Action::Unmark.pack(SysError::StillInUse as u64));
        set_position(&mut t, kcb, &Position::before(&object));
        t.commit();
        return Piece::More;
    }
    let mut t = e.begin();
    set_position(&mut t, kcb, &next);
    let gone = act(&mut t, kcb, action, how >> 8, cte);
    t.commit();
    invoke::cnode::push(e, gone);
    Piece::More
}

/// How a walk ends.
fn outcome(action: Action, how: u64) -> Result<(), SysError> {
    match (action, SysError::from_code((how >> 8) as u16)) {
        (Action::Unmark | Action::Sweep, Some(error)) => Err(error),
        _ => Ok(()),
    }
}

/// Does what is to be done to one member. Logged.
fn act<M: Machine>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    action: Action,
    argument: u64,
    cte: Cte,
) -> Option<Effect> {
    let mut node = cte.node(t);
    match action {
        Action::Owner => node.owner = argument as u16,
        Action::Remote => {
            let kept = node.flags.0 & !MdbFlags::REMOTE.0;
            node.flags = MdbFlags(kept | argument as u16 & MdbFlags::REMOTE.0);
            if node.flags.contains(MdbFlags::REMOTE_COPIES) {
                shootdown::note_shared(t, kcb, &cte.cap(t));
            }
        }
        Action::Lock => node.flags.0 |= MdbFlags::LOCKED.0,
        Action::Unlock => node.flags.0 &= !MdbFlags::LOCKED.0,
        Action::Mark => {
            if !node.flags.contains(MdbFlags::MARKED) {
                let count = kcb.marked(t);
                kcb.set_marked(t, count + 1);
            }
            node.flags.0 |= MdbFlags::MARKED.0;
            if kcb.op_target(t) != cte.0.0 {
                node.flags.0 |= MdbFlags::IN_DELETE.0;
            }
        }
        Action::Unmark => unmark(t, kcb, &mut node.flags),
        Action::Sweep => {
            let marked = node.flags.contains(MdbFlags::MARKED);
            unmark(t, kcb, &mut node.flags);
            let goes = marked && cte.node(t).flags.contains(MdbFlags::IN_DELETE);
            cte.set_node(t, &node);
            return if goes { sweep(t, kcb, cte) } else { None };
        }
    }
    cte.set_node(t, &node);
    None
}

/// Takes the mark of [`Action::Mark`] off the flags.
pub(crate) fn unmark<M: PhysMap>(t: &mut Transaction<'_, M>, kcb: Kcb, flags: &mut MdbFlags) {
    if flags.contains(MdbFlags::MARKED) {
        let count = kcb.marked(t);
        kcb.set_marked(t, count.saturating_sub(1));
        flags.0 &= !(MdbFlags::MARKED.0 | MdbFlags::IN_DELETE.0);
    }
}

/// Deletes one member; one that came into use since it was marked stays, and the answer says so.
fn sweep<M: Machine>(t: &mut Transaction<'_, M>, kcb: Kcb, cte: Cte) -> Option<Effect> {
    let cap = cte.cap(t);
    if let delete::Removal::Refused(error) = delete::decide(t, kcb, cte, &cap) {
        kcb.set_op_how(t, Action::Sweep.pack(error as u64));
        return None;
    }
    doomed::take_away(t, kcb, cte)
}

/// Whether what a Mapping maps, or a larger part of the same memory, has a capability of its own here.
pub(crate) fn is_mapped_object_here(m: &impl PhysMap, kcb: Kcb, mapping: Cte) -> bool {
    use CapType::{DevFrame, Frame, UmpEndpoint, VNode};
    mdb::ancestor(m, kcb, mapping)
        .is_some_and(|a| matches!(a.cap(m).kind, Frame | DevFrame | UmpEndpoint | VNode))
}

/// Whether a sweep will be able to delete the member, and what stands in it.
fn may_go(m: &impl PhysMap, kcb: Kcb, cte: Cte, cap: &Cap) -> bool {
    let kept = kcb.op_target(m);
    if cte.0.0 == kept {
        return true;
    }
    match cap.kind.info().last_delete {
        LastDelete::Guarded => !delete::is_busy(m, cap) || kept_copy(m, kept, cap),
        LastDelete::Slots if cap.kind == CapType::CNode => {
            let slots = (0..cap.size / CTE_BYTES).map(|k| Cte(cap.base.add(k * CTE_BYTES)));
            !slots.into_iter().any(|slot| {
                let word = decode::kind_of(m, slot);
                let guarded = word == CapType::Kcb as u8 || word == CapType::Core as u8;
                guarded && delete::is_busy(m, &slot.cap(m)) && !mdb::copies_exist(m, kcb, slot)
            })
        }
        _ => true,
    }
}

fn kept_copy(m: &impl PhysMap, kept: u64, cap: &Cap) -> bool {
    kept != 0 && capfmt::schema::is_copy(&Cte(capfmt::PhysAddr(kept)).cap(m), cap)
}
