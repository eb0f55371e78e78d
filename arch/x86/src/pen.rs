//! The pen: its machine code, and the words that make its pages in a Core object.
//!
//! [`install`] completes a Core object whose header and page tables are made: it
//! says which words to write. Code, stack, descriptor tables and interrupt table
//! stand in the object, so a stopped core uses nothing of any kernel.
//!
//! The offsets of the Core object are repeated here because this package knows
//! no format; whoever knows both (`kernel-x86`) proves them equal.

use crate::descriptors::{self, TSS_BYTES, gate, gdt, table_pointer, tss};
use crate::paging::{LeafRights, leaf};

/// Offsets in a Core object and numbers of its lines.
pub mod layout {
    /// Hardware id: the local APIC's.
    pub const HW_ID: u64 = 0x018;
    /// Flags word.
    pub const FLAGS: u64 = 0x030;
    /// Home line: sequence number.
    pub const HOME_SEQ: u64 = 0x100;
    /// Home line: command.
    pub const HOME_CMD: u64 = 0x108;
    /// Home line: KCB.
    pub const HOME_KCB: u64 = 0x110;
    /// Home line: image record.
    pub const HOME_IMAGE: u64 = 0x118;
    /// Target line: sequence number.
    pub const TARGET_SEQ: u64 = 0x140;
    /// Target line: status.
    pub const TARGET_STATUS: u64 = 0x148;
    /// Image record 0; record 1 is 128 bytes further.
    pub const IMAGES: u64 = 0x180;
    /// In an image record: entry point.
    pub const IMAGE_ENTRY: u64 = 0x18;
    /// In an image record: root table.
    pub const IMAGE_ROOT: u64 = 0x20;
    /// In an image record: stack.
    pub const IMAGE_STACK: u64 = 0x30;
    /// Root table of the pen.
    pub const PEN_ROOT: u64 = 0x280;
    /// Epitaph: kind.
    pub const EPITAPH_KIND: u64 = 0x300;
    /// Epitaph: program counter.
    pub const EPITAPH_PC: u64 = 0x308;
    /// Epitaph: bytes of text.
    pub const EPITAPH_LEN: u64 = 0x320;
    /// The pen's code page.
    pub const PEN_CODE: u64 = 0x2000;
    /// The pen's data page.
    pub const PEN_DATA: u64 = 0x3000;
    /// Bit of the flags: boot processor.
    pub const FLAG_BOOT: u64 = 1;
    /// Bit of the flags: x2APIC mode.
    pub const FLAG_X2APIC: u64 = 4;
    /// Command: start.
    pub const CMD_START: u64 = 2;
    /// Command: off.
    pub const CMD_OFF: u64 = 3;
    /// Status: off.
    pub const STATUS_OFF: u64 = 0;
    /// Status: in the pen.
    pub const STATUS_PENNED: u64 = 2;
    /// Status: crashed.
    pub const STATUS_CRASHED: u64 = 5;
}
use layout::PEN_DATA;

/// The pen's root table: the first of its tables, so that the Core object is found from CR3.
pub const ROOT_TABLE: u64 = 0x4000;
/// The pen's table below the root for the image slot (level 2).
pub const SLOT_TABLE: u64 = 0x5000;
/// The table of the Core object's 4-KiB pages (level 0).
pub const PAGE_TABLE: u64 = 0x7000;
/// The pen's interrupt table, in the last of the pages for tables.
pub const IDT_PAGE: u64 = 0xf000;
/// Where pen and kernels see device registers, from the Core object's address on
/// (`genesis::CORE_DEVICES_OFFSET`): the local APIC, then the IO-APIC.
pub const DEVICES: u64 = 0x10_0000;
/// The local APIC's page among them.
pub const LAPIC_PAGE: u64 = DEVICES;
/// The IO-APIC's page among them.
pub const IOAPIC_PAGE: u64 = DEVICES + 0x1000;
/// In the boot processor's Core object: the word that locks the IO-APIC (hardware id plus one of the holder).
pub const IOAPIC_LOCK: u64 = PEN_DATA + 0x180;

