//! The address space: Frames mapped at run time, with page tables made on demand.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use abi::{CapAddr, SysError, slots, vaddr};
use capfmt::{CapType, Rights, VNODE_BYTES};

use crate::cap::{self, Capability};
use crate::domain::place;
use crate::invoke::Map;
use crate::plan::ranges::Ranges;
use crate::plan::tables::{LEAF_SPAN, PAGE, Piece, index, pieces, table_base};
use crate::single::Single;
use crate::{invoke, isa, ram};

/// How to map. Nothing is ever writable and executable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read only.
    Read,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
    /// Device registers: read and write, uncached.
    Device,
}

impl Access {
    const fn rights(self) -> Rights {
        match self {
            Access::Read => Rights::READ,
            Access::ReadWrite | Access::Device => Rights(Rights::READ.0 | Rights::WRITE.0),
            Access::ReadExecute => Rights(Rights::READ.0 | Rights::EXECUTE.0),
        }
    }
}

struct Space {
    free: Ranges,
    started: bool,
    /// Page tables by level and first address.
    tables: BTreeMap<(u32, u64), CapAddr>,
}

#[cfg_attr(nekton_user, thread_local)]
static SPACE: Single<Space> = Single::new(Space {
    free: Ranges::new(),
    started: false,
    tables: BTreeMap::new(),
});

/// A mapped region; dropped, it is unmapped. Its memory may be shared with others, so it is
/// reached by copies and atomic words, never by reference.
#[derive(Debug)]
pub struct Mapped {
    at: u64,
    bytes: u64,
    mappings: Vec<Capability>,
}

/// Maps `bytes` from `offset` of a Frame, DevFrame or UmpEndpoint (page multiples).
///
/// # Errors
/// Any of `Op::Map`; `TableFull` without address space or memory for tables.
pub fn map(region: CapAddr, offset: u64, bytes: u64, access: Access) -> Result<Mapped, SysError> {
    map_after(region, offset, bytes, access, 0)
}

/// As [`map`], with so many bytes before it kept free for ever.
fn map_after(
    region: CapAddr,
    offset: u64,
    bytes: u64,
    access: Access,
    gap: u64,
) -> Result<Mapped, SysError> {
    if bytes == 0 || !(offset | bytes).is_multiple_of(PAGE) {
        return Err(SysError::BadArgument);
    }
    // Large regions begin at a table of their own: fewer Mappings.
    let align = if bytes >= LEAF_SPAN { LEAF_SPAN } else { PAGE };
    let addresses = addresses();
    let at = SPACE.with(|s| {
        if !core::mem::replace(&mut s.started, true) {
            s.free
                .give_back(addresses.start, addresses.end - addresses.start);
        }
        s.free.take(gap + bytes, align)
    });
    let mut mapped = Mapped {
        at: at.ok_or(SysError::TableFull)? + gap,
        bytes,
        mappings: Vec::new(),
    };
    for piece in pieces(mapped.at, bytes) {
        // On failure `mapped` is dropped, which undoes what was done.
        let mapping = map_piece(region, offset, piece, access)?;
        mapped.mappings.push(mapping);
    }
    Ok(mapped)
}

/// Where mappings stand: the first dispatcher's are seen by all, another one's by itself.
fn addresses() -> core::ops::Range<u64> {
    match place::current() {
        0 => vaddr::DYNAMIC..vaddr::DYNAMIC_END,
        _ => vaddr::PRIVATE_DYNAMIC..vaddr::PRIVATE_END,
    }
}

/// A stack for another dispatcher, below which nothing is mapped, for ever: first address and end.
pub(crate) fn stack(bytes: u64) -> Result<(u64, u64), SysError> {
    let frame = crate::mem::alloc_frame(bytes).map_err(|_| SysError::TableFull)?;
    let guarded = map_after(frame.addr(), 0, bytes, Access::ReadWrite, PAGE)?;
    frame.leak();
    let at = guarded.leak();
    Ok((at, at + bytes))
}

