//! The `Core` object: what stays with a hardware core while kernels come and go.

use crate::layout::layout;
use crate::{PhysAddr, PhysMap};

/// Size of a Core object in bytes (header, log ring, pen).
pub const CORE_OBJECT_BYTES: u64 = 0x1_0000;
/// Bytes of text in an epitaph.
pub const EPITAPH_TEXT_BYTES: u64 = 512;

/// Commands on the home line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum CoreCommand {
    /// Nothing was ever commanded.
    None = 0,
    /// Save time, detach every KCB, go to the pen.
    Stop = 1,
    /// From the pen: run image record `home_image` with KCB `home_kcb`.
    Start = 2,
    /// From the pen: switch the core off (PSCI CPU_OFF, or deep halt).
    Off = 3,
}

/// What the core reports on the target line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum CoreStatus {
    /// Never started, or switched off.
    Off = 0,
    /// First acknowledgement: KCBs detached, the kernel still uses its memory.
    Detached = 1,
    /// Second acknowledgement: in the pen, the kernel's memory may be reused.
    Penned = 2,
    /// A kernel took over and is still starting.
    Starting = 3,
    /// A kernel runs its KCB(s).
    Running = 4,
    /// The kernel panicked; the epitaph says why; the core is in the pen.
    Crashed = 5,
}

layout! {
    /// A core's control object. Offsets below 0x1000 are the header page.
    struct Core [CORE_OBJECT_BYTES] {
        /// [`Core::MAGIC`].
        magic / set_magic @ 0x000,
        /// Format version.
        format / set_format @ 0x008,
        /// Instruction set ([`crate::Isa`]).
        isa / set_isa @ 0x010,
        /// APIC id or MPIDR affinity.
        hw_id / set_hw_id @ 0x018,
        /// Index of the core ([`crate::CoreId`]).
        core_id / set_core_id @ 0x020,
        /// NUMA node.
        node / set_node @ 0x028,
        /// Bit 0: boot processor (never sent INIT); bit 1: spin loops must pause (icount);
        /// bit 2: x2APIC; bit 3: entered at EL2; bit 4: mirror the log.
        flags / set_flags @ 0x030,
        /// OSnode whose boot driver may command this core now; 0 = none.
        holder / set_holder @ 0x038,
        /// Counter frequency in Hz (TSC, CNTPCT).
        counter_hz / set_counter_hz @ 0x040,
        /// Timer frequency in Hz (local APIC timer after its divider; equals the counter on Arm).
        timer_hz / set_timer_hz @ 0x048,
        /// ns = (counter × mult) >> shift.
        mult / set_mult @ 0x050,
        /// See `mult`.
        shift / set_shift @ 0x058,
        /// Operation in progress (boot driver's number), 0 = none.
        op / set_op @ 0x0a0,
        /// Phase of the operation.
        op_phase / set_op_phase @ 0x0a8,
        /// KCB that the operation is about.
        op_kcb / set_op_kcb @ 0x0b0,
        /// KCB last stopped on this core (what `core start N` takes), or 0.
        last_kcb / set_last_kcb @ 0x0b8,
        /// Home line: sequence number; written last, release.
        home_seq / set_home_seq @ 0x100,
        /// Home line: a [`CoreCommand`].
        home_cmd / set_home_cmd @ 0x108,
        /// Home line: KCB to run.
        home_kcb / set_home_kcb @ 0x110,
        /// Home line: image record to run (0 or 1).
        home_image / set_home_image @ 0x118,
        /// Target line: sequence number of the command that `target_status` answers; written last, release.
        target_seq / set_target_seq @ 0x140,
        /// Target line: a [`CoreStatus`].
        target_status / set_target_status @ 0x148,
        /// Target line: KCB being run, or 0.
        target_kcb / set_target_kcb @ 0x150,
        /// Target line: image record in use (0 or 1).
        target_image / set_target_image @ 0x158,
        /// Target line: features ([`crate::Kcb::features`]'s bits) that the core has; 0 = no kernel has run on it yet.
        features / set_features @ 0x160,
        /// Pen: root table of the pen (CR3 / TTBR1).
        pen_root / set_pen_root @ 0x280,
        /// Pen: virtual address of its entry for kernels.
        pen_entry / set_pen_entry @ 0x288,
        /// Pen: physical entry for firmware (SIPI trampoline page or PSCI entry point).
        pen_firmware_entry / set_pen_firmware_entry @ 0x290,
        /// Pen: identity-mapping root for entry with the MMU off (TTBR0), Arm only.
        pen_identity_root / set_pen_identity_root @ 0x298,
        /// Epitaph: 1 = panic, 2 = exception in the kernel, 3 = stopped by NMI, 4 = its OSnode ended; 0 = none.
        epitaph_kind / set_epitaph_kind @ 0x300,
        /// Epitaph: program counter (link-time address: run-time minus load offset).
        epitaph_pc / set_epitaph_pc @ 0x308,
        /// Epitaph: fault address or detail.
        epitaph_detail / set_epitaph_detail @ 0x310,
        /// Epitaph: counter at the panic.
        epitaph_counter / set_epitaph_counter @ 0x318,
        /// Epitaph: bytes of text (at 0x340).
        epitaph_len / set_epitaph_len @ 0x320,
        /// Log ring: bytes ever written; byte i stands at 0x1040 + i % 4032.
        log_written / set_log_written @ 0x1000,
    ;
        /// ISA parameters by index: x86: 0 LAPIC base, 1 IO-APIC base, 2 address of the word that locks
        /// the IO-APIC; Arm: 0 GICD, 1 GICR of this core, 2 GICC, 3 GIC version, 4 PSCI conduit (0 none,
        /// 1 SMC, 2 HVC), 5 PL011 of the loader's console; both: 7 first byte after the last RAM byte.
        isa_param / set_isa_param @ 0x060 [8],
        /// What the processor says of itself, written by each kernel that starts. x86: CPUID words: vendor (EBX and
        /// EDX; then ECX), leaf 01H EAX above that, leaf 01H ECX and EDX, leaf 07H EBX, then four subleaves of
        /// leaf 1FH or 0BH (EAX and ECX). Arm: MIDR.
        processor_word / set_processor_word @ 0x0c0 [8],
        /// Image record 0 and 1 (see [`ImageRecord`]), 16 words each.
        image_word / set_image_word @ 0x180 [32],
        /// Epitaph text, UTF-8.
        epitaph_text / set_epitaph_text @ 0x340 [EPITAPH_TEXT_BYTES / 8],
        /// Log ring bytes.
        log_text / set_log_text @ 0x1040 [504],
    }
}

