//! Upcalls, faults and panics: the report of a process that ends badly.

use core::fmt::{self, Display};

use abi::Syscall;
use abi::disp::{self, TrapKind, Upcall};
use proto::iface::process::{FaultKind, ProcessNotice};

use crate::isa::{self, Frame};
use crate::{env, event, io, process, start};

/// Most frames of a backtrace.
const DEPTH: usize = 32;
/// Bytes of a panic's text in the report.
const TEXT: usize = 240;

/// A backtrace record, one line for the host: program, load base, why, program counters
/// relative to the load base.
struct Record<'a> {
    why: &'a dyn Display,
    pcs: &'a [u64],
}

/// Text inside a JSON string.
struct Quoted<'a>(&'a dyn Display);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Escape<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl fmt::Write for Escape<'_, '_> {
            fn write_str(&mut self, s: &str) -> fmt::Result {
                for c in s.chars() {
                    match c {
                        '"' | '\\' => write!(self.0, "\\{c}")?,
                        c if c.is_control() => write!(self.0, "\\u{:04x}", c as u32)?,
                        c => self.0.write_char(c)?,
                    }
                }
                Ok(())
            }
        }
        use fmt::Write;
        write!(Escape(f), "{}", self.0)
    }
}

impl Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, base) = (env::program(), start::load_base());
        // The first process has no start block that names it.
        let name = if name == "first" { "monitor" } else { name };
        // A further dispatcher is named after the program and its process.
        let name = name.split_once('/').map_or(name, |(program, _)| program);
        write!(f, "##nk {{\"k\":\"bt\",\"bin\":\"bin/{}\"", Quoted(&name))?;
        write!(f, ",\"pid\":\"{}\",\"base\":{base}", env::pid())?;
        write!(f, ",\"why\":\"{}\",\"pcs\":[", Quoted(self.why))?;
        for (i, pc) in self.pcs.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}", base + pc)?;
        }
        writeln!(f, "]}}")
    }
}

/// What ended the process, in words.
struct Cause {
    kind: FaultKind,
    detail: u64,
    access: u64,
}

impl Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.access & 3 {
            0 => "read",
            1 => "write",
            _ => "instruction fetch",
        };
        match self.kind {
            FaultKind::PageFault => write!(f, "page fault: {access} at {:#x}", self.detail),
            FaultKind::StackOverrun => write!(f, "stack overrun at {:#x}", self.detail),
            FaultKind::Trap => f.write_str(trap_name(self.detail)),
            FaultKind::Panic => f.write_str("panic"),
            FaultKind::Kernel => f.write_str("ended by the kernel"),
        }
    }
}

fn trap_name(detail: u64) -> &'static str {
    const NAMES: [(TrapKind, &str); 7] = [
        (TrapKind::Divide, "integer division error"),
        (TrapKind::Undefined, "undefined instruction"),
        (TrapKind::Breakpoint, "breakpoint"),
        (TrapKind::Protection, "forbidden operation"),
        (TrapKind::Float, "floating-point exception"),
        (TrapKind::Alignment, "misaligned access"),
        (TrapKind::Other, "trap"),
    ];
    let found = NAMES.iter().find(|(k, _)| *k as u64 == detail & 0xff);
    found.map_or("trap", |(_, name)| name)
}

/// Entry of upcalls (from `start.S`): never returns to its caller.
#[cfg_attr(nekton_user, unsafe(no_mangle))]
extern "C" fn nekton_upcall(number: u64, detail: u64, _page: u64, access: u64) -> ! {
    const PAGE_FAULT: u64 = Upcall::PageFault as u64;
    const TRAP: u64 = Upcall::Trap as u64;
    const CORES: u64 = Upcall::CoreSetChanged as u64;
    const RESTARTED: u64 = Upcall::KernelRestarted as u64;
    match number {
        PAGE_FAULT => faulted(FaultKind::PageFault, detail, access),
        TRAP => faulted(FaultKind::Trap, detail, access),
        CORES => event::note(event::Event::CoreSetChanged),
        RESTARTED => event::note(event::Event::KernelRestarted),
        _ => {}
    }
    resume()
}

