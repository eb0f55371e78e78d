//! What of the books is written down for the server's next life, and how that begins.

use alloc::vec::Vec;

use super::Allocator;
use crate::accounts::Promise;
use crate::ledger::{Change, Entry, Key};
use crate::topology::Fact;

impl Allocator {
    /// Learns something of the machine.
    pub fn learn(&mut self, fact: Fact) {
        self.topology.learn(fact);
        self.changed.push(Key::Fact(fact));
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let mut keys = core::mem::take(&mut self.changed);
        keys.extend(self.lent.take_changes().into_iter().map(Key::Lent));
        let sums = (self.sums.donated, self.sums.got, self.sums.sent);
        if core::mem::replace(&mut self.said, sums) != sums {
            keys.push(Key::Sums);
        }
        keys.sort_unstable();
        keys.dedup();
        let now = |key: Key| match self.entry(key) {
            Some(entry) => Change::Put(entry),
            None => Change::Erase(key),
        };
        keys.into_iter().map(now).collect()
    }

    fn entry(&self, key: Key) -> Option<Entry> {
        match key {
            Key::Account(number) => {
                let account = self.accounts.get(number);
                // What is promised otherwise, the server promises each time that it begins.
                let Promise::Share(share) = account.promise else {
                    return None;
                };
                self.accounts.is_known(number).then_some(Entry::Account {
                    number,
                    limit: account.limit,
                    share,
                    closed: account.closed,
                })
            }
            Key::Grant(base) => self.granted.get(&base).copied().map(Entry::Grant),
            Key::Lent(base) => {
                let (end, osnode) = self.lent.get(base)?;
                Some(Entry::Lent { base, end, osnode })
            }
            Key::Fixed(base) => {
                let mut of = self.fixed.iter().filter(|(b, _)| *b == base);
                of.next().map(|&(base, end)| Entry::Fixed(base, end))
            }
            Key::Fact(fact) => Some(Entry::Fact(fact)),
            Key::Sums => {
                let sums = &self.sums;
                Some(Entry::Sums(sums.donated, sums.got, sums.sent))
            }
            // The server's own.
            Key::Estate(_) | Key::Node => None,
        }
    }

    /// Begins with what an earlier life wrote down, in the order of keys. Nothing is free: what was comes back
    /// ([`Allocator::returned`]). What contradicts something before it is left out.
    #[must_use]
    pub fn reopen(entries: &[Entry]) -> Allocator {
        let mut books = Allocator::new();
        for entry in entries {
            books.enter(entry);
        }
        // With nothing on it, a closed account would have been forgotten.
        for entry in entries {
            if let Entry::Account { number, closed, .. } = *entry {
                books.accounts.change(number, |a| a.closed = closed);
                books.changed.push(Key::Account(number));
            }
        }
        let held: u64 = books.granted.values().map(|g| g.size).sum();
        let sums = &mut books.sums;
        let known = (sums.donated.wrapping_add(sums.got)).wrapping_sub(sums.sent);
        sums.found = held.wrapping_sub(known);
        books
    }

    /// An earlier life's account is as if it had never been, but for one range (first byte, first byte after): what was on it
    /// came back to somebody else, and comes as another server's.
    pub fn forget(&mut self, account: u32, but: (u64, u64)) {
        for g in self.grants_of(account) {
            let end = g.base + g.size;
            for (from, to) in [(g.base, end.min(but.0)), (g.base.max(but.1), end)] {
                if from < to {
                    let gone = self.take_off(from, to);
                    self.sums.found = self.sums.found.wrapping_sub(gone);
                }
            }
        }
    }

    fn enter(&mut self, entry: &Entry) {
        match *entry {
            Entry::Account {
                number,
                limit,
                share,
                ..
            } => self.accounts.change(number, |a| {
                a.limit = limit;
                a.promise = Promise::Share(share);
            }),
            Entry::Grant(grant) => {
                let end = grant.base.checked_add(grant.size);
                match self.is_anybodys(grant.base, end) {
                    false => self.put_on(grant),
                    true => self.changed.push(entry.key()),
                }
            }
            Entry::Lent { base, end, osnode } => match self.is_anybodys(base, Some(end)) {
                false => self.lent.enter(base, end, osnode),
                true => self.changed.push(entry.key()),
            },
            Entry::Fixed(base, end) => self.fixed.push((base, end)),
            Entry::Fact(fact) => self.topology.learn(fact),
            Entry::Sums(donated, got, sent) => {
                self.sums.donated = donated;
                self.sums.got = got;
                self.sums.sent = sent;
            }
            Entry::Estate { .. } | Entry::Node(_) => {}
        }
    }

    /// Whether a range cannot be entered: somebody has a part of it, or it is none.
    fn is_anybodys(&self, base: u64, end: Option<u64>) -> bool {
        let Some(end) = end.filter(|end| base < *end) else {
            return true;
        };
        let granted = self.granted.range(..end).next_back();
        let lent = self.lent.iter().any(|(b, e, _)| b < end && e > base);
        lent || granted.is_some_and(|(_, g)| g.base + g.size > base)
    }
}
