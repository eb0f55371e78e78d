//! All test kernels: `std` but for one fault. Which, the name in the file's notes says, that xtask writes there
//! (`xtask/src/test_kernels.rs`); under its own name it has none.
//!
//! - `t-panic`, `t-hang` panic or spin in their start, before a KCB is adopted.
//! - `t-late`, `t-stuck` run well for a while, then panic or spin in the middle of an entry, after a store to OSnode
//!   memory: `t-late` after another one each time. Never before an entry's first: nothing of a kernel that could panic
//!   runs until then. `t-stuck` hears nothing but what cannot be masked.
//! - The others schedule wrongly: [`kernel::NamedFault`].

#![no_std]
#![no_main]

use capfmt::{Dcb, PhysMap};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kernel::{Event, Fault, NamedFault, WakeUp};

/// Counter ticks of good behaviour, from the first event on.
const GOOD_TICKS: u64 = 600_000_000;
/// Stores among which the last one of `t-late` is.
const STORES: u64 = 61;

/// It is `t-late` or `t-stuck`.
static GOES_BAD: AtomicBool = AtomicBool::new(false);
static FIRST: AtomicU64 = AtomicU64::new(0);
static EVENTS: AtomicU64 = AtomicU64::new(0);
/// Stores until the end; 0 = not decided.
static LEFT: AtomicU64 = AtomicU64::new(0);

fn is_called(name: &str) -> bool {
    genesis::kernel_name(&NOTE.name()) == name
}

fn spin() -> ! {
    // No hint to the processor: an emulator that counts instructions takes microseconds for each.
    loop {
        core::hint::black_box(());
    }
}

/// The fault of scheduling that this kernel's name stands for; losses are logged.
struct Named(NamedFault);

impl Fault for Named {
    fn new() -> Self {
        Named(NamedFault::of(genesis::kernel_name(&NOTE.name())))
    }

    fn loses(&mut self, m: &impl PhysMap, dcb: Dcb, what: WakeUp) -> bool {
        let lost = self.0.loses(m, dcb, what);
        if lost {
            kernel_x86::log_line(format_args!(
                "{} lost a {what}",
                genesis::kernel_name(&NOTE.name())
            ));
        }
        lost
    }

    fn runs(&mut self, m: &mut impl PhysMap, dcb: Dcb, now_ns: u64) {
        self.0.runs(m, dcb, now_ns);
    }

    fn until_ns(&self, m: &impl PhysMap, dcb: Dcb) -> Option<u64> {
        self.0.until_ns(m, dcb)
    }
}

struct Test;

impl kernel_x86::Variant for Test {
    type Policy = kernel::Erring<Named>;
    const NAME: &'static str = "t-faulty";
    const BASE: u64 = abi::vaddr::IMAGE_SLOT;

    fn before_attach() {
        if is_called("t-panic") {
            panic!("t-panic panics in its start");
        }
        if is_called("t-hang") {
            spin();
        }
        GOES_BAD.store(
            is_called("t-late") || is_called("t-stuck"),
            Ordering::Relaxed,
        );
    }

    fn event(event: Event) -> Event {
        if GOES_BAD.load(Ordering::Relaxed) {
            let now = arch_x86::registers::counter();
            let events = EVENTS.fetch_add(1, Ordering::Relaxed);
            if events == 0 {
                FIRST.store(now, Ordering::Relaxed);
            }
            let good = now.wrapping_sub(FIRST.load(Ordering::Relaxed)) < GOOD_TICKS;
            if !good && LEFT.load(Ordering::Relaxed) == 0 {
                let stores = if is_called("t-late") { STORES } else { 1 };
                LEFT.store(1 + events % stores, Ordering::Relaxed);
            }
        }
        event
    }

    fn store() {
        match LEFT.load(Ordering::Relaxed) {
            0 => {}
            1 if is_called("t-stuck") => spin(),
            1 => panic!(
                "t-late panics after a store of its event {}",
                EVENTS.load(Ordering::Relaxed)
            ),
            left => LEFT.store(left - 1, Ordering::Relaxed),
        }
    }
}

kernel_x86::kernel!(Test);