impl Core {
    /// First word of a Core object.
    pub const MAGIC: u64 = 0x01_4552_4f43_4b4e;
    /// Offset of `target_seq`, which is written by compare-exchange.
    pub const TARGET_SEQ_OFFSET: u64 = 0x140;
    /// Offset of `holder`, which is taken from a dead one by compare-exchange.
    pub const HOLDER_OFFSET: u64 = 0x038;
    /// `flags`: the boot processor.
    pub const FLAG_BOOT: u64 = 1;
    /// `flags`: cross-core spins must pause.
    pub const FLAG_PAUSE: u64 = 2;
    /// `flags`: the local APIC is in x2APIC mode.
    pub const FLAG_X2APIC: u64 = 4;
    /// `flags`: firmware enters at EL2.
    pub const FLAG_EL2: u64 = 8;
    /// `flags`: kernels copy their log to the early console as well (a debugging aid).
    pub const FLAG_MIRROR_LOG: u64 = 16;
    /// Byte offset of `home_seq`, which the home kernel publishes with a release.
    pub const HOME_SEQ_OFFSET: u64 = 0x100;
    /// Offset of the pen's code page.
    pub const PEN_CODE: u64 = 0x2000;
    /// Offset of the pen's writable page (stack, mailbox copies).
    pub const PEN_DATA: u64 = 0x3000;
    /// Offset of the pen's page tables (twelve pages).
    pub const PEN_TABLES: u64 = 0x4000;

    /// Reads image record `index` (0 or 1).
    #[must_use]
    pub fn image(self, mem: &impl PhysMap, index: u64) -> ImageRecord {
        let mut w = [0; 16];
        for (i, w) in w.iter_mut().enumerate() {
            *w = self.image_word(mem, 16 * index + i as u64);
        }
        ImageRecord {
            phys: PhysAddr(w[0]),
            size: w[1],
            base_va: w[2],
            entry_va: w[3],
            root_table: PhysAddr(w[4]),
            slot_entry: w[5],
            stack_top: w[6],
            device_va: w[7],
            scratch: w[8],
            build_id: [w[9], w[10], w[11]],
            name: [w[12], w[13]],
        }
    }

    /// Writes image record `index` (0 or 1).
    pub fn set_image(self, mem: &mut impl PhysMap, index: u64, r: &ImageRecord) {
        let w = [
            r.phys.0,
            r.size,
            r.base_va,
            r.entry_va,
            r.root_table.0,
            r.slot_entry,
            r.stack_top,
            r.device_va,
            r.scratch,
            r.build_id[0],
            r.build_id[1],
            r.build_id[2],
            r.name[0],
            r.name[1],
        ];
        for (i, w) in w.into_iter().enumerate() {
            self.set_image_word(mem, 16 * index + i as u64, w);
        }
    }
}

/// One kernel image, loaded and relocated for one core.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ImageRecord {
    /// First byte of the image area.
    pub phys: PhysAddr,
    /// Bytes of the image area (code, data, stacks, tables).
    pub size: u64,
    /// Virtual address that the image was relocated to.
    pub base_va: u64,
    /// Virtual address of the entry point.
    pub entry_va: u64,
    /// Page-table root to enter the kernel with (CR3 / TTBR1).
    pub root_table: PhysAddr,
    /// Top-level entry of the image slot, which the kernel sets in every root it loads (x86).
    pub slot_entry: u64,
    /// Top of the kernel stack (virtual, 16-byte aligned).
    pub stack_top: u64,
    /// Virtual address of the mapped device registers.
    pub device_va: u64,
    /// ISA scratch word for the kernel.
    pub scratch: u64,
    /// Build id, up to 24 bytes.
    pub build_id: [u64; 3],
    /// Name of the kernel file, up to 16 bytes.
    pub name: [u64; 2],
}