const GDT: u64 = PEN_DATA;
const GDTR: u64 = PEN_DATA + 0x40;
const IDTR: u64 = PEN_DATA + 0x50;
const TSS: u64 = PEN_DATA + 0x80;
const ANSWERED: u64 = PEN_DATA + 0x100;
const NMI_STACK: u64 = PEN_DATA + 0x800;
const STACK: u64 = PEN_DATA + 0x1000;
const IDT_ENTRIES: u64 = 256;

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    include_str!("pen.S"),
    PEN_CODE = const layout::PEN_CODE,
    PEN_ROOT = const layout::PEN_ROOT,
    TARGET_SEQ = const layout::TARGET_SEQ,
    TARGET_STATUS = const layout::TARGET_STATUS,
    HOME_SEQ = const layout::HOME_SEQ,
    HOME_CMD = const layout::HOME_CMD,
    HOME_KCB = const layout::HOME_KCB,
    HOME_IMAGE = const layout::HOME_IMAGE,
    IMAGES = const layout::IMAGES,
    IMAGE_ENTRY = const layout::IMAGE_ENTRY,
    IMAGE_ROOT = const layout::IMAGE_ROOT,
    IMAGE_STACK = const layout::IMAGE_STACK,
    HW_ID = const layout::HW_ID,
    FLAGS = const layout::FLAGS,
    FLAG_BOOT = const layout::FLAG_BOOT,
    FLAG_X2APIC = const layout::FLAG_X2APIC,
    CMD_START = const layout::CMD_START,
    CMD_OFF = const layout::CMD_OFF,
    STATUS_OFF = const layout::STATUS_OFF,
    STATUS_PENNED = const layout::STATUS_PENNED,
    STATUS_CRASHED = const layout::STATUS_CRASHED,
    EPITAPH_KIND = const layout::EPITAPH_KIND,
    EPITAPH_PC = const layout::EPITAPH_PC,
    EPITAPH_LEN = const layout::EPITAPH_LEN,
    ANSWERED = const ANSWERED,
    STACK = const STACK,
    GDTR = const GDTR,
    IDTR = const IDTR,
    TSS_TYPE = const GDT + descriptors::TSS as u64 + 5,
    TSS_SELECTOR = const descriptors::TSS,
    CODE_SELECTOR = const descriptors::KERNEL_CODE,
    LAPIC = const LAPIC_PAGE,
    LAPIC_SPURIOUS = const crate::apic::register::SPURIOUS,
    LAPIC_PRIORITY = const crate::apic::register::PRIORITY,
    LAPIC_TIMER = const crate::apic::register::TIMER,
    LAPIC_EOI = const crate::apic::register::EOI,
    MSR_APIC_BASE = const crate::registers::MSR_APIC_BASE,
    APIC_ENABLED = const crate::registers::APIC_BASE_ENABLED,
    APIC_X2 = const crate::registers::APIC_BASE_X2,
);

/// The machine code and its doors.
#[cfg(target_arch = "x86_64")]
pub mod code {
    unsafe extern "C" {
        static nekton_pen_start: u8;
        static nekton_pen_kernel: u8;
        static nekton_pen_firmware: u8;
        static nekton_pen_loader: u8;
        static nekton_pen_nmi: u8;
        static nekton_pen_irq: u8;
        static nekton_pen_spurious: u8;
        static nekton_pen_fault: u8;
        static nekton_pen_end: u8;
    }

    fn distance(symbol: *const u8) -> u64 {
        symbol as u64 - (&raw const nekton_pen_start) as u64
    }

