//! RAM that goes to other OSnodes, and what is left of it when they are gone.
//!
//! A server knows which ranges it gave to which OSnode until they are back, whoever brings them. Of an OSnode that
//! was destroyed the ranges go on an account of the front: there they come back as everything does that a process
//! had, each part when nobody has it any more. So what was sent is not lost to the books when its receiver is.

use alloc::vec::Vec;

use super::{Allocator, Grant, Rest};
use crate::Cut;
use crate::lent::{Lent, without};

impl Allocator {
    /// Enters that a block was given whole to a server of another OSnode.
    pub fn lend(&mut self, cut: &Cut, rest: Rest, osnode: u64) {
        self.send(cut, rest);
        self.lent.enter(cut.base, cut.base + cut.bytes, osnode);
    }

    pub(super) fn check_lent(&self) -> Result<(), &'static str> {
        let free = self.pieces.iter().map(|p| (p.base, p.end()));
        let out = self.granted.values().map(|g| (g.base, g.base + g.size));
        let sent = self.lent.iter().map(|(b, e, _)| (b, e));
        let mut all: Vec<(u64, u64)> = free.chain(out).chain(sent).collect();
        all.sort_unstable();
        if all.windows(2).any(|w| w[0].1 > w[1].0) {
            return Err("RAM-LENT: what another OSnode has is here, too");
        }
        Ok(())
    }

    /// What other OSnodes have.
    #[must_use]
    pub const fn lent(&self) -> &Lent {
        &self.lent
    }

    /// Takes a range that an OSnode had, which is gone, out of the books: first byte, bytes.
    pub fn bequeath(&mut self, osnode: u64) -> Option<(u64, u64)> {
        let (base, end) = self.lent.first_of(osnode)?;
        self.lent.remove(base, end);
        Some((base, end - base))
    }

    /// Enters on an account what came from an OSnode that is gone, as far as it is not here (or gone on) already; what
    /// was entered.
    pub fn inherit(&mut self, base: u64, size: u64, account: u32) -> Vec<(u64, u64)> {
        let end = base.saturating_add(size);
        let free = self.pieces.iter().map(|p| (p.base, p.end()));
        let out = self.granted.values().map(|g| (g.base, g.base + g.size));
        let sent = self.lent.iter().map(|(b, e, _)| (b, e));
        let here = free.chain(out).chain(sent);
        let here = here.filter(|(b, e)| *b < end && *e > base).collect();
        let parts = without(base, end, here);
        let mut new = 0;
        for &(b, e) in &parts {
            let size = e - b;
            self.put_on(Grant {
                base: b,
                size,
                account,
            });
            new += size;
        }
        // What is here already came without a sender.
        let known = (size - new).min(self.sums.found);
        self.sums.found -= known;
        self.sums.got += new + known;
        parts.into_iter().map(|(b, e)| (b, e - b)).collect()
    }
}
