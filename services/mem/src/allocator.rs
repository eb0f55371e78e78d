//! Regions of RAM: split at a grant, merged when they come back.
//!
//! Every byte of the regions that were added is either free or granted to
//! exactly one client (invariant RAM-PARTITION, checked by
//! [`Allocator::check_invariants`]). A free region never crosses the border of
//! the capability it comes from (`source`), because a retype cannot.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Smallest unit of a grant, in bytes.
pub const PAGE: u64 = 4096;

/// A free piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Free {
    size: u64,
    source: u16,
}

/// A piece of RAM in the hands of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// First byte.
    pub base: u64,
    /// Bytes, a multiple of [`PAGE`].
    pub size: u64,
    /// Index of the RAM capability that it was cut from, in the order of [`Allocator::add`].
    pub source: u16,
    /// Who has it.
    pub client: u32,
    /// Free for the holder's use: the slot in which the service keeps its own copy of the capability.
    pub slot: u32,
}

/// A source of RAM.
#[derive(Clone, Copy, Debug)]
struct Source {
    base: u64,
    size: u64,
    node: u8,
}

/// What one client has and may have.
#[derive(Clone, Copy, Default, Debug)]
struct Account {
    held: u64,
    quota: Option<u64>,
}

/// Sums over all regions, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Added so far.
    pub total: u64,
    /// Not granted.
    pub free: u64,
    /// Largest free piece.
    pub largest: u64,
    /// Ever granted.
    pub out: u64,
    /// Ever come back.
    pub back: u64,
    /// Grants outstanding.
    pub grants: u64,
}

/// Why nothing was granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AllocError {
    /// The size is zero or wraps, or the alignment is no power of two.
    BadSize,
    /// The client would exceed its quota; bytes left to it.
    Quota(u64),
    /// No free piece (of that node) is large enough; bytes of the largest.
    OutOfMemory(u64),
}

/// Why nothing was taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FreeError {
    /// No grant begins at this address.
    NotGranted,
    /// Another client has it.
    NotYours,
}

/// The books of a memory service.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    sources: Vec<Source>,
    /// (first byte, first byte after, node): where firmware says which node memory is on.
    nodes: Vec<(u64, u64, u8)>,
    free: BTreeMap<u64, Free>,
    granted: BTreeMap<u64, Grant>,
    accounts: BTreeMap<u32, Account>,
    out: u64,
    back: u64,
}

impl Allocator {
    /// Books without any memory.
    #[must_use]
    pub fn new() -> Allocator {
        Allocator::default()
    }

    /// Adds the region of one RAM capability on NUMA node `node`; returns its source index.
    ///
    /// # Errors
    /// `BadSize` when it is empty, not made of whole pages, wraps, or overlaps a region added before.
    pub fn add(&mut self, base: u64, size: u64, node: u8) -> Result<u16, AllocError> {
        let end = base.checked_add(size).ok_or(AllocError::BadSize)?;
        if size == 0 || !(base | size).is_multiple_of(PAGE) {
            return Err(AllocError::BadSize);
        }
        let overlaps = |s: &Source| base < s.base + s.size && s.base < end;
        if self.sources.iter().any(overlaps) {
            return Err(AllocError::BadSize);
        }
        let source = u16::try_from(self.sources.len()).map_err(|_| AllocError::BadSize)?;
        self.sources.push(Source { base, size, node });
        self.free.insert(base, Free { size, source });
        Ok(source)
    }

    /// Offset of an address in the capability with index `source`.
    #[must_use]
    pub fn offset(&self, grant: &Grant) -> u64 {
        grant.base - self.sources[usize::from(grant.source)].base
    }

    /// Limits what `client` may hold; `None` lifts the limit.
    pub fn set_quota(&mut self, client: u32, quota: Option<u64>) {
        self.accounts.entry(client).or_default().quota = quota;
    }

    /// Bytes that `client` holds.
    #[must_use]
    pub fn held(&self, client: u32) -> u64 {
        self.accounts.get(&client).map_or(0, |a| a.held)
    }

