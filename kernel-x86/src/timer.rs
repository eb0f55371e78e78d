//! The local APIC timer as a one-shot: armed for a counter value, or off.
//!
//! TSC-deadline mode would take the counter's value itself, but the emulator has
//! none; the count-down register is there on every machine.

use arch_x86::apic::Lapic;
use arch_x86::registers;

/// Counter ticks that are converted at once: the count stays in 64 bits for every frequency.
const FARTHEST: u64 = 1 << 30;
const SHIFT: u32 = 32;

/// What the timer is set to.
#[derive(Debug)]
pub struct Timer {
    apic: Lapic,
    deadline: Option<u64>,
    /// Timer ticks = counter ticks × this >> 32.
    mult: u64,
}

impl Timer {
    /// Off.
    pub fn new(apic: Lapic, counter_hz: u64, timer_hz: u64) -> Timer {
        apic.timer_setup();
        let mult = (u128::from(timer_hz) << SHIFT) / u128::from(counter_hz.max(1));
        Timer {
            apic,
            deadline: None,
            mult: u64::try_from(mult).unwrap_or(u64::MAX).clamp(1, 1 << 33),
        }
    }

    /// Interrupts once when the counter reaches `deadline` (at once if it has), or never.
    /// A deadline far away may interrupt early: the step sets it again.
    #[inline]
    pub fn set(&mut self, deadline: Option<u64>) {
        if self.deadline != deadline {
            self.program(deadline);
        }
    }

    fn program(&mut self, deadline: Option<u64>) {
        self.deadline = deadline;
        let Some(at) = deadline else {
            self.apic.timer_start(0);
            return;
        };
        let ticks = at.saturating_sub(registers::counter()).min(FARTHEST);
        // One more: a tick that is cut off would make it early, again and again.
        let count = ((ticks * self.mult) >> SHIFT) + 1;
        self.apic
            .timer_start(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// It fired.
    pub fn fired(&mut self) {
        self.deadline = None;
    }

    /// Stops it for good.
    pub fn off(&mut self) {
        self.deadline = None;
        self.apic.timer_off();
    }
}
