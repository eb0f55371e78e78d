//! The first 16550 of a PC as an early console: polled, output only.

/// Its I/O ports.
pub const COM1: u16 = 0x3f8;
/// Offset of the line status register.
pub const LINE_STATUS: u16 = 5;
/// Line status: the transmitter takes a byte.
pub const READY: u8 = 1 << 5;
/// Line status: a byte was received.
const RECEIVED: u8 = 1;
/// Data; with [`DIVISOR`] the divisor's low byte.
const DATA: u16 = 0;
/// Interrupts wanted; with [`DIVISOR`] the divisor's high byte.
const INTERRUPTS: u16 = 1;
/// FIFO control.
const FIFO: u16 = 2;
const FIFOS_ON: u8 = 1;
const LINE: u16 = 3;
const MODEM: u16 = 4;
/// Line control: offsets 0 and 1 are the divisor.
const DIVISOR: u8 = 0x80;
/// Line control: eight bits, no parity, one stop bit.
const EIGHT_BITS: u8 = 0x03;
/// Modem control: DTR, RTS, interrupts go out.
const READY_TO_TALK: u8 = 0x0b;
/// Looks at the status until a device that never gets ready is given up.
const PATIENCE: u32 = 100_000;

/// The eight registers of a 16550.
pub trait Registers {
    /// Reads the register at this offset.
    fn read(&mut self, offset: u16) -> u8;
    /// Writes the register at this offset.
    fn write(&mut self, offset: u16, value: u8);
}

/// 115,200 baud, 8N1, no interrupts (PC16550D, 8.0). The FIFOs are turned on unless somebody has
/// typed already: turning them on empties the receiver (8.4, bit 0), and taking its byte out before
/// lets the next one in at once, which would be lost in its place.
pub fn set_up(uart: &mut impl Registers) {
    uart.write(INTERRUPTS, 0);
    uart.write(LINE, DIVISOR);
    uart.write(DATA, 1);
    uart.write(INTERRUPTS, 0);
    uart.write(LINE, EIGHT_BITS);
    uart.write(MODEM, READY_TO_TALK);
    if uart.read(LINE_STATUS) & RECEIVED == 0 {
        uart.write(FIFO, FIFOS_ON);
    }
}

#[cfg(target_arch = "x86_64")]
pub use device::Uart;

#[cfg(target_arch = "x86_64")]
mod device {
    use super::{COM1, DATA, LINE_STATUS, PATIENCE, READY, Registers, set_up};
    use x86_64::instructions::port::Port;

    /// The console at [`COM1`].
    pub struct Uart(());

    impl Registers for Uart {
        fn read(&mut self, offset: u16) -> u8 {
            // SAFETY: this port belongs to the UART, which `init`'s or `as_is`'s caller gave.
            unsafe { Port::<u8>::new(COM1 + offset).read() }
        }
        fn write(&mut self, offset: u16, value: u8) {
            // SAFETY: as for the read.
            unsafe { Port::<u8>::new(COM1 + offset).write(value) }
        }
    }

    impl Uart {
        /// Sets line speed and format; what was received already stays.
        ///
        /// # Safety
        /// Kernel mode, and nobody else drives this device meanwhile.
        #[must_use]
        pub unsafe fn init() -> Uart {
            let mut uart = Uart(());
            set_up(&mut uart);
            uart
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
            for _ in 0..PATIENCE {
                if self.read(LINE_STATUS) & READY != 0 {
                    break;
                }
            }
            self.write(DATA, byte);
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

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::VecDeque;
    use std::vec;
    use std::vec::Vec;

    /// A 16550 that sends at once.
    #[derive(Default)]
    struct Model {
        fifos: bool,
        line: u8,
        modem: u8,
        divisor: [u8; 2],
        received: VecDeque<u8>,
        sent: Vec<u8>,
    }

    impl Registers for Model {
        fn read(&mut self, offset: u16) -> u8 {
            match offset {
                DATA => self.received.pop_front().unwrap_or(0),
                LINE_STATUS => READY | u8::from(!self.received.is_empty()),
                _ => panic!("nobody reads {offset}"),
            }
        }
        fn write(&mut self, offset: u16, value: u8) {
            match offset {
                DATA | INTERRUPTS if self.line & DIVISOR != 0 => {
                    self.divisor[usize::from(offset)] = value;
                }
                DATA => self.sent.push(value),
                INTERRUPTS => assert_eq!(value, 0),
                FIFO => {
                    if self.fifos != (value & 1 != 0) || value & 2 != 0 {
                        self.received.clear();
                    }
                    self.fifos = value & 1 != 0;
                }
                LINE => self.line = value,
                MODEM => self.modem = value,
                _ => panic!("nobody writes {offset}"),
            }
        }
    }

    #[test]
    fn what_was_received_before_the_set_up_stays() {
        for (fifos, typed) in [
            (false, vec![]),
            (false, vec![b'e']),
            (true, vec![]),
            (true, vec![b'e', b'c', b'h']),
        ] {
            let mut uart = Model {
                fifos,
                received: typed.iter().copied().collect(),
                ..Model::default()
            };
            set_up(&mut uart);
            assert_eq!(uart.fifos, fifos || typed.is_empty());
            assert_eq!(uart.received, typed);
            assert_eq!((uart.line, uart.modem), (EIGHT_BITS, READY_TO_TALK));
            assert_eq!((uart.divisor, uart.sent), ([1, 0], vec![]));
        }
    }
}
