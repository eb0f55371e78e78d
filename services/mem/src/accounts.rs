//! Who holds how many bytes, may hold at most how many, and can always have how many.

use alloc::collections::BTreeMap;

use crate::BLOCK;

/// What an account can always have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// So many bytes in all, what it holds included.
    Share(u64),
    /// So many bytes beyond what it holds: for those that everybody needs.
    Beyond(u64),
}

/// One account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Account {
    /// Bytes that were granted and did not come back, whoever has them.
    pub held: u64,
    /// Most bytes, if there is a limit.
    pub limit: Option<u64>,
    /// What it can always have.
    pub promise: Promise,
    /// Its owner has ended: it gets nothing more, and is forgotten when it holds nothing.
    pub closed: bool,
}

impl Default for Account {
    fn default() -> Account {
        Account {
            held: 0,
            limit: None,
            promise: Promise::Share(0),
            closed: false,
        }
    }
}

impl Account {
    /// Bytes that are kept back for it.
    #[must_use]
    pub const fn reserved(&self) -> u64 {
        match self.promise {
            _ if self.closed => 0,
            Promise::Share(bytes) => bytes.saturating_sub(self.held),
            Promise::Beyond(bytes) => bytes,
        }
    }
    /// Whether so many bytes more are within what was promised.
    const fn is_promised(&self, bytes: u64) -> bool {
        bytes <= self.reserved()
    }
    /// Bytes that it may still have.
    #[must_use]
    pub const fn left(&self) -> u64 {
        match self.limit {
            _ if self.closed => 0,
            Some(limit) => limit.saturating_sub(self.held),
            None => u64::MAX,
        }
    }
}

/// The accounts by number.
#[derive(Clone, Default, Debug)]
pub struct Accounts {
    by_number: BTreeMap<u32, Account>,
    /// Bytes kept back for all accounts, and whole blocks of [`BLOCK`] bytes of that.
    reserved: u64,
    blocks: u64,
}

impl Accounts {
    /// An account; one that nobody opened holds nothing and has neither limit nor promise.
    #[must_use]
    pub fn get(&self, number: u32) -> Account {
        self.by_number.get(&number).copied().unwrap_or_default()
    }
    /// Whether it is known.
    #[must_use]
    pub fn is_known(&self, number: u32) -> bool {
        self.by_number.contains_key(&number)
    }
    /// The first account above `number`.
    #[must_use]
    pub fn next(&self, number: Option<u32>) -> Option<(u32, Account)> {
        let from = match number {
            Some(n) => n.checked_add(1)?,
            None => 0,
        };
        self.by_number.range(from..).next().map(|(n, a)| (*n, *a))
    }
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Account)> + '_ {
        self.by_number.iter().map(|(n, a)| (*n, *a))
    }
    /// Changes an account.
    pub fn change(&mut self, number: u32, change: impl FnOnce(&mut Account)) {
        let account = self.by_number.entry(number).or_default();
        self.reserved -= account.reserved();
        self.blocks -= account.reserved() / BLOCK;
        change(account);
        self.reserved += account.reserved();
        self.blocks += account.reserved() / BLOCK;
        if account.closed && account.held == 0 {
            self.by_number.remove(&number);
        }
    }
    /// Bytes, and whole blocks of [`BLOCK`] bytes, that are kept back for all.
    #[must_use]
    pub const fn reserved(&self) -> (u64, u64) {
        (self.reserved, self.blocks)
    }
    /// Whether so many bytes for `number` may be taken when `free` bytes with `places` for whole blocks would be left.
    ///
    /// What is promised to an account it may always take; all else only from what nobody was promised.
    #[must_use]
    pub fn may_take(&self, number: u32, bytes: u64, free: u64, places: u64) -> bool {
        let account = self.get(number);
        if account.is_promised(bytes) {
            return true;
        }
        let own = account.reserved();
        let kept = match account.promise {
            // It uses its own share up first.
            Promise::Share(_) => (self.reserved - own, self.blocks - own / BLOCK),
            Promise::Beyond(_) => (self.reserved, self.blocks),
        };
        free >= kept.0 && places >= kept.1
    }
}
