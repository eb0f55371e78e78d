//! The books of a memory server: which RAM it has, who has what of it.
//!
//! Every byte that the server has is either in one free piece, which is one capability, or granted to exactly
//! one account (invariant RAM-PARTITION). What it gave away whole to another server it has no more; of what went to
//! another OSnode it knows the range and to which (`estate.rs`).
//! Deciding and entering are two steps, because between them a capability is cut: [`Allocator::plan`], then
//! [`Allocator::grant`]. Nothing else may be entered in between.

mod changes;
mod estate;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::accounts::{Account, Accounts, Promise};
use crate::ledger::Key;
use crate::lent::Lent;
use crate::pieces::{BLOCK, Cut, Piece, Pieces};
use crate::topology::Topology;

/// Smallest unit of a grant, in bytes.
pub const PAGE: u64 = 4096;

/// A piece of RAM in the hands of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// First byte.
    pub base: u64,
    /// Bytes, a multiple of [`PAGE`].
    pub size: u64,
    /// Whose account it is on.
    pub account: u32,
}

/// Where RAM comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// What the server begins with.
    Donated,
    /// The same, but it is part of the OSnode's own region and never goes to another server.
    Fixed,
    /// Another server gave it.
    Server,
}

/// Sums, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// All that the server has.
    pub total: u64,
    /// Not granted.
    pub free: u64,
    /// Largest free run.
    pub largest: u64,
    /// What the server began with.
    pub donated: u64,
    /// Ever come from other servers.
    pub got: u64,
    /// Ever gone to other servers.
    pub sent: u64,
    /// Came back without having been granted here.
    pub found: u64,
    /// Grants outstanding.
    pub grants: u64,
}

/// Why nothing was granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AllocError {
    /// The size is zero or wraps, or the alignment is no power of two, or ranges overlap.
    BadSize,
    /// The account would exceed its limit; bytes left to it.
    Quota(u64),
    /// No free run (of that node) is large enough, or the rest is promised to others; bytes of the largest.
    OutOfMemory(u64),
}

/// The capabilities of what is left of a piece that was cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rest {
    /// Of the part before the block, if there is one.
    pub before: u32,
    /// Of the part after the block, if there is one.
    pub after: u32,
}

/// The books.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    /// What is known of the machine.
    pub topology: Topology,
    pieces: Pieces,
    granted: BTreeMap<u64, Grant>,
    accounts: Accounts,
    /// Ranges (first byte, first byte after) that stay with this server.
    fixed: Vec<(u64, u64)>,
    lent: Lent,
    sums: Totals,
    /// What may differ from what was written down.
    changed: Vec<Key>,
    /// The sums of [`Allocator::take_changes`]' last call.
    said: (u64, u64, u64),
}

impl Allocator {
    /// Books without any memory.
    #[must_use]
    pub fn new() -> Allocator {
        Allocator::default()
    }

    /// Enters a piece that the server gets.
    ///
    /// # Errors
    /// `BadSize` when it is empty, not made of whole pages, wraps, or overlaps what is entered.
    pub fn add(&mut self, piece: Piece, origin: Origin) -> Result<(), AllocError> {
        self.ensure_new(&piece)?;
        match origin {
            Origin::Donated => self.sums.donated += piece.size,
            Origin::Fixed => {
                self.sums.donated += piece.size;
                self.fixed.push((piece.base, piece.end()));
                self.changed.push(Key::Fixed(piece.base));
            }
            Origin::Server => self.sums.got += piece.size,
        }
        // Whoever brings it: who had it has it no more.
        self.lent.remove(piece.base, piece.end());
        self.pieces.insert(piece);
        Ok(())
    }

    fn ensure_new(&self, piece: &Piece) -> Result<(), AllocError> {
        let end = piece.base.checked_add(piece.size);
        let end = end.ok_or(AllocError::BadSize)?;
        let pages = piece.size > 0 && (piece.base | piece.size).is_multiple_of(PAGE);
        let before = self.granted.range(..end).next_back();
        let granted = before.is_some_and(|(_, g)| g.base + g.size > piece.base);
        if !pages || granted || self.pieces.overlaps(piece.base, end) {
            return Err(AllocError::BadSize);
        }
        Ok(())
    }

