//! What a monitor asks of its kernel about objects that other OSnodes hold, too.
//!
//! All are operations of the Kernel capability with every right. Words name an object:
//! rights and badge do not count.

use abi::{CapAddr, Op, SysError};
use capfmt::schema::Class;
use capfmt::{Cap, MdbFlags, RawCap};

use super::{Result, Results, invoke};

/// What [`cap_owner`] says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holding {
    /// OSnode id of the owner.
    pub owner: u64,
    /// Flags of all copies.
    pub flags: MdbFlags,
}

/// What [`cap_next`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// The object, with every right. Of one that is only mapped here, the part that a Mapping maps, as a Frame,
    /// UmpEndpoint or VNode.
    pub object: Cap,
    /// Where to go on: what [`cap_next`] takes.
    pub cursor: Cap,
    /// OSnode id of the owner.
    pub owner: u64,
    /// Flags of all copies.
    pub flags: MdbFlags,
}

/// Which copy [`cap_mark`] leaves alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// None.
    Nothing,
    /// Any one.
    Any,
    /// The one that the waiting Revoke of this dispatcher names.
    Named(u64),
}

/// A call that waits for the monitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pending {
    /// Id of the dispatcher.
    pub dispatcher: u64,
    /// `Revoke`, `Retype`, `Unmap` or `Protect`; `Flushed`: it is carried out, and waits until everybody has flushed.
    pub op: Op,
    /// Objects that a `Retype` makes; the removal that a `Flushed` waits for; else 1.
    pub count: u64,
    /// The target; of [`cap_pending_child`]: the first object made, or the VNode unmapped from.
    pub words: RawCap,
}

/// What was taken out of tables that other OSnodes use, and how far they have forgotten it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flushes {
    /// Number of the last removal.
    pub owed: u64,
    /// Number of the last removal that everybody has flushed.
    pub done: u64,
}

impl Flushes {
    /// Whether nobody can use any more what was taken away.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.owed == self.done
    }
}

/// What went away in an OSnode so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Removals {
    /// How often the last copy of a shared object did.
    pub drops: u64,
    /// What was taken out of shared tables.
    pub flushes: Flushes,
}

/// How a waiting call ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Carry it out now, whatever other OSnodes hold.
    CarryOut,
    /// Nothing more is to be done: it succeeded.
    Done,
    /// It is refused.
    Refuse(SysError),
    /// It is refused with `TryLater`, in this membership view.
    Late(u64),
}

fn on_words(op: Op, kernel: CapAddr, words: RawCap, more: u64) -> Result<Results> {
    let [a, b, c, d] = words.0;
    invoke(op, kernel, [a, b, c, d, more, 0])
}

/// Who owns the object, if a copy of it or a Mapping made from it is held here.
pub fn cap_owner(kernel: CapAddr, words: RawCap) -> Result<Option<Holding>> {
    let r = on_words(Op::CapOwner, kernel, words, 0)?;
    Ok((r[0] != 0).then_some(Holding {
        owner: r[1],
        flags: MdbFlags(r[2] as u16),
    }))
}
/// The next object after `after` (`None`: the first) that is held here and has numbers in common with the range
/// from `base` to `end` (exclusive) of `class`, in the order of the derivation tree. `after` is the `cursor` of the
/// one found before.
pub fn cap_next(
    kernel: CapAddr,
    class: Class,
    base: u64,
    end: u64,
    after: Option<&Cap>,
) -> Result<Option<Found>> {
    let mut cursor = after.copied().unwrap_or(Cap::NULL);
    loop {
        let how = class as u64 | (cursor.kind as u64) << 8 | u64::from(cursor.param) << 32;
        let args = [base, end, how, cursor.base.0, cursor.size, cursor.extra];
        let r = match invoke(Op::CapNext, kernel, args) {
            Ok(r) => r,
            Err(SysError::NoCapability) => return Ok(None),
            Err(error) => return Err(error),
        };
        let words = RawCap([r[0], r[1], r[2], r[3]]);
        cursor = words.parse().ok_or(SysError::BadObject)?;
        // 0: a Mapping, whose object is listed itself.
        if r[6] != 0 {
            return Ok(Some(Found {
                object: cursor.mapped(crate::isa::ISA).unwrap_or(cursor),
                cursor,
                owner: r[4],
                flags: MdbFlags(r[5] as u16),
            }));
        }
    }
}
/// Deletes a capability of one's own, whatever other OSnodes hold; whether its object is still held here.
pub fn cap_remove(kernel: CapAddr, cap: CapAddr) -> Result<bool> {
    invoke(Op::CapRemove, kernel, [cap.0.into(), 0, 0, 0, 0, 0]).map(|r| r[0] != 0)
}
/// Says which OSnode owns the object, for all copies and Mappings here.
pub fn cap_set_owner(kernel: CapAddr, words: RawCap, owner: u64) -> Result<()> {
    on_words(Op::CapSetOwner, kernel, words, owner).map(|_| ())
}
/// Says what other OSnodes hold beside the object: any of the three remote flags.
pub fn cap_set_remote(kernel: CapAddr, words: RawCap, remote: MdbFlags) -> Result<()> {
    on_words(Op::CapSetRemote, kernel, words, remote.0.into()).map(|_| ())
}
/// Has `Revoke` and `Retype` on the object and everything derived from it wait for the monitor, or no longer.
pub fn cap_lock(kernel: CapAddr, words: RawCap, lock: bool) -> Result<()> {
    on_words(Op::CapLock, kernel, words, lock.into()).map(|_| ())
}
/// Marks all copies but the kept one, and everything derived, as being deleted: all, or `StillInUse`.
pub fn cap_mark(kernel: CapAddr, words: RawCap, keep: Keep) -> Result<()> {
    let keep = match keep {
        Keep::Nothing => 0,
        Keep::Any => 1,
        Keep::Named(dispatcher) => dispatcher + 2,
    };
    on_words(Op::CapMark, kernel, words, keep).map(|_| ())
}
/// Takes back what [`cap_mark`] did.
pub fn cap_unmark(kernel: CapAddr, words: RawCap) -> Result<()> {
    on_words(Op::CapUnmark, kernel, words, 0).map(|_| ())
}
/// Deletes what [`cap_mark`] marked.
pub fn cap_sweep(kernel: CapAddr, words: RawCap) -> Result<()> {
    on_words(Op::CapSweep, kernel, words, 0).map(|_| ())
}

