//! The pen's machine code, and the constants that it shares with its callers.
//!
//! The code is position independent, exactly one page, and goes to offset
//! [`PEN_CODE`] of a Core object. Kernels enter at [`KERNEL_ENTRY`] of it by its
//! virtual address, firmware at [`FIRMWARE_ENTRY`] by its physical one, at EL1
//! or EL2 with the MMU off. Offsets in the Core object are written down again
//! here because the format lies in another room; `kernel-arm` compares them.

use crate::gic;

/// Bytes of the code.
pub const BYTES: u64 = 4096;
/// Offset in the code where kernels enter.
pub const KERNEL_ENTRY: u64 = 0;
/// Offset in the code where firmware enters.
pub const FIRMWARE_ENTRY: u64 = 4;

/// Virtual address of the Core object (`abi::vaddr::CORE_VA`).
pub const CORE_VA: u64 = 0xffff_ffff_c000_0000;
/// Offset of the code page in a Core object.
pub const PEN_CODE: u64 = 0x2000;
/// Offset of the pen's writable page; its first word is the last sequence taken.
pub const PEN_DATA: u64 = 0x3000;
/// Offset from the Core object's virtual address of the mapped device registers
/// (`genesis::CORE_DEVICES_OFFSET`): the distributor, then this core's part, then the PL011, if any.
pub const DEVICES: u64 = 0x10_0000;
/// Offset among the devices: distributor.
pub const DEVICE_GICD: u64 = 0;
/// Offset among the devices: this core's redistributor (version 3) or CPU interface (version 2).
pub const DEVICE_CORE_PART: u64 = gic::DISTRIBUTOR_BYTES;

/// Bytes of this core's part of a controller of this version.
#[must_use]
pub const fn core_part_bytes(gic_version: u64) -> u64 {
    if gic_version == 2 {
        gic::CPU_INTERFACE_BYTES
    } else {
        gic::REDISTRIBUTOR_BYTES
    }
}

/// Offset among the devices: PL011 of the loader, for mirrored log output.
#[must_use]
pub const fn device_uart(gic_version: u64) -> u64 {
    DEVICE_CORE_PART + core_part_bytes(gic_version)
}

/// The register frames that pen and kernels expect behind each other at [`DEVICES`], as the Core
/// object's `isa_param` names them: (physical address, bytes); an absent one has 0 bytes.
#[must_use]
pub const fn devices(isa_param: &[u64; 8]) -> [(u64, u64); 3] {
    let version = isa_param[PARAM_GIC_VERSION as usize];
    let part = if version == 2 { PARAM_GICC } else { PARAM_GICR };
    let uart = isa_param[PARAM_UART as usize];
    [
        (isa_param[PARAM_GICD as usize], gic::DISTRIBUTOR_BYTES),
        (isa_param[part as usize], core_part_bytes(version)),
        (uart, if uart == 0 { 0 } else { 0x1000 }),
    ]
}

