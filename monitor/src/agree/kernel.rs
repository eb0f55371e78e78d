//! What the machines ask of the kernel that runs (or keeps) their OSnode.

use alloc::vec::Vec;

use capfmt::OsnodeId;

use super::{Gift, Object, OpId, Refusal};

/// What other OSnodes hold beside an object of this one (the remote flags of a CTE).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Remote {
    /// Copies of it.
    pub copies: bool,
    /// What it is derived from.
    pub ancestors: bool,
    /// What is derived from it.
    pub descendants: bool,
}

/// The capabilities of one OSnode.
///
/// An object is *held* while a copy of it, or something that cannot leave the OSnode
/// and is derived from it (a Mapping), is in the derivation tree. Every call is one or
/// several kernel entries, each a transaction; a machine makes the same calls again if
/// its step was lost.
pub trait Kernel {
    /// Who owns the object, if it is held.
    fn owner(&self, object: &Object) -> Option<OsnodeId>;
    /// Every object held that could have left the OSnode and has bytes in common with `object`, with its owner.
    fn overlapping(&self, object: &Object) -> Vec<(Object, OsnodeId)>;
    /// Every object held whose owner is none of `living`.
    fn orphans(&self, living: &super::Nodes) -> Vec<Object>;
    /// Makes a copy of what another OSnode holds, for the operation's receiver.
    ///
    /// # Errors
    /// `NoSpace`, `Overlaps`.
    fn insert(
        &mut self,
        op: OpId,
        object: &Object,
        owner: OsnodeId,
        gift: &Gift,
    ) -> Result<(), Refusal>;
    /// Carries out a retype to `count` objects that its owner agreed to: all of them, or none.
    ///
    /// # Errors
    /// `NoSuch` if the source is no longer held, `NoSpace`, `Overlaps`.
    fn create(
        &mut self,
        op: OpId,
        source: &Object,
        child: &Object,
        count: u32,
    ) -> Result<(), Refusal>;
    /// Deletes the copy that a client moved away by this operation; whether the object is still held.
    fn remove(&mut self, op: OpId, object: &Object) -> bool;
    /// Changes the owner of an object that is held.
    fn set_owner(&mut self, object: &Object, owner: OsnodeId);
    /// Says what other OSnodes hold beside an object that is held.
    fn set_remote(&mut self, object: &Object, remote: Remote);
    /// Has clients' operations on the object and everything derived from it routed to the monitor.
    fn lock(&mut self, op: OpId, object: &Object);
    /// Ends what [`Kernel::lock`] began.
    fn unlock(&mut self, op: OpId);
    /// Stops the use of the object's copies (but one, if `keep`) and of everything derived from it, all or nothing.
    ///
    /// # Errors
    /// `StillInUse`.
    fn mark(&mut self, op: OpId, object: &Object, keep: bool) -> Result<(), Refusal>;
    /// Ends what [`Kernel::mark`] began: everything as before.
    fn unmark(&mut self, op: OpId);
    /// Deletes what was marked: `true` when it is done, `false` if [`Input::SweepDone`](super::Input::SweepDone)
    /// will say so.
    fn sweep(&mut self, op: OpId) -> bool;
    /// Whether nobody can use any more what was deleted here: other OSnodes may have had a page table of this one
    /// in their address spaces. [`Input::Deleted`](super::Input::Deleted) says when that is so again.
    fn is_flushed(&self) -> bool {
        true
    }
}