    /// Opens an account.
    ///
    /// # Errors
    /// `OutOfMemory` when the promise could not be kept.
    pub fn open(
        &mut self,
        number: u32,
        limit: Option<u64>,
        promise: Promise,
    ) -> Result<(), AllocError> {
        let promise = match (promise, limit) {
            (Promise::Share(share), Some(limit)) => Promise::Share(share.min(limit)),
            (promise, _) => promise,
        };
        let account = Account {
            limit,
            promise,
            ..Account::default()
        };
        let wanted = account.reserved();
        let (bytes, blocks) = self.accounts.reserved();
        if self.pieces.bytes() < bytes + wanted || self.pieces.blocks() < blocks + wanted / BLOCK {
            return Err(AllocError::OutOfMemory(
                self.pieces.bytes().saturating_sub(bytes),
            ));
        }
        self.accounts.change(number, |a| {
            a.limit = limit;
            a.promise = promise;
            a.closed = false;
        });
        self.changed.push(Key::Account(number));
        Ok(())
    }

    /// Promises an account something without looking whether there is so much yet.
    pub fn promise(&mut self, number: u32, promise: Promise) {
        self.accounts.change(number, |a| a.promise = promise);
    }

    /// One account.
    #[must_use]
    pub fn account(&self, number: u32) -> Account {
        self.accounts.get(number)
    }

    /// The first account above `number`.
    #[must_use]
    pub fn next_account(&self, number: Option<u32>) -> Option<(u32, Account)> {
        self.accounts.next(number)
    }

    /// Whether the account is known.
    #[must_use]
    pub fn has_account(&self, number: u32) -> bool {
        self.accounts.is_known(number)
    }

    /// The account's owner has ended; it is forgotten as soon as it holds nothing. Bytes that it still holds.
    pub fn close(&mut self, number: u32) -> u64 {
        if !self.accounts.is_known(number) {
            return 0;
        }
        self.accounts.change(number, |a| a.closed = true);
        self.changed.push(Key::Account(number));
        self.accounts.get(number).held
    }

    /// Where `bytes` (rounded up to pages), aligned to `align` (at least a page), on `node` if one is named, are
    /// to be cut for `account`.
    ///
    /// # Errors
    /// See [`AllocError`].
    pub fn plan(
        &self,
        account: u32,
        bytes: u64,
        align: u64,
        node: Option<u8>,
    ) -> Result<Cut, AllocError> {
        if bytes == 0 || !align.is_power_of_two() {
            return Err(AllocError::BadSize);
        }
        let bytes = bytes.checked_next_multiple_of(PAGE);
        let bytes = bytes.ok_or(AllocError::BadSize)?;
        let left = self.accounts.get(account).left();
        if bytes > left {
            return Err(AllocError::Quota(left));
        }
        let found = self.pieces.find(&self.topology, bytes, align, node);
        let allowed = found.filter(|cut| {
            let free = self.pieces.bytes() - bytes;
            let places = self.pieces.blocks_after(cut);
            self.accounts.may_take(account, bytes, free, places)
        });
        allowed.ok_or_else(|| AllocError::OutOfMemory(self.pieces.largest(&self.topology, node)))
    }

    /// Enters a grant that was planned; the block's capability is the account's owner's.
    pub fn grant(&mut self, cut: &Cut, account: u32, rest: Rest) -> Grant {
        self.take(cut, rest);
        let grant = Grant {
            base: cut.base,
            size: cut.bytes,
            account,
        };
        self.put_on(grant);
        grant
    }

    /// Enters that a range is on an account, which nobody has.
    fn put_on(&mut self, grant: Grant) {
        self.granted.insert(grant.base, grant);
        self.changed.push(Key::Grant(grant.base));
        self.accounts
            .change(grant.account, |a| a.held += grant.size);
    }

