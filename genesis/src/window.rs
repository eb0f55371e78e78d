//! The shared, immutable window onto RAM.

use core::fmt;

use capfmt::{PhysAddr, PhysMap};

use crate::PAGE;
use crate::isa::{EntryRights, IsaTables};
use crate::osnode::RamRange;
use crate::tables::{entry, index, reach, set_entry, table_of};

/// Bytes that the window reaches: one root entry.
const WINDOW_BYTES: u64 = reach(3);

/// Why the window cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WindowError {
    /// A range passes the 512 GiB that the window reaches.
    TooHigh(RamRange),
    /// A range does not consist of whole pages.
    Unaligned(RamRange),
    /// No page is left for a table.
    OutOfTables,
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (r, why) = match self {
            WindowError::TooHigh(r) => (r, "passes the 512 GiB of the window"),
            WindowError::Unaligned(r) => (r, "is not made of whole pages"),
            WindowError::OutOfTables => {
                return f.write_str("no memory is left for the window's tables");
            }
        };
        write!(f, "RAM at {:#x}, {:#x} bytes, {why}", r.base.0, r.bytes)
    }
}

/// Makes the window's tables over `ram` (whole pages, in any order, not overlapping):
/// returns the level-2 table. `page` gives a page for a table each time it is called.
/// Blocks of 1 GiB (if `gigabyte_pages`) and 2 MiB are used where they fit.
///
/// # Errors
/// See [`WindowError`].
pub fn build_window<T: IsaTables>(
    mem: &mut impl PhysMap,
    ram: &[RamRange],
    gigabyte_pages: bool,
    page: &mut impl FnMut() -> Option<PhysAddr>,
) -> Result<PhysAddr, WindowError> {
    let top = fresh(mem, page)?;
    for r in ram {
        if !r.base.is_aligned(PAGE) || r.bytes % PAGE != 0 {
            return Err(WindowError::Unaligned(*r));
        }
        let end = r.base.0.saturating_add(r.bytes);
        if end > WINDOW_BYTES {
            return Err(WindowError::TooHigh(*r));
        }
        let mut at = r.base;
        while at.0 < end {
            let fits = |level: u32| at.is_aligned(reach(level)) && end - at.0 >= reach(level);
            let level = match () {
                () if gigabyte_pages && fits(2) => 2,
                () if fits(1) => 1,
                () => 0,
            };
            let table = ensure_table::<T>(mem, top, at.0, level, page)?;
            let entry = T::leaf(level, at, EntryRights::WINDOW);
            set_entry(mem, table, index(level, at.0), entry);
            at = at.add(reach(level));
        }
    }
    Ok(top)
}

fn fresh(
    mem: &mut impl PhysMap,
    page: &mut impl FnMut() -> Option<PhysAddr>,
) -> Result<PhysAddr, WindowError> {
    let at = page().ok_or(WindowError::OutOfTables)?;
    mem.zero(at, PAGE);
    Ok(at)
}

/// The level-`level` table that covers window address `at`, made if it is missing.
fn ensure_table<T: IsaTables>(
    mem: &mut impl PhysMap,
    top: PhysAddr,
    at: u64,
    level: u32,
    page: &mut impl FnMut() -> Option<PhysAddr>,
) -> Result<PhysAddr, WindowError> {
    let mut table = top;
    for upper in (level + 1..=2).rev() {
        let slot = index(upper, at);
        let entry = entry(mem, table, slot);
        table = if entry == 0 {
            let lower = fresh(mem, page)?;
            set_entry(mem, table, slot, T::table(lower, false));
            lower
        } else {
            table_of(entry)
        };
    }
    Ok(table)
}
