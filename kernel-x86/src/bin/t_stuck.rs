//! `t-stuck`: a test kernel that runs well for a while, then hangs in the middle of an entry, and hears
//! nothing but what cannot be masked.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kernel::Event;

/// Counter ticks of good behaviour, from the first event on.
const GOOD_TICKS: u64 = 600_000_000;

static FIRST: AtomicU64 = AtomicU64::new(0);
static STUCK: AtomicBool = AtomicBool::new(false);

struct Test;

impl kernel_x86::Variant for Test {
    type Policy = kernel::RoundRobin;
    const NAME: &'static str = "t-stuck";
    const BASE: u64 = abi::vaddr::IMAGE_SLOT;

    fn event(event: Event) -> Event {
        let now = arch_x86::registers::counter();
        if FIRST.load(Ordering::Relaxed) == 0 {
            FIRST.store(now, Ordering::Relaxed);
        }
        let good = now.wrapping_sub(FIRST.load(Ordering::Relaxed)) < GOOD_TICKS;
        STUCK.store(!good, Ordering::Relaxed);
        event
    }

    fn store() {
        // No hint to the processor: an emulator that counts instructions takes microseconds for each.
        while STUCK.load(Ordering::Relaxed) {
            core::hint::black_box(());
        }
    }
}

kernel_x86::kernel!(Test);
