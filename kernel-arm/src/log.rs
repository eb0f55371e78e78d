//! The kernel's log: a ring of bytes in the Core object, read by the device manager.
//!
//! With `Core::FLAG_MIRROR_LOG` set, what is written is also sent to the loader's console. That is
//! an aid for bringing kernels up: it disturbs the console driver, and waits for the UART.

use crate::statics::{MIRROR, MIRRORED};
use crate::window::{CoreView, OWN_CORE};
use arch_arm::pen;
use arch_arm::uart::Pl011;
use capfmt::{Core, PhysAddr, PhysMap};
use core::fmt::{self, Write};
use core::sync::atomic::Ordering;

/// Bytes of the ring (`Core::log_text`).
const RING: u64 = 4032;
/// Offset of the ring in the Core object.
const TEXT: u64 = 0x1040;

struct Ring;

impl Ring {
    fn put(byte: u8) {
        let mut view = CoreView;
        let written = OWN_CORE.log_written(&view);
        let at = TEXT + written % RING;
        let (word, shift) = (PhysAddr(at & !7), 8 * (at & 7));
        let old = view.load(word) & !(0xff << shift);
        view.store(word, old | u64::from(byte) << shift);
        OWN_CORE.set_log_written(&mut view, written + 1);
    }
}

impl Write for Ring {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(Self::put);
        Ok(())
    }
}

/// Appends a line to the ring.
pub fn line(text: fmt::Arguments<'_>) {
    // Writing to the ring cannot fail; a formatter that does loses its own line only.
    let _ = writeln!(Ring, "{text}");
}

/// Decides at the start where the log is mirrored to.
pub fn start() {
    let written = OWN_CORE.log_written(&CoreView);
    MIRRORED.store(written, Ordering::Relaxed);
    let wanted = OWN_CORE.flags(&CoreView) & Core::FLAG_MIRROR_LOG != 0;
    if let (true, Some(at)) = (wanted, uart()) {
        MIRROR.store(at as u64, Ordering::Relaxed);
    }
}

/// Sends what was written since the last call, by anybody, to the console, if that is wanted.
#[inline]
pub fn mirror() {
    let uart = MIRROR.load(Ordering::Relaxed);
    if uart != 0 {
        copy_out(uart as usize);
    }
}

/// Sends all that the ring holds since this kernel started to the console, if the loader had one: the machine
/// ends in failure, perhaps before there was anybody else to say why.
pub fn last_words() {
    if let Some(uart) = uart() {
        copy_out(uart);
    }
}

/// Where the loader's console is mapped.
fn uart() -> Option<usize> {
    let version = OWN_CORE.isa_param(&CoreView, pen::PARAM_GIC_VERSION);
    let at = abi::vaddr::CORE_VA + pen::DEVICES + pen::device_uart(version);
    (OWN_CORE.isa_param(&CoreView, pen::PARAM_UART) != 0).then_some(at as usize)
}

/// One line to the console, past its driver, unless the log is mirrored there: nobody may be left to read it.
pub fn cry(text: fmt::Arguments<'_>) {
    if let (0, Some(uart)) = (MIRROR.load(Ordering::Relaxed), uart()) {
        // SAFETY: as in `copy_out`; a torn line of the console driver is the lesser evil.
        let mut uart = unsafe { Pl011::new(uart) };
        let _ = writeln!(uart, "\n{text}");
    }
}

#[cold]
fn copy_out(uart: usize) {
    // SAFETY: whoever made the Core object mapped its PL011 there (`isa_param`), and wants this output.
    let mut uart = unsafe { Pl011::new(uart) };
    let written = OWN_CORE.log_written(&CoreView);
    let from = MIRRORED
        .load(Ordering::Relaxed)
        .max(written.saturating_sub(RING));
    for i in from..written {
        let at = TEXT + i % RING;
        let byte = (CoreView.load(PhysAddr(at & !7)) >> (8 * (at & 7))) as u8;
        // A carriage return goes before each line end; anything but text shows as a dot.
        let text = match byte {
            b'\n' => "\n",
            b' '..=b'~' => {
                uart.put(byte);
                continue;
            }
            _ => ".",
        };
        let _ = uart.write_str(text);
    }
    MIRRORED.store(written, Ordering::Relaxed);
}

const _: () = assert!(RING == 8 * 504);
