//! The shared, immutable window onto RAM.

use capfmt::{PhysAddr, PhysMap};

use crate::{IsaTables, RamRange};

/// Why the window cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WindowError {
    /// A range passes the 512 GiB that the window reaches.
    TooHigh(RamRange),
    /// No page is left for a table.
    OutOfTables,
}

/// Makes the window's tables over `ram` (page-aligned ranges, in any order, not overlapping):
/// level-2 table first, at the returned address. `table` gives a page for a table each
/// time it is called. Blocks of 1 GiB (if `gigabyte_pages`) and 2 MiB are used where they fit.
///
/// # Errors
/// See [`WindowError`].
pub fn build_window<T: IsaTables>(
    mem: &mut impl PhysMap,
    ram: &[RamRange],
    gigabyte_pages: bool,
    table: &mut impl FnMut() -> Option<PhysAddr>,
) -> Result<PhysAddr, WindowError> {
    let _ = (mem, ram, gigabyte_pages, table);
    todo!()
}
