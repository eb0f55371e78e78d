//! The end of a kernel: an epitaph in the Core object, then the pen.
//!
//! The OSnode stays attached with its transaction open; whoever adopts it next
//! rolls back. What only this core has is saved first: FPU registers and FS base of
//! the dispatcher that ran (its others stand in its save area since the entry).

use crate::context;
use crate::effects;
use crate::log;
use crate::statics::{BASE, LIVE_AREA, PANICKING};
use crate::window::{CoreView, OWN_CORE};
use arch_x86::registers;
use arch_x86::uart::Uart;
use capfmt::{Core, CoreStatus, EPITAPH_TEXT_BYTES};
use core::fmt::{self, Write};
use core::sync::atomic::Ordering;
use kernel::Ending;

/// Kinds of epitaph (`Core::epitaph_kind`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Epitaph {
    /// A panic: a broken invariant.
    Panic = 1,
    /// An exception in the kernel.
    Exception = 2,
    /// The core was taken back (NMI).
    Forced = 3,
    /// The OSnode's monitor ended: no kernel can help.
    Ended = 4,
}

/// Text of bounded length.
struct Text {
    bytes: [u8; EPITAPH_TEXT_BYTES as usize],
    len: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let n = text.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&text.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

/// Ends this kernel. `pc` is a run-time address in the image or 0, `detail` depends on the kind.
pub fn crash(kind: Epitaph, pc: u64, detail: u64, text: fmt::Arguments<'_>) -> ! {
    if !PANICKING.swap(true, Ordering::Relaxed) {
        let live = LIVE_AREA.load(Ordering::Relaxed);
        if live != 0 {
            context::save_live(live);
        }
        write_epitaph(kind, pc, detail, text);
    }
    // The last command, if it was not answered, is answered by this.
    enter_pen(CoreStatus::Crashed, OWN_CORE.home_seq(&CoreView))
}

/// Ends this kernel with its OSnode, which is left as a crashed kernel leaves one.
pub fn end_osnode(ending: &Ending) -> ! {
    if ending.is_of_machine() {
        log::line(format_args!("{ending}"));
        effects::halt(1)
    }
    crash(Epitaph::Ended, 0, 0, format_args!("{ending}"))
}

fn write_epitaph(kind: Epitaph, pc: u64, detail: u64, text: fmt::Arguments<'_>) {
    let mut buffer = Text {
        bytes: [0; EPITAPH_TEXT_BYTES as usize],
        len: 0,
    };
    // What does not fit is cut; a formatter that fails leaves what it wrote.
    let _ = buffer.write_fmt(text);
    let view = &mut CoreView;
    for (i, word) in buffer.bytes.as_chunks::<8>().0.iter().enumerate() {
        OWN_CORE.set_epitaph_text(view, i as u64, u64::from_le_bytes(*word));
    }
    let base = BASE.load(Ordering::Relaxed);
    let pc = pc.saturating_sub(base);
    OWN_CORE.set_epitaph_pc(view, pc);
    OWN_CORE.set_epitaph_detail(view, detail);
    OWN_CORE.set_epitaph_counter(view, registers::counter());
    OWN_CORE.set_epitaph_len(view, buffer.len as u64);
    OWN_CORE.set_epitaph_kind(view, kind as u64);
    let shown = core::str::from_utf8(&buffer.bytes[..buffer.len]).unwrap_or("(not text)");
    match kind {
        Epitaph::Ended => log::line(format_args!("{shown}")),
        _ => log::line(format_args!("kernel crashed: {shown}")),
    }
    let flags = OWN_CORE.flags(view);
    if flags & Core::FLAG_MIRROR_LOG != 0 {
        log::mirror();
    } else if flags & Core::FLAG_BOOT != 0 {
        // Nobody may be left to read the epitaph: the console driver ran here, or was started here.
        // SAFETY: kernel mode; a torn line of the console driver is the lesser evil.
        let mut uart = unsafe { Uart::as_is() };
        let _ = writeln!(uart, "\nkernel of core 0 crashed at {pc:#x}: {shown}");
    }
}

/// Leaves this image for the pen, which reports `status` as the answer to command `seq`.
pub fn enter_pen(status: CoreStatus, seq: u64) -> ! {
    let entry = OWN_CORE.pen_entry(&CoreView);
    // SAFETY: the Core object's own pen, mapped at the same place in every root; it never
    // returns, and nobody needs this kernel any more.
    unsafe {
        core::arch::asm!(
            "cli",
            "jmp {0}",
            in(reg) entry,
            in("rdi") status as u64,
            in("rsi") seq,
            options(noreturn, nostack)
        )
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let pc: u64;
    // SAFETY: reads the address of this very place.
    unsafe {
        core::arch::asm!("lea {0}, [rip]", out(reg) pc, options(nomem, nostack, preserves_flags));
    }
    match info.location() {
        Some(at) => crash(
            Epitaph::Panic,
            pc,
            u64::from(at.line()),
            format_args!("{} ({}:{})", info.message(), at.file(), at.line()),
        ),
        None => crash(Epitaph::Panic, pc, 0, format_args!("{}", info.message())),
    }
}