    /// Enters that a block was given whole to another server.
    pub fn send(&mut self, cut: &Cut, rest: Rest) {
        self.take(cut, rest);
        self.sums.sent += cut.bytes;
    }

    fn take(&mut self, cut: &Cut, rest: Rest) {
        self.pieces.remove(cut.piece.base);
        let parts = [
            (cut.piece.base, cut.before(), rest.before),
            (cut.base + cut.bytes, cut.after(), rest.after),
        ];
        for (base, size, handle) in parts.into_iter().filter(|p| p.1 > 0) {
            self.pieces.insert(Piece { base, size, handle });
        }
    }

    /// Everything on an account, in address order.
    #[must_use]
    pub fn grants_of(&self, account: u32) -> Vec<Grant> {
        let of = self.granted.values().filter(|g| g.account == account);
        of.copied().collect()
    }

    /// Enters RAM that is free again: any range, of which all, parts or nothing were granted. What was not is
    /// new to this server (memory that was there before it, or another server's), or had been lent.
    ///
    /// # Errors
    /// `BadSize` when it is empty, not made of whole pages, wraps, or overlaps what is free.
    pub fn returned(&mut self, piece: Piece) -> Result<(), AllocError> {
        let end = piece.base.checked_add(piece.size);
        let end = end.ok_or(AllocError::BadSize)?;
        let pages = piece.size > 0 && (piece.base | piece.size).is_multiple_of(PAGE);
        if !pages || self.pieces.overlaps(piece.base, end) {
            return Err(AllocError::BadSize);
        }
        let back = self.take_off(piece.base, end);
        let lent = self.lent.remove(piece.base, end);
        self.sums.got += lent;
        // At the beginning of a further life less than nothing: what has not come back from the one before.
        self.sums.found = self.sums.found.wrapping_add(piece.size - back - lent);
        self.pieces.insert(piece);
        Ok(())
    }

    /// Takes a range off all grants; bytes that were granted.
    fn take_off(&mut self, base: u64, end: u64) -> u64 {
        let first = self.granted.range(..base).next_back();
        let first = first.map_or(base, |(&b, _)| b);
        let hit = self.granted.range(first..end).map(|(_, g)| *g);
        let hit: Vec<Grant> = hit.filter(|g| g.base + g.size > base).collect();
        let mut back = 0;
        for g in hit {
            self.granted.remove(&g.base);
            self.changed.push(Key::Grant(g.base));
            let (from, to) = (g.base.max(base), (g.base + g.size).min(end));
            let rest = [(g.base, from), (to, g.base + g.size)];
            for (b, e) in rest.into_iter().filter(|(b, e)| b < e) {
                let size = e - b;
                self.granted.insert(b, Grant { base: b, size, ..g });
                self.changed.push(Key::Grant(b));
            }
            back += to - from;
            self.accounts.change(g.account, |a| a.held -= to - from);
            if !self.accounts.is_known(g.account) {
                self.changed.push(Key::Account(g.account));
            }
        }
        back
    }

    /// Two free neighbours, one of them the piece at `base`, whose capabilities can be merged.
    #[must_use]
    pub fn neighbours(&self, base: u64) -> Option<(Piece, Piece)> {
        self.pieces.neighbours(base)
    }

    /// The capabilities of two neighbours were merged.
    pub fn joined(&mut self, first: u64, second: u64) {
        self.pieces.join(first, second);
    }

    /// The largest free run on a node that `may_go`, when more than `keep` bytes of such nodes are free.
    #[must_use]
    pub fn surplus(&self, keep: u64, may_go: impl Fn(u8) -> bool) -> Option<(Cut, u8)> {
        let nodes: Vec<u8> = self
            .topology
            .nodes()
            .into_iter()
            .filter(|n| may_go(*n))
            .collect();
        let mut bytes = 0;
        let mut best: Option<(Cut, u8)> = None;
        for piece in self.pieces.iter() {
            for &node in &nodes {
                for (from, to) in self.topology.parts(piece.base, piece.end(), Some(node)) {
                    for (from, to) in self.movable(from, to) {
                        bytes += to - from;
                        if best.is_none_or(|(b, _)| b.bytes < to - from) {
                            let (base, bytes) = (from, to - from);
                            best = Some((Cut { piece, base, bytes }, node));
                        }
                    }
                }
            }
        }
        best.filter(|_| bytes > keep)
    }

