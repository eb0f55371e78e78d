//! The process itself: its end, its backtrace.

use alloc::vec::Vec;
use core::ops::Range;

use abi::{CapAddr, MessageTag, bootinfo, slots, vaddr};
use proto::iface::process::ProcessNotice;
use proto::{Name, PeerError, Wire};

use crate::cap::{self, Capability};
use crate::exec::driver;
use crate::single::Single;
use crate::{env, invoke, isa, link, lmp, start};

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

/// What the starter keeps: another one, that did not hear of it, is told again.
#[cfg_attr(nekton_user, thread_local)]
static KEPT: Single<Vec<(Name, Capability)>> = Single::new(Vec::new());

/// Has the starter keep a copy of a capability, for the program's next process if it is started
/// again ([`crate::env::given`]).
///
/// # Errors
/// [`PeerError`] of a send; nothing says whether the starter keeps it.
pub fn keep(name: Name, cap: CapAddr) -> Result<(), PeerError> {
    // Whom the monitor, or nobody, started has one starter.
    if env::pid().number != 0 {
        let copy = cap::copy(cap)?;
        let former = KEPT.with(|kept| {
            let place = kept.iter().position(|(n, _)| *n == name);
            let former = place.map(|place| kept.swap_remove(place));
            kept.push((name, copy));
            former
        });
        drop(former);
    }
    tell_kept(name, cap)
}

/// The process has another starter: that keeps what the former one kept, or was to keep.
pub(crate) fn keep_again() {
    let kept: Vec<(Name, CapAddr)> = KEPT.with(|kept| {
        // What was revoked meanwhile is kept by nobody.
        kept.retain(|(_, cap)| invoke::identify(cap.addr()).is_ok());
        kept.iter().map(|(name, cap)| (*name, cap.addr())).collect()
    });
    for (name, cap) in kept {
        // A starter that ends again is followed by another one, who says so.
        let _ = tell_kept(name, cap);
    }
}

fn tell_kept(name: Name, cap: CapAddr) -> Result<(), PeerError> {
    let with = MessageTag {
        cap,
        ..MessageTag::default()
    };
    let words = ProcessNotice::Keep { name }.to_words(0);
    link::with_starter(&mut |parent| Ok(link::send_patiently(parent, with, words)?))
}

/// Tells the starter how the process ends, then never runs again. An OSnode's first process has
/// no starter: its OSnode ends with it, and with the boot OSnode the machine.
pub(crate) fn end(notice: &ProcessNotice, blob: &[u8], status: i32) -> ! {
    driver::close_channels();
    loop {
        let told = link::tell_starter(notice, blob);
        if told.is_err() && env::boot_info().is_some_and(|b| b.word(bootinfo::word::HOME) == 0) {
            // The kernel would do so by itself, but not know the status.
            let _ = invoke::kernel_halt(slots::KERNEL, u64::from(status != 0));
        }
        // A starter that ends before it takes the process apart is started again, and does not know.
        if told.is_err() || !link::may_have_another_starter() {
            break;
        }
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