    /// Grants `size` bytes (rounded up to pages), aligned to `align` (at least a page), from `node` if one is named.
    ///
    /// Takes the smallest piece that does, and cuts so that the rest stays in one piece where it can.
    ///
    /// # Errors
    /// See [`AllocError`]; nothing changes then.
    pub fn alloc(
        &mut self,
        client: u32,
        size: u64,
        align: u64,
        node: Option<u8>,
    ) -> Result<Grant, AllocError> {
        if size == 0 || !align.is_power_of_two() {
            return Err(AllocError::BadSize);
        }
        let size = size
            .checked_next_multiple_of(PAGE)
            .ok_or(AllocError::BadSize)?;
        let account = self.accounts.get(&client).copied().unwrap_or_default();
        if let Some(quota) = account.quota {
            let left = quota.saturating_sub(account.held);
            if size > left {
                return Err(AllocError::Quota(left));
            }
        }
        let (piece, base) = self
            .find_on(size, align.max(PAGE), node)
            .ok_or(AllocError::OutOfMemory(self.largest(node)))?;
        let Free {
            size: piece_size,
            source,
        } = self
            .free
            .remove(&piece)
            .unwrap_or(Free { size: 0, source: 0 });
        if base > piece {
            let size = base - piece;
            self.free.insert(piece, Free { size, source });
        }
        let end = base + size;
        if piece + piece_size > end {
            let size = piece + piece_size - end;
            self.free.insert(end, Free { size, source });
        }
        let grant = Grant {
            base,
            size,
            source,
            client,
            slot: 0,
        };
        self.granted.insert(base, grant);
        self.accounts.entry(client).or_default().held += size;
        self.out += size;
        Ok(grant)
    }

    /// Says that memory from `base` on is on `node`. Once anything is said, only that counts.
    pub fn set_node(&mut self, base: u64, size: u64, node: u8) {
        self.nodes.push((base, base.saturating_add(size), node));
    }

    /// Where memory of a node may lie: runs of bytes of a source.
    fn windows(&self, source: u16, node: Option<u8>) -> Vec<(u64, u64)> {
        match node {
            None => Vec::from([(0, u64::MAX)]),
            Some(n) if self.nodes.is_empty() => {
                let on = self.sources[usize::from(source)].node == n;
                if on {
                    Vec::from([(0, u64::MAX)])
                } else {
                    Vec::new()
                }
            }
            Some(n) => {
                let of_node = self.nodes.iter().filter(|(.., node)| *node == n);
                of_node.map(|(from, to, _)| (*from, *to)).collect()
            }
        }
    }

    /// The best piece for a request: (its first byte, first byte of the grant).
    ///
    /// A grant is never a whole source: its capability would be a copy of the source's, and to
    /// revoke the one is to lose the other.
    fn find_on(&self, size: u64, align: u64, node: Option<u8>) -> Option<(u64, u64)> {
        let mut best: Option<(u64, u64, u64)> = None;
        for (&piece, free) in &self.free {
            for (from, to) in self.windows(free.source, node) {
                let first = piece.max(from);
                let end = (piece + free.size).min(to);
                let Some(base) = first.checked_next_multiple_of(align) else {
                    continue;
                };
                let whole = self.sources[usize::from(free.source)].size == size;
                let fits = base <= end && end - base >= size && !whole;
                if fits && best.is_none_or(|(_, _, s)| free.size < s) {
                    best = Some((piece, base, free.size));
                }
            }
        }
        best.map(|(piece, base, _)| (piece, base))
    }

    /// Bytes of the largest piece that lies on a node.
    fn largest(&self, node: Option<u8>) -> u64 {
        let pieces = self.free.iter().flat_map(|(&base, f)| {
            let windows = self.windows(f.source, node).into_iter();
            let cut = move |(from, to)| {
                let end = (base + f.size).min(to);
                end.saturating_sub(base.max(from))
            };
            windows.map(cut)
        });
        pieces.max().unwrap_or(0)
    }

    /// Notes in which slot the service keeps its own copy of a grant's capability.
    pub fn set_slot(&mut self, base: u64, slot: u32) {
        if let Some(g) = self.granted.get_mut(&base) {
            g.slot = slot;
        }
    }

