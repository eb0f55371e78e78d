//! The console on a PL011 UART.
//!
//! Registers: ARM DDI 0183G, table 3-1. Given: `registers` (DevFrame), `irq`
//! (IrqDest).

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use console::Uart;
use rt::io::{Interrupt, Registers};
use rt::{CapAddr, SysError, cap, env, task};

rt::entry!(main);

/// Data.
const DR: u64 = 0x00;
/// Flags: bit 3 busy, bit 4 receive FIFO empty, bit 5 transmit FIFO full.
const FR: u64 = 0x18;
/// Line control: bit 4 FIFOs, bits 5–6 eight bits.
const LCR_H: u64 = 0x2c;
const FIFOS: u32 = 1 << 4;
const EIGHT_BITS: u32 = 3 << 5;
/// Control: bit 0 enable, bits 8, 9 transmit and receive.
const CR: u64 = 0x30;
/// Interrupt mask: bit 4 receive, bit 5 transmit, bit 6 receive time-out.
const IMSC: u64 = 0x38;
/// What it asks for: the interrupts that are there, and in the mask.
const MIS: u64 = 0x40;
/// Interrupt clear.
const ICR: u64 = 0x44;

const FR_BUSY: u32 = 1 << 3;
const FR_RX_EMPTY: u32 = 1 << 4;
const FR_TX_FULL: u32 = 1 << 5;
const RECEIVE: u32 = 1 << 4 | 1 << 6;
const TRANSMIT: u32 = 1 << 5;

struct Pl011 {
    registers: Registers,
    mask: u32,
}

impl Pl011 {
    /// Eight bits, FIFOs if possible, interrupts for received data; the speed stays as firmware set it.
    fn set_up(&mut self) {
        self.registers.write32(IMSC, 0);
        self.registers.write32(ICR, 0x7ff);
        let line = self.registers.read32(LCR_H) & FIFOS;
        let line = match self.registers.read32(FR) & FR_RX_EMPTY {
            // Turning them on would empty the receiver; taking its byte out before would let the
            // next one in, to be lost in its place.
            0 => line,
            _ => FIFOS,
        };
        self.registers.write32(LCR_H, EIGHT_BITS | line);
        self.registers.write32(CR, 0x301);
        self.mask = RECEIVE;
        self.registers.write32(IMSC, self.mask);
    }
}

impl Uart for Pl011 {
    fn receive(&mut self) -> Result<Option<u8>, SysError> {
        if self.registers.read32(FR) & FR_RX_EMPTY != 0 {
            return Ok(None);
        }
        Ok(Some(self.registers.read32(DR) as u8))
    }
    fn send(&mut self, byte: u8) -> Result<bool, SysError> {
        if self.registers.read32(FR) & FR_TX_FULL != 0 {
            return Ok(false);
        }
        self.registers.write32(DR, byte.into());
        Ok(true)
    }
    fn want(&mut self, keys: bool, room: bool) -> Result<(), SysError> {
        let mask = if keys { RECEIVE } else { 0 } | if room { TRANSMIT } else { 0 };
        if mask != self.mask {
            self.mask = mask;
            self.registers.write32(IMSC, mask);
        }
        Ok(())
    }
    fn is_idle(&mut self) -> Result<bool, SysError> {
        Ok(self.registers.read32(FR) & FR_BUSY == 0)
    }
    fn interrupted(&mut self) -> Result<bool, SysError> {
        let asked = self.registers.read32(MIS);
        self.registers.write32(ICR, asked);
        Ok(asked != 0)
    }
}

/// What the device manager gave.
fn given() -> Option<(CapAddr, CapAddr)> {
    Some((env::given("registers")?, env::given("irq")?))
}

fn main() {
    rt::process::exit(start())
}

fn start() -> i32 {
    let Some((registers, irq)) = given() else {
        rt::println!("console-pl011: needs registers and irq");
        return 1;
    };
    let opened = Registers::map(registers, 0, 4096)
        .and_then(|registers| Ok((registers, Interrupt::bind(cap::copy(irq)?)?)));
    let (registers, interrupt) = match opened {
        Ok(o) => o,
        Err(e) => {
            rt::println!("console-pl011: registers or interrupt: {}", e.message());
            return 1;
        }
    };
    let mut uart = Pl011 { registers, mask: 0 };
    uart.set_up();
    task::block_on(console::serve("console-pl011", uart, interrupt))
}
