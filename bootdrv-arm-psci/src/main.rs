//! Boot driver for AArch64 cores: PSCI CPU_ON brings a core into its pen the first time.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod tables;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use arch_arm::registers::HwId;
use arch_arm::{gic, pen};
use bootdrv::{Description, Pen, Platform, Window};
use bootseq::Power;
use capfmt::PhysAddr;
use genesis::{DeviceRange, FirmwareEntry};
use rt::io::Registers;
use rt::{env, task};
use tables::Tables;

rt::entry!(main);

/// GICR_TYPER, from a redistributor's first byte.
const GICR_TYPER: u64 = 8;

struct Psci;

/// Offset of a core's redistributor in the machine's redistributors, read from their registers.
fn redistributor(core: &Description) -> Option<u64> {
    let (_, bytes) = core.redistributors;
    let registers = env::given("redistributors")?;
    let registers = Registers::map(registers, 0, bytes).ok()?;
    let typer = |at: u64| {
        // Two halves: not every interconnect takes 64-bit accesses (GICv3 12.1.3).
        let low = u64::from(registers.read32(at + GICR_TYPER));
        low | u64::from(registers.read32(at + GICR_TYPER + 4)) << 32
    };
    gic::redistributor(typer, bytes, HwId(core.hw_id as u32))
}

impl Platform for Psci {
    type Tables = Tables;
    const POWER: Power = Power::Psci;
    const NAME: &'static str = "bootdrv-arm-psci";

    fn pen() -> Pen {
        Pen {
            code: pen::code(),
            kernel_entry: pen::KERNEL_ENTRY,
        }
    }

    fn firmware(_low_page: u64) -> FirmwareEntry {
        FirmwareEntry::PenOffset(pen::FIRMWARE_ENTRY)
    }

    fn isa_param(boot: [u64; 8], core: &Description) -> Result<[u64; 8], String> {
        let mut words = boot;
        if boot[pen::PARAM_GIC_VERSION as usize] >= 3 {
            let offset = redistributor(core);
            let offset =
                offset.ok_or_else(|| format!("core {} has no redistributor", core.core))?;
            words[pen::PARAM_GICR as usize] = core.redistributors.0 + offset;
        }
        Ok(words)
    }

    fn devices(isa_param: &[u64; 8]) -> Vec<DeviceRange> {
        let frames = pen::devices(isa_param).into_iter();
        let frames = frames.filter(|(_, bytes)| *bytes > 0);
        let range = |(base, bytes)| DeviceRange {
            base: PhysAddr(base),
            bytes,
        };
        frames.map(range).collect()
    }

    fn finish_core(_memory: &mut Window, _core: PhysAddr) {}

    fn aim_low_pages(_memory: &mut Window, _low_page: u64, _core: PhysAddr) {}

    fn power_argument(firmware_entry: u64) -> u64 {
        firmware_entry
    }
}

fn main() {
    rt::process::exit(task::block_on(bootdrv::serve::<Psci>()))
}
