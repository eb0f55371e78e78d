//! The dispatcher's endpoints and ring slots.

use crate::plan::rings::RingMap;
use crate::single::Single;

#[cfg_attr(nekton_user, thread_local)]
static RINGS: Single<RingMap> = Single::new(RingMap::new());

/// Takes an endpoint with `count` ring slots: (index, first slot).
pub fn take(count: u64) -> Option<(u64, u64)> {
    RINGS.with(|r| r.take(count))
}
