//! The heap of all dispatchers: `talc` over Frames mapped one after the other from
//! `vaddr::HEAP` on. It grows by the first dispatcher, whose OSnode owns the page tables.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use abi::{CapAddr, SysError, slots, vaddr};
use capfmt::{CapType, Rights, VNODE_BYTES};
use talc::DefaultBinning;
use talc::base::Talc;
use talc::source::Manual;

use crate::domain::owner::{self, What};
use crate::domain::place;
use crate::domain::spin::Spin;
use crate::invoke::Map;
use crate::plan::tables::{LEAF_SPAN, PAGE, index, pieces};
use crate::{cap, invoke, ram};

/// The heap ends where the addresses for run-time mappings begin.
const HEAP_BYTES: u64 = vaddr::DYNAMIC - vaddr::HEAP;
/// Level-0 tables of the whole heap.
const TABLES: usize = (HEAP_BYTES / LEAF_SPAN) as usize;
/// Least and most that the heap grows by at a time (more for a larger request).
const GROW_MIN: u64 = 64 << 10;
const GROW_MAX: u64 = 1 << 20;

struct Heap {
    talc: Talc<Manual, DefaultBinning>,
    /// End of talc's heap.
    end: Option<NonNull<u8>>,
    /// First address that is not mapped.
    mapped_end: u64,
    tables: [CapAddr; TABLES],
}

// SAFETY: the pointer is to memory of the process, which every dispatcher may reach.
unsafe impl Send for Heap {}

static HEAP: Spin<Heap> = Spin::new(Heap {
    talc: Talc::new(Manual),
    end: None,
    mapped_end: vaddr::HEAP,
    tables: [CapAddr::NULL; TABLES],
});

/// The global allocator.
pub struct Allocator;

#[cfg(nekton_user)]
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

// SAFETY: memory comes from talc, whose blocks never overlap and fit their layout; a failed
// growth gives a null pointer, as the trait wants.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size() as u64, layout.align() as u64);
        loop {
            if let Some(block) = try_alloc(layout) {
                return block.as_ptr();
            }
            // Another dispatcher may take what was added: then more is, until the heap is full.
            let grown = match place::current() {
                0 => owner::alone(|| grow_for(size, align)),
                _ => owner::ask(What::Grow, size, align).map(|_| ()),
            };
            if grown.is_err() {
                return core::ptr::null_mut();
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract: `block` came from `alloc` with this layout.
        HEAP.with(|h| unsafe { h.talc.deallocate(block, layout) });
    }
}

fn try_alloc(layout: Layout) -> Option<NonNull<u8>> {
    // SAFETY: `GlobalAlloc`'s contract: the layout's size is not zero.
    HEAP.with(|h| unsafe { h.talc.try_allocate(layout) })
}

/// First dispatcher: maps more memory at the end of the heap, for a block of `size` bytes aligned to `align`.
/// Not under `HEAP`'s lock: capability slots and RAM come from allocators that do not use the heap.
pub(crate) fn grow_for(size: u64, align: u64) -> Result<(), SysError> {
    let at = HEAP.with(|h| h.mapped_end);
    // Room for the block wherever it is aligned, and for talc's own words.
    let need = size.saturating_add(align).saturating_add(PAGE);
    let usual = (at - vaddr::HEAP).clamp(GROW_MIN, GROW_MAX);
    let need = need
        .checked_next_multiple_of(PAGE)
        .ok_or(SysError::BadArgument)?;
    let left = vaddr::HEAP + HEAP_BYTES - at;
    if need > left {
        return Err(SysError::TableFull);
    }
    let wanted = usual.max(need).min(left);
    // A process with little RAM left gets what it needs at least.
    let got = match map(at, wanted) {
        Err(_) if need < wanted => map(at, need).map(|()| need),
        done => done.map(|()| wanted),
    }?;
    HEAP.with(|h| {
        h.mapped_end = at + got;
        h.end = match h.end {
            // SAFETY: the new pages are mapped, writable and nobody else's; `end` came from talc.
            Some(end) => Some(unsafe { h.talc.extend(end, (at + got) as *mut u8) }),
            // SAFETY: as above.
            None => unsafe { h.talc.claim(at as *mut u8, got as usize) },
        };
    });
    Ok(())
}

fn map(at: u64, bytes: u64) -> Result<(), SysError> {
    let frame = ram::object(CapType::Frame, 0, bytes)?;
    let rights = Rights(Rights::READ.0 | Rights::WRITE.0);
    for p in pieces(at, bytes) {
        let table = table(p.table)?;
        let mapping = cap::alloc_slot()?;
        let what = Map {
            index: p.index,
            offset: p.offset,
            count: p.count,
            rights,
            uncached: false,
        };
        invoke::vnode_map(table, frame.addr(), what, mapping)?;
    }
    // The heap never shrinks: frame and mappings stay for the life of the process.
    frame.leak();
    Ok(())
}

/// The level-0 table for heap address `base`.
fn table(base: u64) -> Result<CapAddr, SysError> {
    let i = ((base - vaddr::HEAP) / LEAF_SPAN) as usize;
    let found = HEAP.with(|h| h.tables[i]);
    if found != CapAddr::NULL {
        return Ok(found);
    }
    let vnode = ram::object(CapType::VNode, 0, VNODE_BYTES)?;
    let mapping = cap::alloc_slot()?;
    let at = Map::table(index(1, base));
    invoke::vnode_map(slots::VNODE_LEVEL1, vnode.addr(), at, mapping)?;
    let addr = vnode.leak();
    HEAP.with(|h| h.tables[i] = addr);
    Ok(addr)
}