    /// The largest run on `node` that may go to another server.
    #[must_use]
    pub fn largest_to_give(&self, account: u32, node: u8) -> Option<Cut> {
        let (cut, _) = self.surplus(0, |n| n == node)?;
        let free = self.pieces.bytes() - cut.bytes;
        let places = self.pieces.blocks_after(&cut);
        let allowed = self.accounts.may_take(account, cut.bytes, free, places);
        allowed.then_some(cut)
    }

    /// The parts of a range that may go to another server.
    fn movable(&self, base: u64, end: u64) -> Vec<(u64, u64)> {
        let mut parts = Vec::from([(base, end)]);
        for &(from, to) in &self.fixed {
            let cut = parts
                .into_iter()
                .flat_map(|(b, e)| [(b, e.min(from)), (b.max(to), e)]);
            parts = cut.filter(|(b, e)| b < e).collect();
        }
        parts
    }

    /// Whether a block may go to another server.
    #[must_use]
    pub fn may_go(&self, cut: &Cut) -> bool {
        let end = cut.base + cut.bytes;
        self.movable(cut.base, end) == [(cut.base, end)]
    }

    /// The free pieces, by address.
    pub fn free(&self) -> impl Iterator<Item = Piece> + '_ {
        self.pieces.iter()
    }

    /// Every grant, by address.
    pub fn grants(&self) -> impl Iterator<Item = Grant> + '_ {
        self.granted.values().copied()
    }

    /// Bytes that are free.
    #[must_use]
    pub const fn free_bytes(&self) -> u64 {
        self.pieces.bytes()
    }

    /// The sums.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let held: u64 = self.granted.values().map(|g| g.size).sum();
        Totals {
            total: self.pieces.bytes() + held,
            free: self.pieces.bytes(),
            largest: self.pieces.largest(&self.topology, None),
            grants: self.granted.len() as u64,
            ..self.sums
        }
    }

    /// Checks RAM-PARTITION, that the accounts add up, and that no byte came from or went to nowhere.
    ///
    /// # Errors
    /// The name of the broken invariant.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        let free = self.pieces.iter().map(|p| (p.base, p.size));
        let out = self.granted.values().map(|g| (g.base, g.size));
        let mut all: Vec<(u64, u64)> = free.chain(out).collect();
        all.sort_unstable();
        let whole = |(base, size): &(u64, u64)| *size > 0 && (base | size).is_multiple_of(PAGE);
        if !all.iter().all(whole) || all.windows(2).any(|w| w[0].0 + w[0].1 > w[1].0) {
            return Err("RAM-PARTITION: two pieces overlap, or one is not made of pages");
        }
        let Totals {
            total,
            donated,
            got,
            sent,
            found,
            ..
        } = self.totals();
        if total != (donated + got).wrapping_add(found).wrapping_sub(sent) {
            return Err("RAM-CONSERVED: what came and did not go is not what is there");
        }
        for (number, account) in self.accounts.iter() {
            let sum: u64 = self.grants_of(number).iter().map(|g| g.size).sum();
            if sum != account.held || account.closed && sum == 0 {
                return Err("RAM-ACCOUNTS: an account's grants do not add up");
            }
            if account.limit.is_some_and(|limit| sum > limit) {
                return Err("RAM-ACCOUNTS: an account is over its limit");
            }
        }
        self.check_lent()?;
        let reserved: u64 = self.accounts.iter().map(|(_, a)| a.reserved()).sum();
        let free: u64 = self.pieces.iter().map(|p| p.size).sum();
        if (reserved, free) != (self.accounts.reserved().0, self.pieces.bytes()) {
            return Err("RAM-ACCOUNTS: a sum that is kept is not the sum");
        }
        Ok(())
    }
}