fn map_piece(
    region: CapAddr,
    offset: u64,
    p: Piece,
    access: Access,
) -> Result<Capability, SysError> {
    let table = ensure_table(0, p.table)?;
    let what = Map {
        index: p.index,
        offset: offset + p.offset,
        count: p.count,
        rights: access.rights(),
        uncached: access == Access::Device,
    };
    cap::in_slot(|slot| invoke::vnode_map(table, region, what, slot))
}

/// The page table of `level` (0 or 1) whose first address is `base`.
fn ensure_table(level: u32, base: u64) -> Result<CapAddr, SysError> {
    if level == 2 {
        return Ok(match place::current() {
            0 => slots::VNODE_LEVEL2,
            _ => slots::PRIVATE_LEVEL2,
        });
    }
    if let Some(found) = SPACE.with(|s| s.tables.get(&(level, base)).copied()) {
        return Ok(found);
    }
    let above = ensure_table(level + 1, table_base(level + 1, base))?;
    let vnode = ram::object(CapType::VNode, level, VNODE_BYTES)?;
    let at = Map::table(index(level + 1, base));
    let link = cap::in_slot(|slot| invoke::vnode_map(above, vnode.addr(), at, slot))?;
    link.leak();
    let addr = vnode.leak();
    SPACE.with(|s| s.tables.insert((level, base), addr));
    Ok(addr)
}

