//! Memory that an OSnode left which is gone, as far as nobody inherited it.
//!
//! Whoever takes it over must account for all that others still hold of it: then what nobody holds is free at once,
//! and each part of the rest when it is dropped, by the rules of `delete`. That is the *home* of who is gone, in whose
//! books the memory is. An heir elsewhere passes the families that it inherited, its *bequests*, on to it. Until then
//! it decides about them, but no byte of them becomes free here, whoever drops or revokes it: home finds that out.

use alloc::vec::Vec;

use capfmt::OsnodeId;

use super::{Agent, Input, Kernel, Object, Output, Request, Rules, Turn};

impl<R: Rules> Agent<R> {
    /// Whether it is not settled yet who inherits what.
    #[must_use]
    pub const fn is_inheriting(&self) -> bool {
        self.inheriting
    }

    /// Whether an OSnode is there, as far as this machine was told.
    #[must_use]
    pub fn lives(&self, osnode: OsnodeId) -> bool {
        self.living.contains(&osnode)
    }

    /// Whether this OSnode decides about anything that overlaps `object`, or is about to say that it is gone,
    /// besides what its kernel holds.
    #[must_use]
    pub fn accounts_for(&self, object: &Object) -> bool {
        let own = self.books.iter().chain(&self.lost);
        let own = own.filter(|(_, owner)| **owner == self.me).map(|(o, _)| o);
        let all = self.directory.objects().chain(own);
        let mut met = all.filter(|o| o.overlaps(object) && !o.is_address_right());
        met.next().is_some()
    }

    /// Memory of an OSnode that is gone is to be taken over here. Until then, what this OSnode inherited or got of it is
    /// not given away with the ownership, and does not become free: [`Agent::reclaim`] finds that out.
    pub fn await_estate<K: Kernel>(
        &mut self,
        now: u64,
        memory: Object,
        kernel: &mut K,
    ) -> Vec<Output> {
        let mut out = self.step(now, Input::Deleted, kernel);
        self.awaited.push(memory);
        out.extend(self.tell_kernel(now, memory, kernel));
        out
    }

    /// Takes over memory of which nobody else accounts for anything: as if this OSnode had held all of it until now.
    pub fn reclaim<K: Kernel>(&mut self, now: u64, memory: Object, kernel: &mut K) -> Vec<Output> {
        let mut out = self.step(now, Input::Deleted, kernel);
        self.awaited.retain(|m| !m.overlaps(&memory));
        out.extend(self.tell_kernel(now, memory, kernel));
        self.know(memory, self.me);
        out.extend(self.step(now, Input::Deleted, kernel));
        out
    }

    /// Tells the kernel whether it may decide alone about what is held in this memory.
    fn tell_kernel<K: Kernel>(&mut self, now: u64, memory: Object, k: &mut K) -> Vec<Output> {
        let mut turn = Turn {
            a: self,
            k,
            out: Vec::new(),
            now,
        };
        turn.refresh(&memory);
        turn.out
    }

    /// What this OSnode inherits from now on is to be transferred to `home`, which accounts for it.
    pub fn pass_on_to(&mut self, home: OsnodeId) {
        self.home = Some(home).filter(|h| *h != self.me && self.living.contains(h));
    }

    /// Roots of families that are to be passed on.
    pub fn bequests(&self) -> impl Iterator<Item = &Object> {
        self.bequests.iter()
    }

    /// Whether it is a part of what another OSnode is to account for, or this one later.
    pub(super) fn is_bequest(&self, object: &Object) -> bool {
        let mut all = self.bequests.iter().chain(&self.awaited);
        !object.is_address_right() && all.any(|b| b.overlaps(object) && !object.is_block_around(b))
    }
}

impl<K: Kernel, R: Rules> Turn<'_, K, R> {
    /// Inherited, with its family, for whoever accounts for it.
    pub(super) fn bequeathed(&mut self, root: &Object) {
        if self.a.home.is_some() {
            self.a.bequests.insert(*root);
        }
    }

    /// Without home, heirs keep what they inherit.
    pub(super) fn home_gone(&mut self, osnode: OsnodeId) {
        if self.a.home == Some(osnode) {
            self.a.home = None;
            self.a.bequests.clear();
        }
    }

    /// A family can be passed on when only others still hold it.
    pub(super) fn owns_unheld(&self, request: &Request) -> Option<OsnodeId> {
        let passes = matches!(request, Request::Transfer { .. });
        let owns = passes && self.a.bequests.contains(&request.object());
        owns.then_some(self.a.me)
    }

    /// Whether a move of it takes the ownership with it.
    pub(super) fn may_leave(&self, object: &Object) -> bool {
        self.is_root(object) && !self.a.is_bequest(object)
    }

    /// Of what nobody has any more, nothing is left to be passed on.
    pub(super) fn forget_bequests(&mut self) {
        if self.a.bequests.is_empty() {
            return;
        }
        let (agent, kernel) = (&*self.a, &*self.k);
        let own = |b: &Object| kernel.overlapping(b).iter().any(|(_, n)| *n == agent.me);
        let kept = agent
            .bequests
            .iter()
            .filter(|b| agent.accounts_for(b) || own(b));
        self.a.bequests = kept.copied().collect();
    }
}
