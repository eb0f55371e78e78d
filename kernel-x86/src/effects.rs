//! Carries out what a step asked for, after its commit. All effects are idempotent.

use crate::log;
use crate::run::{Kernel, Variant};
use arch_x86::apic::{Command, VECTOR_NOTIFY, VECTOR_STOP, VECTOR_WAKE};
use arch_x86::paging::tlb;
use capfmt::{Core, PhysMap};
use kernel::{Effect, Signal};
use x86_64::instructions::port::Port;

/// `isa-debug-exit` of the emulator, and what it is told.
const DEBUG_EXIT: u16 = 0xf4;
const EXIT_SUCCESS: u32 = 0x10;
const EXIT_FAILURE: u32 = 0x11;
/// PM1a control of the emulator's chipset (ACPI 6.5, 4.8.3.2.1): SLP_TYP 0, SLP_EN = soft off.
const PM1A_CONTROL: u16 = 0x604;
const SOFT_OFF: u16 = 0x2000;

impl<V: Variant> Kernel<V> {
    /// Carries out one effect.
    pub fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::TlbPage(va) => tlb::flush_page(va),
            Effect::TlbAll => tlb::flush_all(),
            Effect::Signal(core, signal, answer) => {
                let refused = u64::from(!self.signal(core, signal));
                if let Some(at) = answer {
                    self.machine.store(at, refused);
                }
            }
            Effect::PublishHome(core, seq) => {
                let at = core.add(Core::HOME_SEQ_OFFSET);
                self.machine.store_release(at, seq);
            }
            Effect::IrqUnmask(source) => {
                if !self.controller.unmask(&mut self.machine, source) {
                    log::line(format_args!("interrupt source {source} does not exist"));
                }
            }
            Effect::IrqMask(source) => self.controller.mask(&mut self.machine, source),
            Effect::PortIn(port, width, at) => {
                let value = port_in(port, width);
                self.machine.store(at, u64::from(value));
            }
            Effect::PortOut(port, width, value) => port_out(port, width, value),
            Effect::Halt(code) => halt(code),
        }
    }

    /// Whether the signal left.
    fn signal(&self, core: u64, signal: Signal) -> bool {
        let command = match signal {
            Signal::Wake => Command::Fixed(VECTOR_WAKE),
            Signal::Notify => Command::Fixed(VECTOR_NOTIFY),
            Signal::Stop => Command::Fixed(VECTOR_STOP),
            Signal::Nmi => Command::Nmi,
            Signal::Init => Command::Init,
            Signal::PowerOn(page) => match u8::try_from(page) {
                Ok(page) => Command::Startup(page),
                Err(_) => return false,
            },
        };
        self.controller.send(command, core)
    }
}

/// Reads a port. The step checked the caller's capability for it (PORT-HELD): what its device
/// does is the holder's business.
fn port_in(port: u16, width: u8) -> u32 {
    match width {
        1 => {
            // SAFETY: PORT-HELD; a read of a port touches no memory.
            let value = unsafe { Port::<u8>::new(port).read() };
            u32::from(value)
        }
        2 => {
            // SAFETY: as above.
            let value = unsafe { Port::<u16>::new(port).read() };
            u32::from(value)
        }
        _ => {
            // SAFETY: as above.
            unsafe { Port::<u32>::new(port).read() }
        }
    }
}

/// Writes a port (PORT-HELD, or one of this file's own).
fn port_out(port: u16, width: u8, value: u32) {
    match width {
        1 => {
            // SAFETY: PORT-HELD; a device that writes memory by itself is its holder's doing.
            unsafe { Port::new(port).write(value as u8) }
        }
        2 => {
            // SAFETY: as above.
            unsafe { Port::new(port).write(value as u16) }
        }
        _ => {
            // SAFETY: as above.
            unsafe { Port::new(port).write(value) }
        }
    }
}

/// Ends the machine.
pub fn halt(code: u64) -> ! {
    let exit = if code == 0 {
        EXIT_SUCCESS
    } else {
        log::last_words();
        EXIT_FAILURE
    };
    port_out(DEBUG_EXIT, 4, exit);
    // Not that emulator, or without that device.
    port_out(PM1A_CONTROL, 2, u32::from(SOFT_OFF));
    loop {
        x86_64::instructions::interrupts::disable();
        x86_64::instructions::hlt();
    }
}