/// Goes on where the dispatcher was interrupted.
pub(crate) fn resume() -> ! {
    loop {
        isa::syscall([Syscall::Resume as u64, 0, 0, 0, 0, 0, 0, 0]);
    }
}

/// What the enabled save area says about the context that faulted.
fn interrupted() -> Frame {
    let word =
        |at| env::page_word(disp::ENABLED_AREA + at).load(core::sync::atomic::Ordering::Relaxed);
    Frame {
        pc: word(disp::AREA_PC),
        sp: word(disp::AREA_SP),
        fp: word(disp::AREA_GPR + 8 * isa::FRAME_POINTER_WORD),
    }
}

fn faulted(kind: FaultKind, detail: u64, access: u64) -> ! {
    let frame = interrupted();
    // The guard is the page below the stack; a large frame may jump further.
    let lowest = process::stack().start;
    let below = lowest - 16 * 4096..lowest;
    let overrun =
        kind == FaultKind::PageFault && (below.contains(&detail) || below.contains(&frame.sp));
    let kind = if overrun {
        FaultKind::StackOverrun
    } else {
        kind
    };
    let cause = Cause {
        kind,
        detail,
        access,
    };
    let mut pcs = [0; DEPTH];
    pcs[0] = frame.pc.wrapping_sub(start::load_base());
    let n = 1 + process::walk(frame.fp, &mut pcs[1..]);
    report(&cause, &pcs[..n]);
    let notice = ProcessNotice::Faulted {
        kind,
        detail,
        pc: pcs[0],
    };
    process::end(&notice, b"", 1)
}

fn report(why: &dyn Display, pcs: &[u64]) {
    let record = Record { why, pcs };
    // With the first process, the OSnode ends, or the machine: before a console had the text.
    let say = match env::boot_info() {
        Some(_) => io::log,
        None => io::print,
    };
    say(format_args!("{}: {why}\n{record}", env::program()));
}

/// Text cut to a fixed size.
struct Text {
    bytes: [u8; TEXT],
    len: usize,
}

impl fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let n = s.len().min(TEXT - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

/// The end of a process that panicked.
#[cfg_attr(nekton_user, panic_handler)]
#[cfg_attr(not(nekton_user), expect(dead_code, reason = "std has its own"))]
fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    use core::sync::atomic::{AtomicBool, Ordering};
    static AGAIN: AtomicBool = AtomicBool::new(false);
    let mut pcs = [0; DEPTH];
    let n = process::backtrace(&mut pcs);
    // A panic while a panic is reported: only the log is left.
    if AGAIN.swap(true, Ordering::Relaxed) {
        io::log(format_args!("{}: panicked again: {info}\n", env::program()));
    } else {
        report(info, &pcs[..n]);
    }
    let mut text = Text {
        bytes: [0; TEXT],
        len: 0,
    };
    // `Text` never fails.
    let _ = fmt::write(&mut text, format_args!("{info}"));
    let notice = ProcessNotice::Faulted {
        kind: FaultKind::Panic,
        detail: 0,
        pc: pcs[0],
    };
    process::end(&notice, &text.bytes[..text.len], 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn quotes_for_json() {
        let text = "a \"b\"\\\n";
        assert_eq!(Quoted(&text).to_string(), "a \\\"b\\\"\\\\\\u000a");
    }

    #[test]
    fn causes_read_well() {
        let cause = |kind, detail, access| {
            Cause {
                kind,
                detail,
                access,
            }
            .to_string()
        };
        assert_eq!(
            cause(FaultKind::PageFault, 16, 1),
            "page fault: write at 0x10"
        );
        assert_eq!(cause(FaultKind::Trap, 0, 0), "integer division error");
        assert_eq!(cause(FaultKind::Trap, 77, 0), "trap");
    }
}
