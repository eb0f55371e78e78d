//! OSnode time: ns = base + ((counter − start) × mult >> shift).

/// Conversion between the hardware counter and OSnode time, as long as this attach lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Counter at attach.
    pub start: u64,
    /// OSnode time at attach, in nanoseconds.
    pub base_ns: u64,
    /// ns = ticks × mult >> shift.
    pub mult: u64,
    /// See `mult`.
    pub shift: u64,
    /// ticks = ns × `ticks_mult` >> 40.
    pub ticks_mult: u64,
}

const TICKS_SHIFT: u32 = 40;

impl Clock {
    /// A clock that reads `base_ns` when the counter reads `start`.
    pub(crate) fn new(start: u64, base_ns: u64, mult: u64, shift: u64) -> Clock {
        let ticks_mult = (1u128 << (u64::from(TICKS_SHIFT) + shift)) / u128::from(mult);
        Clock {
            start,
            base_ns,
            mult,
            shift,
            ticks_mult: ticks_mult as u64,
        }
    }

    /// Nanoseconds in so many counter ticks.
    #[inline]
    pub(crate) fn ticks_to_ns(&self, ticks: u64) -> u64 {
        ((u128::from(ticks) * u128::from(self.mult)) >> self.shift) as u64
    }

    /// Counter ticks that last at least so many nanoseconds.
    #[inline]
    pub(crate) fn ns_to_ticks(&self, ns: u64) -> u64 {
        let t = (u128::from(ns) * u128::from(self.ticks_mult)) >> TICKS_SHIFT;
        u64::try_from(t).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// OSnode time when the counter reads `counter`.
    #[inline]
    pub(crate) fn now_ns(&self, counter: u64) -> u64 {
        self.base_ns + self.ticks_to_ns(counter.wrapping_sub(self.start))
    }
}