impl Mapped {
    /// Bytes mapped.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
    /// User address of the first byte.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.at
    }

    fn check(&self, at: u64, bytes: u64) {
        let end = at.checked_add(bytes);
        assert!(
            end.is_some_and(|end| end <= self.bytes),
            "access of {bytes} bytes at {at:#x} of a mapping of {:#x}",
            self.bytes
        );
    }
    fn byte(&self, at: u64) -> &AtomicU8 {
        // SAFETY: in the mapping (checked by the caller), which lives as long as `self`; shared
        // memory is reached by atomics only.
        unsafe { &*((self.at + at) as *const AtomicU8) }
    }
    fn word(&self, at: u64) -> &AtomicU64 {
        self.check(at, 8);
        assert!(at.is_multiple_of(8), "misaligned word at {at:#x}");
        // SAFETY: as for `byte`; aligned.
        unsafe { &*((self.at + at) as *const AtomicU64) }
    }
    fn words(&self, at: u64, count: usize) -> &[AtomicU64] {
        self.check(at, 8 * count as u64);
        assert!(
            count == 0 || at.is_multiple_of(8),
            "misaligned words at {at:#x}"
        );
        if count == 0 {
            return &[];
        }
        // SAFETY: as for `word`, all of them in the mapping.
        unsafe { core::slice::from_raw_parts((self.at + at) as *const AtomicU64, count) }
    }

    /// Copies out.
    ///
    /// # Panics
    /// Past the end of the mapping, as all below.
    pub fn read(&self, at: u64, to: &mut [u8]) {
        self.check(at, to.len() as u64);
        let head = (at.next_multiple_of(8) - at).min(to.len() as u64) as usize;
        let (first, rest) = to.split_at_mut(head);
        for (i, b) in first.iter_mut().enumerate() {
            *b = self.byte(at + i as u64).load(Ordering::Relaxed);
        }
        let from = at + head as u64;
        let (whole, last) = rest.as_chunks_mut::<8>();
        let words = self.words(from, whole.len());
        for (to, w) in whole.iter_mut().zip(words) {
            *to = w.load(Ordering::Relaxed).to_ne_bytes();
        }
        let from = from + 8 * whole.len() as u64;
        for (i, b) in last.iter_mut().enumerate() {
            *b = self.byte(from + i as u64).load(Ordering::Relaxed);
        }
    }

    /// Copies in.
    pub fn write(&self, at: u64, from: &[u8]) {
        self.check(at, from.len() as u64);
        let head = (at.next_multiple_of(8) - at).min(from.len() as u64) as usize;
        let (first, rest) = from.split_at(head);
        for (i, b) in first.iter().enumerate() {
            self.byte(at + i as u64).store(*b, Ordering::Relaxed);
        }
        let to = at + head as u64;
        let (whole, last) = rest.as_chunks::<8>();
        for (w, from) in self.words(to, whole.len()).iter().zip(whole) {
            w.store(u64::from_ne_bytes(*from), Ordering::Relaxed);
        }
        let to = to + 8 * whole.len() as u64;
        for (i, b) in last.iter().enumerate() {
            self.byte(to + i as u64).store(*b, Ordering::Relaxed);
        }
    }

    /// Loads a word (8-aligned, acquire).
    #[must_use]
    pub fn load(&self, at: u64) -> u64 {
        self.word(at).load(Ordering::Acquire)
    }
    /// Stores a word (8-aligned, release).
    pub fn store(&self, at: u64, value: u64) {
        self.word(at).store(value, Ordering::Release);
    }
    /// Compare-exchanges a word, sequentially consistent.
    ///
    /// # Errors
    /// The word found.
    pub fn compare_exchange(&self, at: u64, old: u64, new: u64) -> Result<(), u64> {
        let order = Ordering::SeqCst;
        self.word(at)
            .compare_exchange(old, new, order, order)
            .map(|_| ())
    }
    /// Fills with zeros (multiples of 8).
    pub fn zero(&self, at: u64, bytes: u64) {
        self.fill(at, bytes, 0);
    }
    /// Fills with a word (multiples of 8).
    pub fn fill(&self, at: u64, bytes: u64, word: u64) {
        for w in self.words(at, bytes as usize / 8) {
            w.store(word, Ordering::Relaxed);
        }
    }
    /// Makes code written through this mapping visible to instruction fetch.
    pub fn sync_code(&self, at: u64, bytes: u64) {
        self.check(at, bytes);
        isa::sync_code(self.at + at, bytes);
    }
    /// Unmaps it; who shares the page tables on other OSnodes cannot reach it any more either when
    /// this returns.
    ///
    /// # Errors
    /// Any of `Op::Unmap` and `Op::Delete`; what could not be unmapped stays.
    pub fn unmap(mut self) -> Result<(), SysError> {
        self.take_down()
    }

    fn take_down(&mut self) -> Result<(), SysError> {
        let mut result = Ok(());
        for mapping in core::mem::take(&mut self.mappings) {
            // Only those who use this very table must forget the pages then; a deletion concerns all tables.
            let unmapped = match place::is_spanned() {
                true => invoke::unmap(mapping.addr()),
                false => Ok(()),
            };
            let done = match unmapped {
                Ok(()) | Err(SysError::NotMapped) => mapping.delete(),
                // Its Frame was revoked.
                Err(SysError::NoCapability) => mapping.delete(),
                Err(e) => {
                    mapping.leak();
                    Err(e)
                }
            };
            result = result.and(done);
        }
        // Addresses that may still be mapped are never given out again.
        if result.is_ok() && self.bytes > 0 {
            SPACE.with(|s| s.free.give_back(self.at, self.bytes));
        }
        self.bytes = 0;
        result
    }

    /// Changes what may be done with it.
    ///
    /// # Errors
    /// Any of `Op::Protect`.
    pub fn protect(&self, access: Access) -> Result<(), SysError> {
        for mapping in &self.mappings {
            invoke::protect(mapping.addr(), access.rights())?;
        }
        Ok(())
    }

    /// Keeps it mapped for ever; returns its address.
    pub fn leak(self) -> u64 {
        let at = self.at;
        core::mem::forget(self);
        at
    }

    /// The registers behind a mapping.
    pub(crate) fn check_access(&self, at: u64, bytes: u64) -> u64 {
        self.check(at, bytes);
        assert!(at.is_multiple_of(bytes), "misaligned register at {at:#x}");
        self.at + at
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // What could not be unmapped stays as it is until the process ends.
        let _ = self.take_down();
    }
}
