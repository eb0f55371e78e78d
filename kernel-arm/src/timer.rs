//! The virtual timer as a one-shot: armed for a counter value, or off.

use arch_arm::registers;

/// What the timer is set to.
#[derive(Debug)]
pub struct Timer {
    deadline: Option<u64>,
}

impl Timer {
    /// Off.
    pub fn new() -> Timer {
        registers::stop_timer();
        Timer { deadline: None }
    }

    /// Interrupts once when the counter reaches `deadline` (at once if it has), or never.
    #[inline]
    pub fn set(&mut self, deadline: Option<u64>) {
        if self.deadline == deadline {
            return;
        }
        self.deadline = deadline;
        match deadline {
            Some(at) => registers::arm_timer(at),
            None => registers::stop_timer(),
        }
    }

    /// It fired: withdraws the interrupt line, which would fire again at once.
    pub fn fired(&mut self) {
        registers::stop_timer();
        self.deadline = None;
    }
}
