//! The process itself: its end, its backtrace.

use core::ops::Range;

use abi::{CapAddr, MessageTag, SysError, bootinfo, slots, vaddr};
use proto::iface::process::ProcessNotice;
use proto::{Name, Wire};

use crate::exec::driver;
use crate::single::Single;
use crate::{chan, env, invoke, isa, link, lmp, start};

/// What `main` may return.
#[cfg_attr(nekton_user, lang = "termination")]
pub trait Termination {
    /// Exit status: 0 = success. Says on the console what went wrong.
    fn status(self) -> i32;
}

impl Termination for () {
    fn status(self) -> i32 {
        0
    }
}

impl Termination for i32 {
    fn status(self) -> i32 {
        self
    }
}

impl Termination for core::convert::Infallible {
    fn status(self) -> i32 {
        match self {}
    }
}

impl<T: Termination, E: core::fmt::Debug> Termination for Result<T, E> {
    fn status(self) -> i32 {
        match self {
            Ok(done) => done.status(),
            Err(e) => {
                crate::println!("{}: {e:?}", crate::env::program());
                1
            }
        }
    }
}

/// Ends the process; its starter learns the status, and all its memory goes back.
pub fn exit(status: i32) -> ! {
    end(&ProcessNotice::Exited { status }, b"", status)
}

/// Has the starter keep a copy of a capability, for the program's next process if it is started
/// again ([`crate::env::given`]).
///
/// # Errors
/// Any of a send; nothing says whether the starter keeps it.
pub fn keep(name: Name, cap: CapAddr) -> Result<(), SysError> {
    let with = MessageTag {
        cap,
        ..MessageTag::default()
    };
    let notice = ProcessNotice::Keep { name };
    link::send_patiently(slots::PARENT, with, notice.to_words(0))
}

/// Tells the starter how the process ends, then never runs again. An OSnode's first process has
/// no starter: its OSnode ends with it, and with the boot OSnode the machine.
pub(crate) fn end(notice: &ProcessNotice, blob: &[u8], status: i32) -> ! {
    driver::close_channels();
    let alone = chan::tell_starter(notice, blob).is_err();
    if alone && env::boot_info().is_some_and(|b| b.word(bootinfo::word::HOME) == 0) {
        // The kernel would do so by itself, but not know the status.
        let _ = invoke::kernel_halt(slots::KERNEL, u64::from(status != 0));
    }
    halt()
}

/// Never runs again: the starter takes the process apart.
fn halt() -> ! {
    loop {
        // Refused or not, nothing is left to do.
        let _ = invoke::disp_run(slots::DISPATCHER, false);
        let _ = lmp::wait(u64::MAX, None);
    }
}

/// Gives the core to another runnable dispatcher.
pub fn yield_core() {
    lmp::yield_core();
}

/// The frame-pointer chain of the caller: program counters relative to the load address,
/// innermost first. Returns how many were found.
#[inline(never)]
pub fn backtrace(pcs: &mut [u64]) -> usize {
    walk(isa::frame_pointer(), pcs)
}

/// The stack of the dispatcher.
#[cfg_attr(nekton_user, thread_local)]
static STACK: Single<(u64, u64)> =
    Single::new((vaddr::STACK_BASE, vaddr::STACK_BASE + vaddr::STACK_BYTES));

/// First address of the dispatcher's stack, and its end.
pub(crate) fn stack() -> Range<u64> {
    let (low, end) = STACK.with(|s| *s);
    low..end
}

/// The dispatcher runs on another stack than the first one.
#[cfg_attr(
    not(nekton_user),
    expect(dead_code, reason = "only a process starts dispatchers")
)]
pub(crate) fn set_stack(stack: Range<u64>) {
    STACK.with(|s| *s = (stack.start, stack.end));
}

/// Follows frame pointers on the dispatcher's stack. Total on any start value: each frame must stand
/// on the stack, above the one before.
pub(crate) fn walk(mut fp: u64, pcs: &mut [u64]) -> usize {
    let stack = stack();
    let stack = stack.start..stack.end - 15;
    let base = start::load_base();
    let mut found = 0;
    for pc in pcs {
        if !stack.contains(&fp) || !fp.is_multiple_of(8) {
            break;
        }
        // SAFETY: two words on the dispatcher's stack, which is mapped; plain words of any value.
        let [next, ret] = unsafe { core::ptr::read_volatile(fp as *const [u64; 2]) };
        if ret == 0 {
            break;
        }
        // The call, not the instruction after it.
        *pc = ret.wrapping_sub(base).wrapping_sub(1);
        found += 1;
        if next <= fp {
            break;
        }
        fp = next;
    }
    found
}
