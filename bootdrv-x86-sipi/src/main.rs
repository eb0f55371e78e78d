//! Boot driver for x86 cores: INIT and SIPI bring a core into its pen the first time.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod tables;

use alloc::string::String;
use alloc::vec::Vec;

use arch_x86::paging::PAGE_BYTES;
use arch_x86::{pen, trampoline};
use bootdrv::{Description, Pen, Platform, Window};
use bootseq::Power;
use capfmt::{Core, PhysAddr, PhysMap};
use genesis::{DeviceRange, FirmwareEntry};
use rt::task;
use tables::Tables;

rt::entry!(main);

/// Where pen and kernels see the Core object (`abi::vaddr::CORE_VA`).
const CORE_VA: u64 = 0xffff_ffff_c000_0000;
/// Index in `isa_param`: local APIC, IO-APIC.
const LOCAL_APIC: usize = 0;
const IO_APIC: usize = 1;

struct Sipi;

impl Platform for Sipi {
    type Tables = Tables;
    const POWER: Power = Power::Sipi;
    const NAME: &'static str = "bootdrv-x86-sipi";

    fn pen() -> Pen {
        Pen {
            code: pen::code::bytes(),
            kernel_entry: pen::code::kernel_entry(),
        }
    }

    fn firmware(low_page: u64) -> FirmwareEntry {
        FirmwareEntry::LowPage(PhysAddr(low_page))
    }

    fn isa_param(boot: [u64; 8], _core: &Description) -> Result<[u64; 8], String> {
        // Every core sees its own local APIC at the same address; the rest is the machine's.
        Ok(boot)
    }

    fn devices(isa_param: &[u64; 8]) -> Vec<DeviceRange> {
        let page = |index: usize| DeviceRange {
            base: PhysAddr(isa_param[index]),
            bytes: PAGE_BYTES,
        };
        Vec::from([page(LOCAL_APIC), page(IO_APIC)])
    }

    fn finish_core(memory: &mut Window, core: PhysAddr) {
        pen::install(CORE_VA, core.0, &mut |offset, word| {
            memory.store(core.add(offset), word);
        });
    }

    fn aim_low_pages(memory: &mut Window, low_page: u64, core: PhysAddr) {
        let slot_table = core.0 + pen::SLOT_TABLE;
        let door = CORE_VA + Core::PEN_CODE + pen::code::firmware_entry();
        trampoline::install(low_page, slot_table, door, &mut |offset, word| {
            memory.store(PhysAddr(low_page + offset), word);
        });
    }

    fn power_argument(firmware_entry: u64) -> u64 {
        trampoline::sipi_page(firmware_entry).into()
    }
}

fn main() {
    rt::process::exit(task::block_on(bootdrv::serve::<Sipi>()))
}
