//! RAM of the process's own: the piece that it was started with, then pieces of its memory
//! service's. From it come page tables, CNodes and the heap. Nothing here uses the heap.

use abi::{CapAddr, SysError, slots};
use capfmt::CapType;

use crate::invoke::{self, Retype};
use crate::single::Single;
use crate::{cap, link};

/// Pieces of RAM that are used at a time.
const PIECES: usize = 8;
/// Smallest piece asked from the memory service.
const REFILL: u64 = 256 << 10;

/// RAM that an OSnode's first process takes for itself.
const FIRST_PROCESS: u64 = 4 << 20;

/// A RAM capability, used from the front.
#[derive(Clone, Copy)]
struct Piece {
    cap: CapAddr,
    base: u64,
    next: u64,
    end: u64,
}

impl Piece {
    const NONE: Piece = Piece {
        cap: CapAddr::NULL,
        base: 0,
        next: 0,
        end: 0,
    };
    fn take(&mut self, bytes: u64, align: u64) -> Option<(CapAddr, u64)> {
        let first = self.next.checked_next_multiple_of(align)?;
        let end = first.checked_add(bytes)?;
        if end > self.end {
            return None;
        }
        self.next = end;
        Some((self.cap, first - self.base))
    }
    fn left(&self) -> u64 {
        self.end - self.next
    }
}

#[cfg_attr(nekton_user, thread_local)]
static POOL: Single<[Piece; PIECES]> = Single::new([Piece::NONE; PIECES]);

/// Adds a RAM capability to the pool, in the place of the piece with least left.
pub(crate) fn donate(ram: CapAddr) -> Result<(), SysError> {
    let id = invoke::identify(ram)?;
    if id.cap.kind != CapType::Ram {
        return Err(SysError::WrongType);
    }
    let base = id.cap.base.0;
    POOL.with(|pool| {
        if let Some(least) = pool.iter_mut().min_by_key(|p| p.left()) {
            *least = Piece {
                cap: ram,
                base,
                next: base,
                end: base + id.cap.size,
            };
        }
    });
    Ok(())
}

/// Takes over the RAM that the process was started with, if any.
pub(crate) fn init() {
    let own = donate(slots::START_RAM).or_else(|_| {
        first_process_ram()?;
        donate(slots::START_RAM)
    });
    // Without it the memory service is asked for the first piece.
    let _ = own;
}

/// An OSnode's first process has all RAM but no START_RAM: it is cut from the end of the first
/// large enough range, whose slot then has what is left.
fn first_process_ram() -> Result<(), SysError> {
    for i in 0.. {
        let range = CapAddr(slots::RAM.0 + i);
        let id = invoke::identify(range)?;
        if id.cap.kind == CapType::Ram && id.cap.size >= 2 * FIRST_PROCESS {
            return split(range, id.cap.size - FIRST_PROCESS);
        }
    }
    Err(SysError::NoCapability)
}

/// Splits a range: the first `left` bytes stay in its slot, the rest goes to START_RAM.
fn split(range: CapAddr, left: u64) -> Result<(), SysError> {
    let part = |offset, bytes| Retype {
        offset,
        kind: CapType::Ram,
        param: 0,
        bytes,
        count: 1,
    };
    let own = part(left, FIRST_PROCESS);
    invoke::retype(range, own, slots::ROOT_CNODE, slots::START_RAM)?;
    let rest = cap::retype(range, part(0, left))?;
    invoke::delete(range)?;
    invoke::cnode_move(slots::ROOT_CNODE, rest.addr(), range)?;
    cap::free_slot(rest.leak());
    Ok(())
}

/// Bytes left in the pool (in all pieces).
pub(crate) fn left() -> u64 {
    POOL.with(|pool| pool.iter().map(Piece::left).sum())
}

fn take(bytes: u64, align: u64) -> Option<(CapAddr, u64)> {
    POOL.with(|pool| pool.iter_mut().find_map(|p| p.take(bytes, align)))
}

/// Takes `bytes` aligned to `align` from the pool: the RAM capability and the offset in it.
///
/// # Errors
/// `TableFull` when neither the pool nor the memory service has so much.
fn carve(bytes: u64, align: u64) -> Result<(CapAddr, u64), SysError> {
    if let Some(found) = take(bytes, align) {
        return Ok(found);
    }
    let wanted = bytes.max(align).max(REFILL);
    let piece = link::allocate(wanted).map_err(|_| SysError::TableFull)?;
    donate(piece.leak())?;
    take(bytes, align).ok_or(SysError::TableFull)
}

/// Makes one object of `bytes` bytes in slot `dest`, of RAM of the process's own.
///
/// # Errors
/// `TableFull` without RAM; any of `Op::Retype`.
pub(crate) fn make(kind: CapType, param: u32, bytes: u64, dest: CapAddr) -> Result<(), SysError> {
    let align = match kind {
        CapType::Frame | CapType::Ram | CapType::UmpEndpoint => 4096,
        // A CNode, VNode or dispatcher stands at a multiple of its size.
        _ => bytes.next_power_of_two(),
    };
    let (ram, offset) = carve(bytes, align)?;
    let what = Retype {
        offset,
        kind,
        param,
        bytes,
        count: 1,
    };
    invoke::retype(ram, what, slots::ROOT_CNODE, dest).map(|_| ())
}

/// As [`make`], in a fresh slot.
///
/// # Errors
/// As [`make`].
pub(crate) fn object(kind: CapType, param: u32, bytes: u64) -> Result<cap::Capability, SysError> {
    cap::in_slot(|slot| make(kind, param, bytes, slot))
}
