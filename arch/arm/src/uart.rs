//! The PL011 as an early, output-only console (ARM DDI 0183 G).
//!
//! Firmware has set rate and format. The console driver has its own, complete driver in user space.

const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const TRANSMIT_FULL: u32 = 1 << 5;

/// A PL011 whose registers are mapped.
#[derive(Clone, Copy, Debug)]
pub struct Pl011 {
    base: usize,
}

impl Pl011 {
    /// The device whose registers stand at the virtual address `base`.
    ///
    /// # Safety
    /// `base` must map a PL011 as device memory for as long as this value is used, and nobody who
    /// would mind the extra output may own it.
    #[must_use]
    pub const unsafe fn new(base: usize) -> Pl011 {
        Pl011 { base }
    }

    /// Writes one byte, waiting for room.
    pub fn put(self, byte: u8) {
        let (data, flags) = (
            (self.base + DATA) as *mut u32,
            (self.base + FLAGS) as *const u32,
        );
        loop {
            // SAFETY: UARTFR of the device that `new` was promised.
            let f = unsafe { flags.read_volatile() };
            if f & TRANSMIT_FULL == 0 {
                break;
            }
        }
        // SAFETY: UARTDR of the same device.
        unsafe { data.write_volatile(u32::from(byte)) }
    }
}

impl core::fmt::Write for Pl011 {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for b in text.bytes() {
            if b == b'\n' {
                self.put(b'\r');
            }
            self.put(b);
        }
        Ok(())
    }
}