    /// The grant of `client` that begins at `base`.
    ///
    /// # Errors
    /// See [`FreeError`].
    pub fn grant(&self, client: u32, base: u64) -> Result<Grant, FreeError> {
        let grant = self.granted.get(&base).ok_or(FreeError::NotGranted)?;
        if grant.client != client {
            return Err(FreeError::NotYours);
        }
        Ok(*grant)
    }

    /// Everything that `client` holds, in address order.
    #[must_use]
    pub fn grants_of(&self, client: u32) -> Vec<Grant> {
        let of_client = self.granted.values().filter(|g| g.client == client);
        of_client.copied().collect()
    }

    /// Makes what `from` holds at `base` a holding of `to` (whose quota is not asked: it did not ask).
    ///
    /// # Errors
    /// See [`FreeError`].
    pub fn transfer(&mut self, from: u32, base: u64, to: u32) -> Result<(), FreeError> {
        let grant = self.grant(from, base)?;
        self.granted.insert(
            base,
            Grant {
                client: to,
                ..grant
            },
        );
        self.accounts.entry(from).or_default().held -= grant.size;
        self.accounts.entry(to).or_default().held += grant.size;
        Ok(())
    }

    /// Takes the grant at `base` back from `client`, after its capabilities were revoked.
    ///
    /// # Errors
    /// See [`FreeError`]; nothing changes then.
    pub fn free(&mut self, client: u32, base: u64) -> Result<Grant, FreeError> {
        let grant = self.grant(client, base)?;
        self.granted.remove(&base);
        if let Some(a) = self.accounts.get_mut(&client) {
            a.held -= grant.size;
        }
        self.back += grant.size;
        let (mut base, mut size) = (grant.base, grant.size);
        if let Some((&before, f)) = self.free.range(..base).next_back()
            && before + f.size == base
            && f.source == grant.source
        {
            size += f.size;
            base = before;
            self.free.remove(&before);
        }
        if let Some(f) = self.free.get(&(base + size)).copied()
            && f.source == grant.source
        {
            self.free.remove(&(base + size));
            size += f.size;
        }
        let source = grant.source;
        self.free.insert(base, Free { size, source });
        Ok(grant)
    }

    /// Forgets the account of a client that holds nothing any more.
    pub fn close(&mut self, client: u32) {
        if self.held(client) == 0 {
            self.accounts.remove(&client);
        }
    }

    /// The sums.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            total: self.sources.iter().map(|s| s.size).sum(),
            free: self.free.values().map(|f| f.size).sum(),
            largest: self.largest(None),
            out: self.out,
            back: self.back,
            grants: self.granted.len() as u64,
        }
    }

    /// Checks RAM-PARTITION, that neighbours are merged, and that the accounts add up.
    ///
    /// # Errors
    /// The name of the broken invariant.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        let free = self.free.iter().map(|(&b, f)| (b, f.size, f.source, true));
        let out = self.granted.values();
        let out = out.map(|g| (g.base, g.size, g.source, false));
        let mut all: Vec<_> = free.chain(out).collect();
        all.sort_unstable();
        for s in &self.sources {
            let mut at = s.base;
            let mut last_free = false;
            for &(base, size, source, is_free) in &all {
                if base < s.base || base >= s.base + s.size {
                    continue;
                }
                let whole = base == at && size > 0 && size % PAGE == 0;
                let same = usize::from(source) < self.sources.len()
                    && self.sources[usize::from(source)].base == s.base;
                if !whole || !same {
                    return Err("RAM-PARTITION: a hole, an overlap or a wrong source");
                }
                if is_free && last_free {
                    return Err("RAM-MERGED: two free neighbours");
                }
                last_free = is_free;
                at += size;
            }
            if at != s.base + s.size {
                return Err("RAM-PARTITION: the regions do not fill their source");
            }
        }
        for (&client, account) in &self.accounts {
            let sum: u64 = self.grants_of(client).iter().map(|g| g.size).sum();
            if sum != account.held {
                return Err("RAM-ACCOUNTS: a client's grants do not add up");
            }
        }
        let held: u64 = self.granted.values().map(|g| g.size).sum();
        if self.out - self.back != held {
            return Err("RAM-ACCOUNTS: out minus back is not what is out");
        }
        Ok(())
    }
}
