//! Which endpoints and ring slots of the dispatcher are free (see `abi::disp`).

use abi::disp::RING_SLOTS;
use capfmt::DCB_ENDPOINTS;

/// Endpoints and ring slots of one dispatcher.
#[derive(Debug)]
pub struct RingMap {
    endpoints: u32,
    slots: [u64; (RING_SLOTS as usize).div_ceil(64)],
}

impl RingMap {
    /// All free but endpoint 0 with its 32 slots, which the starter opened.
    #[must_use]
    pub const fn new() -> RingMap {
        let mut m = RingMap {
            endpoints: !1,
            slots: [!0; (RING_SLOTS as usize).div_ceil(64)],
        };
        m.slots[0] &= !0xffff_ffff;
        m
    }

    /// Takes an endpoint with `count` ring slots (a power of two, at most 64), aligned to their number:
    /// (endpoint index, first slot).
    pub fn take(&mut self, count: u64) -> Option<(u64, u64)> {
        if !count.is_power_of_two() || count > 64 || self.endpoints == 0 {
            return None;
        }
        let mask = |first: u64| (!0u64 >> (64 - count)) << (first % 64);
        let fits = |first: &u64| {
            let m = mask(*first);
            self.slots[(*first / 64) as usize] & m == m
        };
        let first = (0..RING_SLOTS / count).map(|i| i * count).find(fits)?;
        self.slots[(first / 64) as usize] &= !mask(first);
        let endpoint = u64::from(self.endpoints.trailing_zeros());
        self.endpoints &= self.endpoints - 1;
        Some((endpoint, first))
    }
}

const _: () = assert!(DCB_ENDPOINTS == 32, "one bit for each endpoint");

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn rings_never_overlap() {
        let mut m = RingMap::new();
        let mut used = vec![false; RING_SLOTS as usize];
        used[..32].fill(true);
        let mut last = 0;
        for count in [4, 32, 16, 2, 1, 32, 8, 32, 64, 32] {
            let Some((endpoint, first)) = m.take(count) else {
                assert!(count >= 32, "small rings must still fit");
                continue;
            };
            assert!(endpoint > last && first % count == 0);
            last = endpoint;
            for slot in first..first + count {
                assert!(!core::mem::replace(&mut used[slot as usize], true));
            }
        }
        assert_eq!(m.take(3), None);
        assert_eq!(m.take(128), None);
    }

    #[test]
    fn endpoints_run_out() {
        let mut m = RingMap::new();
        for i in 1..32 {
            assert_eq!(m.take(1).map(|(e, _)| e), Some(i));
        }
        assert_eq!(m.take(1), None);
    }
}