macro_rules! fields {
    ($($(#[doc = $doc:literal])* $name:ident = $value:literal,)*) => {
        /// Words of the Core object that the pen uses: (name in `capfmt::Core::FIELDS`, offset).
        pub const FIELDS: &[(&str, u64)] = &[$((stringify!($name), $value),)*];
        #[allow(non_upper_case_globals, dead_code, reason = "named like the fields")]
        mod field { $($(#[doc = $doc])* pub const $name: u64 = $value;)* }
    };
}
fields! {
    isa_param = 0x060,
    home_seq = 0x100,
    home_cmd = 0x108,
    home_kcb = 0x110,
    home_image = 0x118,
    target_seq = 0x140,
    target_status = 0x148,
    target_kcb = 0x150,
    image_word = 0x180,
    pen_root = 0x280,
    pen_identity_root = 0x298,
    epitaph_kind = 0x300,
    epitaph_pc = 0x308,
    epitaph_detail = 0x310,
    epitaph_counter = 0x318,
    epitaph_len = 0x320,
}
/// Index in `isa_param`: distributor, physical.
pub const PARAM_GICD: u64 = 0;
/// Index in `isa_param`: this core's redistributor, physical (version 3).
pub const PARAM_GICR: u64 = 1;
/// Index in `isa_param`: CPU interface, physical (version 2).
pub const PARAM_GICC: u64 = 2;
/// Index in `isa_param`: controller version, 2 or 3.
pub const PARAM_GIC_VERSION: u64 = 3;
/// Index in `isa_param`: firmware conduit (`psci::Conduit`).
pub const PARAM_CONDUIT: u64 = 4;
/// Index in `isa_param`: PL011 for mirrored log output, physical, or 0 (then it is not mapped).
pub const PARAM_UART: u64 = 5;

/// Index in `isa_param`: first byte after the last RAM byte.
pub const PARAM_RAM_END: u64 = 7;

/// Numbers of statuses and commands (`capfmt::CoreStatus`, `CoreCommand`): off, penned, crashed; start, off.
pub const NUMBERS: [u64; 5] = [
    STATUS_OFF,
    STATUS_PENNED,
    STATUS_CRASHED,
    CMD_START,
    CMD_OFF,
];
const STATUS_OFF: u64 = 0;
const STATUS_PENNED: u64 = 2;
const STATUS_CRASHED: u64 = 5;
const CMD_START: u64 = 2;
const CMD_OFF: u64 = 3;

#[cfg(target_arch = "aarch64")]
mod code {
    use super::*;
    use crate::gic::{offset, sgi};
    use crate::{paging, registers};

    macro_rules! pen {
        ($($name:ident = $value:expr,)*) => {
            core::arch::global_asm!(
                $(concat!(".equ ", stringify!($name), ", {", stringify!($name), "}"),)*
                include_str!("drop.S"),
                include_str!("pen.S"),
                // For code of ours that firmware enters, too (the loader): returns at EL1.
                ".section .text.nekton_drop, \"ax\"",
                ".global nekton_drop_to_el1",
                "nekton_drop_to_el1:",
                "NEKTON_DROP_TO_EL1 2",
                "ret",
                $($name = const $value,)*
            );
        };
    }
    pen! {
        NEKTON_SCTLR_OFF = registers::sctlr::OFF,
        PEN_SCTLR_ON = registers::sctlr::ON,
        PEN_MAIR = paging::MAIR,
        PEN_TCR = registers::TCR_BASE,
        PEN_PSCI_CPU_OFF = 0x8400_0002u64,
        PEN_CORE_VA = CORE_VA,
        PEN_CODE = super::PEN_CODE,
        PEN_DATA = super::PEN_DATA,
        PEN_DEVICES = DEVICES,
        PEN_DEVICE_GICD = DEVICE_GICD,
        PEN_DEVICE_CORE_PART = DEVICE_CORE_PART,
        ISA_GIC_VERSION = field::isa_param + 8 * PARAM_GIC_VERSION,
        ISA_CONDUIT = field::isa_param + 8 * PARAM_CONDUIT,
        HOME_SEQ = field::home_seq,
        HOME_CMD = field::home_cmd,
        HOME_KCB = field::home_kcb,
        HOME_IMAGE = field::home_image,
        TARGET_SEQ = field::target_seq,
        TARGET_STATUS = field::target_status,
        TARGET_KCB = field::target_kcb,
        IMAGE_WORDS = field::image_word,
        IMAGE_ENTRY = 24u64,
        IMAGE_ROOT = 32u64,
        IMAGE_STACK = 48u64,
        PEN_ROOT = field::pen_root,
        PEN_IDENTITY_ROOT = field::pen_identity_root,
        EPITAPH_KIND = field::epitaph_kind,
        EPITAPH_PC = field::epitaph_pc,
        EPITAPH_DETAIL = field::epitaph_detail,
        EPITAPH_COUNTER = field::epitaph_counter,
        EPITAPH_LEN = field::epitaph_len,
        EPITAPH_EXCEPTION = 2u64,
        STATUS_OFF = super::STATUS_OFF,
        STATUS_PENNED = super::STATUS_PENNED,
        STATUS_CRASHED = super::STATUS_CRASHED,
        CMD_START = super::CMD_START,
        CMD_OFF = super::CMD_OFF,
        SGI_ALL = sgi::ALL,
        GICR_WAKER = offset::WAKER,
        GICR_SGI_FRAME = offset::SGI_FRAME,
        GIC_IGROUPR = offset::IGROUPR,
        GIC_ISENABLER = offset::ISENABLER,
        GIC_ICENABLER = offset::ICENABLER,
        GIC_ICACTIVER = offset::ICACTIVER,
        GICC_CTLR = offset::GICC_CTLR,
        GICC_PMR = offset::GICC_PMR,
        GICC_BPR = offset::GICC_BPR,
        GICC_IAR = offset::GICC_IAR,
        GICC_EOIR = offset::GICC_EOIR,
        GICC_APR = offset::GICC_APR,
    }

    unsafe extern "C" {
        static nekton_pen_start: [u8; BYTES as usize];
    }

    /// The code, to be copied into a Core object.
    #[must_use]
    pub fn code() -> &'static [u8] {
        // SAFETY: pen.S puts exactly one page of constant bytes there (its `.org`s).
        unsafe { &nekton_pen_start }
    }
}
#[cfg(target_arch = "aarch64")]
pub use code::code;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_stand_where_the_pen_looks() {
        let v3 = devices(&[0x800_0000, 0x80a_0000, 0, 3, 2, 0x900_0000, 0, 0]);
        let want = [
            (0x800_0000, 0x1_0000),
            (0x80a_0000, 0x2_0000),
            (0x900_0000, 0x1000),
        ];
        assert_eq!(v3, want);
        assert_eq!(device_uart(3), v3[0].1 + v3[1].1);
        let v2 = devices(&[0x800_0000, 0, 0x801_0000, 2, 1, 0, 0, 0]);
        assert_eq!(v2[1], (0x801_0000, 0x2000));
        assert_eq!((v2[2].1, device_uart(2)), (0, 0x1_2000));
    }

    #[test]
    fn fields_are_words_in_the_header_page() {
        for (i, (name, offset)) in FIELDS.iter().enumerate() {
            assert!(offset % 8 == 0 && *offset < 0x1000, "{name}");
            assert!(FIELDS[..i].iter().all(|(n, o)| n != name && o != offset));
        }
    }
}
