//! The console on a 16550 UART behind I/O ports.
//!
//! Registers: National Semiconductor PC16550D data sheet, table 2. Given: `ports`
//! (IoPort, the UART's eight), `irq` (IrqDest); argument: first port.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use console::Uart;
use rt::io::Interrupt;
use rt::{CapAddr, SysError, cap, env, invoke, task};

rt::entry!(main);

/// Receiver buffer, transmitter holding register.
const DATA: u16 = 0;
/// Interrupt enable: bit 0 received data, bit 1 transmitter empty.
const INTERRUPTS: u16 = 1;
/// FIFO control (write), interrupt identification (read: bit 0 no interrupt, bits 6, 7 FIFOs on).
const FIFO: u16 = 2;
const NOTHING_ASKED: u32 = 1;
const FIFOS_ARE_ON: u32 = 0xc0;
/// Line control: bit 7 gives access to the divisor.
const LINE: u16 = 3;
/// Modem control: bits 0, 1 DTR and RTS; bit 3 lets interrupts out.
const MODEM: u16 = 4;
/// Line status: bit 0 data there, bit 5 holding register empty, bit 6 all sent.
const STATUS: u16 = 5;

const STATUS_DATA: u32 = 1;
const STATUS_EMPTY: u32 = 1 << 5;
const STATUS_IDLE: u32 = 1 << 6;
/// Bytes of the transmitter's FIFO.
const FIFO_BYTES: u32 = 16;

struct Port {
    ports: CapAddr,
    first: u16,
    /// Bytes that the FIFO surely takes before the status must be asked again.
    room: u32,
    enabled: u32,
    /// Bytes that an empty transmitter takes.
    fifo_bytes: u32,
}

impl Port {
    fn read(&self, register: u16) -> Result<u32, SysError> {
        invoke::port_in(self.ports, self.first + register, 1)
    }
    fn write(&self, register: u16, value: u32) -> Result<(), SysError> {
        invoke::port_out(self.ports, self.first + register, 1, value)
    }
    /// 115200 baud, 8 bits, FIFOs if possible, interrupts for received data.
    fn set_up(&mut self) -> Result<(), SysError> {
        self.write(INTERRUPTS, 0)?;
        self.write(LINE, 0x80)?;
        self.write(DATA, 1)?;
        self.write(INTERRUPTS, 0)?;
        self.write(LINE, 0x03)?;
        self.fifo_bytes = self.fifo_bytes()?;
        self.write(MODEM, 0x0b)?;
        self.enabled = 1;
        self.write(INTERRUPTS, self.enabled)
    }
    /// What the transmitter takes at once. FIFOs are as the loader left them, or on: unless a byte
    /// waits in the receiver, which turning them on would empty.
    fn fifo_bytes(&self) -> Result<u32, SysError> {
        if self.read(STATUS)? & STATUS_DATA == 0 {
            self.write(FIFO, 0x01)?;
        }
        let on = self.read(FIFO)? & FIFOS_ARE_ON == FIFOS_ARE_ON;
        Ok(if on { FIFO_BYTES } else { 1 })
    }
}

impl Uart for Port {
    fn receive(&mut self) -> Result<Option<u8>, SysError> {
        if self.read(STATUS)? & STATUS_DATA == 0 {
            return Ok(None);
        }
        Ok(Some(self.read(DATA)? as u8))
    }
    fn send(&mut self, byte: u8) -> Result<bool, SysError> {
        if self.room == 0 {
            if self.read(STATUS)? & STATUS_EMPTY == 0 {
                return Ok(false);
            }
            self.room = self.fifo_bytes;
        }
        self.write(DATA, byte.into())?;
        self.room -= 1;
        Ok(true)
    }
    fn want(&mut self, keys: bool, room: bool) -> Result<(), SysError> {
        let enabled = u32::from(keys) | u32::from(room) << 1;
        if enabled != self.enabled {
            self.enabled = enabled;
            self.write(INTERRUPTS, enabled)?;
        }
        Ok(())
    }
    fn is_idle(&mut self) -> Result<bool, SysError> {
        Ok(self.read(STATUS)? & STATUS_IDLE != 0)
    }
    fn interrupted(&mut self) -> Result<bool, SysError> {
        // Reading the identification clears a transmitter interrupt.
        Ok(self.read(FIFO)? & NOTHING_ASKED == 0)
    }
}

/// What the device manager gave.
fn given() -> Option<(Port, CapAddr)> {
    let first = env::args().nth(1)?.parse().ok()?;
    let port = Port {
        ports: env::given("ports")?,
        first,
        room: 0,
        enabled: 0,
        fifo_bytes: 1,
    };
    Some((port, env::given("irq")?))
}

fn main() {
    rt::process::exit(start())
}

fn start() -> i32 {
    let Some((mut port, irq)) = given() else {
        rt::println!("console-16550: needs ports, irq, and the first port's number");
        return 1;
    };
    let bound = port.set_up();
    let bound = bound.and_then(|()| Interrupt::bind(cap::copy(irq)?));
    let interrupt = match bound {
        Ok(i) => i,
        Err(e) => {
            let text = e.message();
            rt::println!(
                "console-16550: port {:#x} or its interrupt: {text}",
                port.first
            );
            return 1;
        }
    };
    task::block_on(console::serve("console-16550", port, interrupt))
}