    /// The pen's code, at most a page, to be copied to the Core object's pen code page.
    #[must_use]
    pub fn bytes() -> &'static [u8] {
        let len = distance(&raw const nekton_pen_end) as usize;
        // SAFETY: start and end enclose one section's constant bytes (`pen.S`).
        unsafe { core::slice::from_raw_parts(&raw const nekton_pen_start, len) }
    }
    /// Offset in the code at which kernels enter.
    #[must_use]
    pub fn kernel_entry() -> u64 {
        distance(&raw const nekton_pen_kernel)
    }
    /// Offset in the code at which the trampoline enters.
    #[must_use]
    pub fn firmware_entry() -> u64 {
        distance(&raw const nekton_pen_firmware)
    }
    /// Offset in the code at which the loader enters, to start what stands on the home line.
    #[must_use]
    pub fn start_entry() -> u64 {
        distance(&raw const nekton_pen_loader)
    }
    /// Offset in the code of the handler of `vector`.
    pub(super) fn handler(vector: u64) -> u64 {
        distance(match vector {
            2 => &raw const nekton_pen_nmi,
            0..32 => &raw const nekton_pen_fault,
            0xff => &raw const nekton_pen_spurious,
            _ => &raw const nekton_pen_irq,
        })
    }
}

/// Completes a Core object: `put(offset, word)` for every word of the pen's data
/// page and interrupt table, and for the latter's entry in [`PAGE_TABLE`].
///
/// `core_va` is where the object is mapped for pen and kernels, `core` its physical address.
#[cfg(target_arch = "x86_64")]
pub fn install(core_va: u64, core: u64, put: &mut impl FnMut(u64, u64)) {
    for vector in 0..IDT_ENTRIES {
        let handler = core_va + layout::PEN_CODE + code::handler(vector);
        let ist = u8::from(vector == 2);
        let [low, high] = gate(handler, ist, false);
        put(IDT_PAGE + 16 * vector, low);
        put(IDT_PAGE + 16 * vector + 8, high);
    }
    for (i, word) in gdt(core_va + TSS).into_iter().enumerate() {
        put(GDT + 8 * i as u64, word);
    }
    let mut bytes = |at: u64, bytes: &[u8]| {
        for (i, part) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            put(at + 8 * i as u64, u64::from_le_bytes(word));
        }
    };
    let nmi = core_va + NMI_STACK;
    bytes(TSS, &tss(core_va + STACK, [nmi; 7]));
    bytes(
        GDTR,
        &table_pointer(core_va + GDT, 8 * descriptors::GDT_WORDS),
    );
    bytes(
        IDTR,
        &table_pointer(core_va + IDT_PAGE, 16 * IDT_ENTRIES as usize),
    );
    put(ANSWERED, 0);
    let read = LeafRights::default();
    put(
        PAGE_TABLE + 8 * (IDT_PAGE >> 12),
        leaf(0, core + IDT_PAGE, read),
    );
}

const _: () = assert!(GDT + 8 * descriptors::GDT_WORDS as u64 <= GDTR);
const _: () = assert!(TSS + TSS_BYTES as u64 <= ANSWERED);

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_code_fits_its_page() {
        let code = code::bytes();
        assert!((100..4096).contains(&code.len()), "{}", code.len());
        assert_eq!(code::kernel_entry(), 0);
        // Both doors begin with cli; cld.
        for door in [
            code::kernel_entry(),
            code::firmware_entry(),
            code::start_entry(),
        ] {
            assert_eq!(code[door as usize..][..2], [0xfa, 0xfc]);
        }
        // NMI: iretq.
        assert_eq!(code[code::handler(2) as usize..][..2], [0x48, 0xcf]);
    }

    #[test]
    fn installed_words() {
        let mut words = BTreeMap::new();
        let va = 0xffff_ffff_c000_0000;
        install(va, 0x123_0000, &mut |at, w| {
            assert!(words.insert(at, w).is_none(), "{at:#x} twice");
        });
        assert_eq!(words[&(PAGE_TABLE + 15 * 8)], 0x8000_0000_0123_f021);
        let wake = IDT_PAGE + 16 * u64::from(crate::apic::VECTOR_WAKE);
        let at = va + layout::PEN_CODE + code::handler(0xf2);
        assert_eq!(words[&wake] & 0xffff, at & 0xffff);
        assert_eq!(words[&(wake + 8)], 0xffff_ffff);
        assert_eq!(words[&(IDT_PAGE + 16 * 2)] >> 32 & 7, 1);
        assert_eq!(words[&GDTR] as u16, 63);
    }
}
