//! What the two boot protocols hand over (QEMU's and GRUB's side of them).

use arch_x86::paging::PAGE_BYTES;
use boot::{CommandLine, MemoryList, Range, cmdline};
use core::fmt;

/// What firmware told, whichever way; nothing in it lies in firmware's memory but the archive.
pub struct Told {
    /// All RAM.
    pub ram: MemoryList,
    /// The boot archive, or empty.
    pub archive: Range,
    /// Command line.
    pub cmdline: CommandLine,
    /// RSDP, or 0.
    pub rsdp: u64,
    /// Memory of the boot protocol that the RSDP is a copy in, or empty. It may share a page with the archive.
    pub copies: Range,
}

/// Bytes of an RSDP (ACPI 6.5, 5.2.5.3).
pub const RSDP_BYTES: u64 = 36;

/// Everything of interest lies below this: what `entry.S` mapped at itself.
pub const REACH: u64 = 1 << 32;
const RAM: u32 = 1;

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ram {:x?}, archive {:x?}",
            self.ram.ranges(),
            self.archive
        )
    }
}

/// `len` bytes of firmware's memory; empty if they are not all below [`REACH`].
pub fn bytes(at: u64, len: u64) -> &'static [u8] {
    if at == 0 || at.checked_add(len).is_none_or(|end| end > REACH) {
        return &[];
    }
    // SAFETY: mapped at its own address (`entry.S`), and nobody writes it: firmware has
    // handed over, and the loader takes its memory from a list that is made only later.
    unsafe { core::slice::from_raw_parts(at as *const u8, len as usize) }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    word.map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// A text that a zero byte ends.
fn text(at: u64) -> CommandLine {
    CommandLine::copy(bytes(at, cmdline::MAX_BYTES as u64))
}

/// Adds a range of the memory map, without the first page (address 0 is no object).
fn add(ram: &mut MemoryList, base: u64, len: u64, kind: u32) {
    if kind == RAM {
        let end = base.saturating_add(len);
        let base = base.max(PAGE_BYTES);
        ram.add(Range { base, end });
    }
}

/// Reads an `hvm_start_info` (Xen, public/arch-x86/hvm/start_info.h), version 1.
pub fn pvh(info: u64) -> Told {
    let info = bytes(info, 56);
    let mut told = Told {
        ram: MemoryList::new(),
        archive: Range::default(),
        cmdline: text(u64_at(info, 24)),
        rsdp: u64_at(info, 32),
        copies: Range::default(),
    };
    if u32_at(info, 12) > 0 {
        let module = bytes(u64_at(info, 16), 32);
        told.archive = Range::new(u64_at(module, 0), u64_at(module, 8));
    }
    let entries = u64::from(u32_at(info, 48));
    for entry in bytes(u64_at(info, 40), 24 * entries).chunks_exact(24) {
        add(
            &mut told.ram,
            u64_at(entry, 0),
            u64_at(entry, 8),
            u32_at(entry, 16),
        );
    }
    told
}

/// Reads a Multiboot2 information structure (specification 2.0, 3.6).
pub fn multiboot2(info: u64) -> Told {
    let size = u64::from(u32_at(bytes(info, 8), 0));
    let info = bytes(info, size);
    let mut told = Told {
        ram: MemoryList::new(),
        archive: Range::default(),
        cmdline: CommandLine::copy(&[]),
        rsdp: 0,
        copies: Range::new(info.as_ptr() as u64, size),
    };
    let mut at = 8;
    while let Some(tag) = info.get(at..) {
        let (kind, len) = (u32_at(tag, 0), u32_at(tag, 4) as usize);
        let Some(tag) = tag.get(..len).filter(|t| t.len() >= 8 && kind != 0) else {
            break;
        };
        read_tag(&mut told, kind, tag);
        at += len.next_multiple_of(8);
    }
    told
}

fn read_tag(told: &mut Told, kind: u32, tag: &[u8]) {
    match kind {
        1 => told.cmdline = CommandLine::copy(&tag[8..]),
        3 => {
            let base = u64::from(u32_at(tag, 8));
            let end = u64::from(u32_at(tag, 12));
            told.archive = Range { base, end };
        }
        6 => {
            let size = u32_at(tag, 8).max(24) as usize;
            for entry in tag.get(16..).unwrap_or(&[]).chunks_exact(size) {
                add(
                    &mut told.ram,
                    u64_at(entry, 0),
                    u64_at(entry, 8),
                    u32_at(entry, 16),
                );
            }
        }
        // Copies of the RSDP stand in the tag itself: 15 (ACPI 2.0) is better than 14.
        15 => told.rsdp = tag[8..].as_ptr() as u64,
        14 if told.rsdp == 0 => told.rsdp = tag[8..].as_ptr() as u64,
        _ => {}
    }
}