fn pending(kernel: CapAddr, dispatcher: u64, child: bool) -> Result<Option<Pending>> {
    let args = [dispatcher, child.into(), 0, 0, 0, 0];
    let r = invoke(Op::CapPending, kernel, args)?;
    let call = Op::from_u8(r[1] as u8).filter(|_| r[0] != 0);
    let pending = call.map(|op| Pending {
        dispatcher: r[0],
        op,
        count: r[1] >> 16,
        words: RawCap([r[2], r[3], r[4], r[5]]),
    });
    Ok(pending)
}
/// The first dispatcher whose id is above `after` and whose call waits for the monitor, with the target of the
/// call. Of one that waits until everybody has flushed, `count` is the removal that it waits for.
pub fn cap_pending(kernel: CapAddr, after: u64) -> Result<Option<Pending>> {
    pending(kernel, after, false)
}
/// What went away here so far.
pub fn cap_removals(kernel: CapAddr) -> Result<Removals> {
    let r = invoke(Op::CapPending, kernel, [u64::MAX, 0, 0, 0, 0, 0])?;
    Ok(Removals {
        drops: r[6],
        flushes: Flushes {
            owed: r[1],
            done: r[2],
        },
    })
}
/// Everybody has flushed what was taken out of shared tables up to removal `upto` (0 = only look).
pub fn flushed(kernel: CapAddr, upto: u64) -> Result<Flushes> {
    let r = invoke(Op::Flushed, kernel, [upto, 0, 0, 0, 0, 0])?;
    Ok(Flushes {
        owed: r[0],
        done: r[1],
    })
}
/// As [`cap_pending`] of exactly this dispatcher, with the first object that its `Retype` makes, or the VNode
/// that its `Unmap` or `Protect` is about.
pub fn cap_pending_child(kernel: CapAddr, dispatcher: u64) -> Result<Option<Pending>> {
    pending(kernel, dispatcher, true)
}
/// Ends a waiting call; `Ok(Err(…))`: it was to be carried out, and was refused.
pub fn cap_answer(kernel: CapAddr, dispatcher: u64, answer: Answer) -> Result<Result<()>> {
    let (how, error) = match answer {
        Answer::CarryOut => (0, 0),
        Answer::Done => (1, 0),
        Answer::Refuse(error) => (2, error as u64),
        Answer::Late(view) => (2, abi::late(view)),
    };
    let r = invoke(Op::CapAnswer, kernel, [dispatcher, how, error, 0, 0, 0])?;
    Ok(crate::lmp::status(r[0]))
}
/// Sets this channel of the own notification page when a call begins to wait for the monitor, or the last copy
/// of a shared object went away here.
pub fn monitor_bind(kernel: CapAddr, channel: u64) -> Result<()> {
    invoke(Op::MonitorBind, kernel, [channel, 0, 0, 0, 0, 0]).map(|_| ())
}
/// Forgets all user translations of this core.
pub fn tlb_flush(kernel: CapAddr) -> Result<()> {
    invoke(Op::TlbFlush, kernel, [0; 6]).map(|_| ())
}
/// Has memory whose last capability goes come back as Ram in this CNode of 256 slots, and sets the channel when
/// a slot was filled (`u64::MAX`: none).
pub fn reclaim_bind(kernel: CapAddr, cnode: CapAddr, channel: u64) -> Result<()> {
    invoke(
        Op::ReclaimBind,
        kernel,
        [cnode.0.into(), channel, 0, 0, 0, 0],
    )
    .map(|_| ())
}
