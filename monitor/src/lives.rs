//! How often a service may end before its OSnode ends with it.

use alloc::collections::VecDeque;

/// Most ends, and within how long (ns of system time): more is an error that restarts do not cure.
const MOST: usize = 3;
const WITHIN_NS: u64 = 10_000_000_000;

/// The ends of one service.
#[derive(Default, Debug)]
pub struct Lives(VecDeque<u64>);

impl Lives {
    /// It ended at this time (ns of system time); whether it is to be started again.
    pub fn again(&mut self, now_ns: u64) -> bool {
        let since = now_ns.saturating_sub(WITHIN_NS);
        self.0.retain(|at| *at >= since);
        if self.0.len() == MOST {
            return false;
        }
        self.0.push_back(now_ns);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ends_within_ten_seconds_are_borne() {
        let mut lives = Lives::default();
        let second = 1_000_000_000;
        assert!(lives.again(0) && lives.again(second) && lives.again(9 * second));
        assert!(!lives.again(10 * second));
        // The first is forgotten.
        assert!(lives.again(10 * second + 1));
        assert!(!lives.again(11 * second));
        assert!(lives.again(100 * second));
    }
}
