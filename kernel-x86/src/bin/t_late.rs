//! `t-late`: a test kernel that runs well for a while, then panics in the middle of an entry: after another
//! store each time. Never before an entry's first: nothing of a kernel that could panic runs until then.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};
use kernel::Event;

/// Counter ticks of good behaviour, from the first event on.
const GOOD_TICKS: u64 = 600_000_000;
/// Stores among which the last one is.
const STORES: u64 = 61;

static FIRST: AtomicU64 = AtomicU64::new(0);
static EVENTS: AtomicU64 = AtomicU64::new(0);
/// Stores until the panic; 0 = not decided.
static LEFT: AtomicU64 = AtomicU64::new(0);

struct Test;

impl kernel_x86::Variant for Test {
    type Policy = kernel::RoundRobin;
    const NAME: &'static str = "t-late";
    const BASE: u64 = abi::vaddr::IMAGE_SLOT;

    fn event(event: Event) -> Event {
        let now = arch_x86::registers::counter();
        let events = EVENTS.load(Ordering::Relaxed);
        if events == 0 {
            FIRST.store(now, Ordering::Relaxed);
        }
        EVENTS.store(events + 1, Ordering::Relaxed);
        let good = now.wrapping_sub(FIRST.load(Ordering::Relaxed)) < GOOD_TICKS;
        if !good && LEFT.load(Ordering::Relaxed) == 0 {
            LEFT.store(1 + events % STORES, Ordering::Relaxed);
        }
        event
    }

    fn store() {
        match LEFT.load(Ordering::Relaxed) {
            0 => {}
            1 => panic!(
                "t-late panics after a store of its event {}",
                EVENTS.load(Ordering::Relaxed)
            ),
            left => LEFT.store(left - 1, Ordering::Relaxed),
        }
    }
}

kernel_x86::kernel!(Test);
