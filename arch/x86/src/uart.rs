//! The first 16550 of a PC as an early console: polled, output only.

/// Its I/O ports.
pub const COM1: u16 = 0x3f8;
/// Offset of the line status register.
pub const LINE_STATUS: u16 = 5;
/// Line status: the transmitter takes a byte.
pub const READY: u8 = 1 << 5;
/// 115,200 baud, 8N1, FIFOs on, no interrupts: (offset, value) in order (PC16550D, 8.0).
pub const SETUP: [(u16, u8); 7] = [
    (1, 0x00),
    (3, 0x80),
    (0, 0x01),
    (1, 0x00),
    (3, 0x03),
    (2, 0xc7),
    (4, 0x0b),
];

#[cfg(target_arch = "x86_64")]
pub use device::Uart;

#[cfg(target_arch = "x86_64")]
mod device {
    use super::{COM1, LINE_STATUS, READY, SETUP};
    use x86_64::instructions::port::Port;

    /// The console at [`COM1`].
    pub struct Uart(());

    impl Uart {
        /// Sets line speed and format.
        ///
        /// # Safety
        /// Kernel mode, and nobody else drives this device meanwhile.
        #[must_use]
        pub unsafe fn init() -> Uart {
            for (offset, value) in SETUP {
                // SAFETY: these ports belong to the UART; the caller's promise.
                unsafe { Port::<u8>::new(COM1 + offset).write(value) }
            }
            Uart(())
        }

        /// The device as somebody else set it up.
        ///
        /// # Safety
        /// As [`Uart::init`].
        #[must_use]
        pub unsafe fn as_is() -> Uart {
            Uart(())
        }

        /// Sends one byte; gives up on a device that never gets ready.
        pub fn put(&mut self, byte: u8) {
            for _ in 0..100_000 {
                // SAFETY: reading the status has no effect on the line; `init`'s promise.
                if unsafe { Port::<u8>::new(COM1 + LINE_STATUS).read() } & READY != 0 {
                    break;
                }
            }
            // SAFETY: `init`'s promise.
            unsafe { Port::<u8>::new(COM1).write(byte) }
        }
    }

    impl core::fmt::Write for Uart {
        fn write_str(&mut self, s: &str) -> core::fmt::Result {
            for b in s.bytes() {
                if b == b'\n' {
                    self.put(b'\r');
                }
                self.put(b);
            }
            Ok(())
        }
    }
}
