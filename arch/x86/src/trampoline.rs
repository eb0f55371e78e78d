//! The two low pages through which a core comes from wait-for-SIPI into its pen.

use crate::paging::{PAGE_BYTES, kernel_table};
use crate::registers;

/// Bytes that the trampoline needs below 1 MiB, page aligned: code, then its table.
pub const BYTES: u64 = 2 * PAGE_BYTES;

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    include_str!("trampoline.S"),
    PAE = const registers::CR4_PAE,
    EFER = const registers::MSR_EFER,
    EFER_BITS = const registers::EFER,
    CR0 = const registers::CR0,
    options(att_syntax)
);

/// The words of the table page, (index, entry): one page that serves at every level.
///
/// Entry 0 leads back to the page itself, so the walk for an address below
/// 2 MiB ends in the same page, where the entry of the code page maps it; the
/// last entry leads to the pen's image-slot table, whatever its address. So no
/// table but these words must stand below 4 GiB, and the pen maps no low memory.
#[must_use]
pub const fn table(page: u64, pen_slot_table: u64) -> [(u64, u64); 3] {
    let own = page + PAGE_BYTES;
    [
        (0, kernel_table(own)),
        (page / PAGE_BYTES, kernel_table(page)),
        (511, kernel_table(pen_slot_table)),
    ]
}

/// Writes the trampoline: `put(offset, word)` for the words of both pages at `page`.
///
/// `pen_slot_table` is the physical address of the target's
/// [`SLOT_TABLE`](crate::pen::SLOT_TABLE), `target` the virtual address of its pen's firmware door.
///
/// # Panics
/// If `page` is not page-aligned, or not between page 1 and 1 MiB.
#[cfg(target_arch = "x86_64")]
pub fn install(page: u64, pen_slot_table: u64, target: u64, put: &mut impl FnMut(u64, u64)) {
    let fits = page.is_multiple_of(PAGE_BYTES) && page > 0 && page + BYTES <= 1 << 20;
    assert!(fits, "the trampoline needs two pages below 1 MiB");
    let (code, target_at) = code();
    for (i, part) in code.chunks(8).enumerate() {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        if 8 * i != target_at {
            put(8 * i as u64, u64::from_le_bytes(word));
        }
    }
    put(target_at as u64, target);
    for (index, entry) in table(page, pen_slot_table) {
        put(PAGE_BYTES + 8 * index, entry);
    }
}

/// The page number that SIPI takes.
#[must_use]
pub const fn sipi_page(page: u64) -> u8 {
    (page / PAGE_BYTES) as u8
}

/// The code, and the offset in it of the word that names the target.
#[cfg(target_arch = "x86_64")]
fn code() -> (&'static [u8], usize) {
    unsafe extern "C" {
        static nekton_trampoline_start: u8;
        static nekton_trampoline_target: u8;
        static nekton_trampoline_end: u8;
    }
    let start = &raw const nekton_trampoline_start;
    let len = &raw const nekton_trampoline_end as usize - start as usize;
    // SAFETY: start and end enclose one section's constant bytes (`trampoline.S`).
    let bytes = unsafe { core::slice::from_raw_parts(start, len) };
    (
        bytes,
        &raw const nekton_trampoline_target as usize - start as usize,
    )
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    extern crate std;
    use super::*;
    use crate::paging::{index, output};
    use std::collections::BTreeMap;

    fn installed(page: u64) -> BTreeMap<u64, u64> {
        let mut words = BTreeMap::new();
        install(page, 0x1_2345_5000, 0xffff_ffff_c000_2040, &mut |at, w| {
            assert!(words.insert(at, w).is_none(), "{at:#x} twice");
        });
        words
    }

    #[test]
    fn code_and_target() {
        let words = installed(0x8000);
        let (code, at) = code();
        assert!(code.len() < 256 && at % 8 == 0);
        assert_eq!(words[&0].to_le_bytes()[..2], [0xfa, 0xfc]);
        assert_eq!(words[&(at as u64)], 0xffff_ffff_c000_2040);
    }

    #[test]
    fn the_one_table_walks_to_code_and_pen() {
        let page = 0x9_e000;
        let words = installed(page);
        let walk = |root: u64, va: u64, levels: std::ops::RangeInclusive<u32>| {
            levels.rev().fold(root, |table, level| {
                assert_eq!(table, page + 4096);
                output(words[&(4096 + 8 * index(level, va))])
            })
        };
        assert_eq!(walk(page + 4096, page, 0..=3), page);
        assert_eq!(
            walk(page + 4096, 0xffff_ffff_c000_2040, 3..=3),
            0x1_2345_5000
        );
        assert_eq!(sipi_page(page), 0x9e);
    }

    #[test]
    #[should_panic(expected = "below 1 MiB")]
    fn high_pages_are_refused() {
        installed(0xf_f000);
    }
}
