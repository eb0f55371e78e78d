//! What only the instruction set knows.

use alloc::string::String;
use alloc::vec::Vec;

use bootseq::Power;
use capfmt::PhysAddr;
use genesis::{DeviceRange, FirmwareEntry, IsaTables};

use crate::{Description, Window};

/// The pen's machine code.
#[derive(Clone, Copy, Debug)]
pub struct Pen {
    /// At most a page.
    pub code: &'static [u8],
    /// Offset where kernels enter.
    pub kernel_entry: u64,
}

/// An instruction set's part of a boot driver.
pub trait Platform: 'static {
    /// Encoders of page tables and contexts.
    type Tables: IsaTables;
    /// How a core is powered on.
    const POWER: Power;
    /// Name of the program.
    const NAME: &'static str;

    /// The pen.
    fn pen() -> Pen;
    /// Where firmware enters the pen; `low_page` = pages below 1 MiB kept for that (x86), or 0.
    fn firmware(low_page: u64) -> FirmwareEntry;
    /// ISA parameters of a further core, from those of the boot core.
    ///
    /// # Errors
    /// A sentence, when the core has none.
    fn isa_param(boot: [u64; 8], core: &Description) -> Result<[u64; 8], String>;
    /// Registers that pen and kernels see with the Core object.
    fn devices(isa_param: &[u64; 8]) -> Vec<DeviceRange>;
    /// Completes a Core object.
    fn finish_core(memory: &mut Window, core: PhysAddr);
    /// Makes the low pages lead a core into the pen of this Core object (x86).
    fn aim_low_pages(memory: &mut Window, low_page: u64, core: PhysAddr);
    /// Argument of the power-on signal: page number (x86), entry address (Arm).
    fn power_argument(firmware_entry: u64) -> u64;
}
