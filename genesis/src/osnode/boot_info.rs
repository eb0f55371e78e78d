//! The boot information frame.

use abi::bootinfo::{BYTES, MAGIC, word};
use capfmt::{Cap, PhysMap};

use super::builder::Builder;
use super::{OsnodeSpec, RamRange};
use crate::PAGE;

/// Where the command line stands in the frame.
const CMDLINE: u64 = PAGE;
/// Longest command line.
pub(super) const CMDLINE_MAX: u64 = BYTES - CMDLINE;
/// Most core records.
pub(super) const CORES_MAX: u64 = (CMDLINE - word::CORES) / 8 - 1;

/// Fills the frame; `ram` are the ranges that have capabilities, in the order of their slots.
pub(super) fn write<'r>(
    b: &mut Builder<'_, impl PhysMap>,
    spec: &OsnodeSpec<'_>,
    frame: Cap,
    ram: impl Iterator<Item = &'r RamRange>,
) {
    let mem = &mut *b.mem;
    let mut count = 0;
    for r in ram {
        let at = frame.base.add(word::RAM_RECORDS + 16 * count);
        mem.store(at, r.base.0);
        mem.store(at.add(8), r.bytes | u64::from(r.node) << 56);
        count += 1;
    }
    let words = [
        (word::MAGIC, MAGIC),
        (word::ARCHIVE, spec.archive.0.0),
        (word::ARCHIVE_BYTES, spec.archive.1),
        (word::RSDP, spec.rsdp),
        (word::FDT, spec.fdt),
        (word::OSNODE, spec.osnode),
        (word::RAM_COUNT, count),
        (word::CMDLINE, CMDLINE),
        (word::CMDLINE_BYTES, spec.cmdline.len() as u64),
        (word::CORE, spec.core),
        (word::IS_BOOT, u64::from(spec.is_boot)),
        (word::HOME, spec.home),
        (word::TRAMPOLINE, spec.trampoline),
        (word::ENTRY_COUNTER, spec.entry_counter),
        (word::NODE, u64::from(spec.node)),
        (word::RAM_END, spec.ram_end),
        (word::WINDOW_TABLE, spec.window_table.0),
        (word::CORES, spec.cores.len() as u64),
    ];
    for (off, w) in words {
        mem.store(frame.base.add(off), w);
    }
    for (i, id) in spec.cores.iter().enumerate() {
        let off = word::CORES + 8 * (1 + i as u64);
        mem.store(frame.base.add(off), *id);
    }
    mem.write_bytes(frame.base.add(CMDLINE), spec.cmdline);
}
