//! The kernel's log: a ring of bytes in the Core object, read by the device manager.
//!
//! With `Core::FLAG_MIRROR_LOG` set, what is written is also sent to the loader's console. That is
//! an aid for bringing kernels up: it disturbs the console driver, and waits for the UART.

use crate::statics::MIRRORED;
use crate::window::{CoreView, OWN_CORE};
use arch_x86::uart::Uart;
use capfmt::{Core, PhysAddr, PhysMap};
use core::fmt::{self, Write};
use core::sync::atomic::Ordering;

/// Bytes of the ring (`Core::log_text`).
const RING: u64 = 4032;
/// Offset of the ring in the Core object.
const TEXT: u64 = 0x1040;
/// `MIRRORED`: the log is not mirrored.
const OFF: u64 = u64::MAX;

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

/// Decides at the start whether the log is mirrored.
pub fn start() {
    let wanted = OWN_CORE.flags(&CoreView) & Core::FLAG_MIRROR_LOG != 0;
    let from = if wanted {
        OWN_CORE.log_written(&CoreView)
    } else {
        OFF
    };
    MIRRORED.store(from, Ordering::Relaxed);
}

/// Sends what was written since the last call, by anybody, to the console, if that is wanted.
#[inline]
pub fn mirror() {
    let from = MIRRORED.load(Ordering::Relaxed);
    if from != OFF {
        copy_out(from);
    }
}

/// Sends all that the ring still holds to the console: the machine ends in failure, perhaps
/// before there was anybody else to say why.
pub fn last_words() {
    let from = MIRRORED.load(Ordering::Relaxed);
    copy_out(if from == OFF { 0 } else { from });
}

#[cold]
fn copy_out(from: u64) {
    // SAFETY: kernel mode; whoever set the flag wants this output in spite of the console driver.
    let mut uart = unsafe { Uart::as_is() };
    let written = OWN_CORE.log_written(&CoreView);
    for i in from.max(written.saturating_sub(RING))..written {
        let at = TEXT + i % RING;
        match (CoreView.load(PhysAddr(at & !7)) >> (8 * (at & 7))) as u8 {
            b'\n' => {
                uart.put(b'\r');
                uart.put(b'\n');
            }
            byte @ b' '..=b'~' => uart.put(byte),
            _ => uart.put(b'.'),
        }
    }
    MIRRORED.store(written, Ordering::Relaxed);
}

const _: () = assert!(RING == 8 * 504);
