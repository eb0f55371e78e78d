//! Test kernels that lose wake-ups.
//!
//! What programs check of a kernel is worth something only if a kernel that errs fails the check.
//! A loss must be certain and must not stop what carries the check: so each process of one name
//! loses one wake-up, and services lose none.

use core::marker::PhantomData;

use capfmt::{Dcb, DcbState, PhysMap};

use super::WakeUp;
use super::erring::Fault;

/// Wake-ups that a dispatcher gets before it loses one: who has so many first lives by them.
const BEFORE: u32 = 8;
/// Dispatchers that are watched.
const WATCHED: usize = 16;

/// Which kind of wake-up is lost.
pub trait Loss {
    /// The kind.
    const WHAT: WakeUp;
    /// First eight bytes of the name of the processes that lose one.
    const OF: [u8; 8];

    /// Whether a wake-up of `dcb` that is lost now is made up for by no other.
    fn matters(_m: &impl PhysMap, _dcb: Dcb) -> bool {
        true
    }
}

/// Loses the end of a waiting time.
#[derive(Debug)]
pub struct OneTick;
impl Loss for OneTick {
    const WHAT: WakeUp = WakeUp::TimeOut;
    const OF: [u8; 8] = *b"ticker\0\0";
}

/// Loses notification bits.
#[derive(Debug)]
pub struct OneNotification;
impl Loss for OneNotification {
    const WHAT: WakeUp = WakeUp::Notification;
    const OF: [u8; 8] = *b"churn\0\0\0";

    fn matters(m: &impl PhysMap, dcb: Dcb) -> bool {
        dcb.state(m) == DcbState::Waiting as u64 && dcb.wake_at_ns(m) == u64::MAX
    }
}

/// Each dispatcher of the name loses one wake-up of the kind after it had [`BEFORE`], and none after that.
#[derive(Debug)]
pub struct Losing<L> {
    /// Dispatchers by address, and how many wake-ups each has had.
    seen: [(u64, u32); WATCHED],
    what: PhantomData<L>,
}

impl<L: Loss> Fault for Losing<L> {
    fn new() -> Self {
        Losing {
            seen: [(0, 0); WATCHED],
            what: PhantomData,
        }
    }

    fn loses(&mut self, m: &impl PhysMap, dcb: Dcb, what: WakeUp) -> bool {
        let named = dcb.name0(m) == u64::from_le_bytes(L::OF);
        if what != L::WHAT || !named || !L::matters(m, dcb) {
            return false;
        }
        let place = self
            .seen
            .iter_mut()
            .find(|(at, _)| *at == dcb.0.0 || *at == 0);
        let Some((at, count)) = place else {
            return false;
        };
        *at = dcb.0.0;
        *count = count.saturating_add(1);
        *count == BEFORE + 1
    }
}
