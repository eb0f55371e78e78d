//! Operations on several cores that are prepared together: *prepare, then switch* for all at once.

use alloc::collections::BTreeMap;
use core::cell::{Cell, RefCell};

use rt::task;

/// Operations under way that are not all prepared: how many of each group are still to come.
#[derive(Default)]
pub struct Groups {
    missing: RefCell<BTreeMap<u64, u64>>,
}

/// An operation's part in its group. Dropped, it holds the others up no longer.
pub struct Member<'a> {
    groups: &'a Groups,
    number: u64,
    arrived: Cell<bool>,
}

impl Groups {
    /// The part of an operation in group `number` (`DriverRequest::Operate`), 0 = alone.
    pub fn join(&self, number: u64) -> Member<'_> {
        let count = number & 0xff;
        if count > 1 {
            let mut missing = self.missing.borrow_mut();
            missing.entry(number).or_insert(count);
        }
        Member {
            groups: self,
            number,
            arrived: Cell::new(count < 2),
        }
    }
}

impl Member<'_> {
    /// Whether there are others.
    pub fn has_company(&self) -> bool {
        self.number & 0xff > 1
    }

    fn arrive(&self) {
        if self.arrived.replace(true) {
            return;
        }
        let mut missing = self.groups.missing.borrow_mut();
        if let Some(left) = missing.get_mut(&self.number) {
            *left -= 1;
            if *left == 0 {
                missing.remove(&self.number);
            }
        }
    }

    /// This operation is prepared: waits until all of the group are, or are over.
    pub async fn prepared(&self) {
        self.arrive();
        while self.groups.missing.borrow().contains_key(&self.number) {
            task::yield_now().await;
        }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.arrive();
    }
}
