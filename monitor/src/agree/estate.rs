//! Memory that an OSnode left which is gone, as far as nobody inherited it.
//!
//! Whoever takes it over must account for all that others still hold of it: then what nobody holds is free at once,
//! and each part of the rest when it is dropped, by the rules of `delete`.

use alloc::vec::Vec;

use capfmt::OsnodeId;

use super::{Agent, Input, Kernel, Object, Output, Rules};

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

    /// Takes over memory of which nobody else accounts for anything: as if this OSnode had held all of it until now.
    pub fn reclaim<K: Kernel>(&mut self, now: u64, memory: Object, kernel: &mut K) -> Vec<Output> {
        self.know(memory, self.me);
        self.step(now, Input::Deleted, kernel)
    }
}
