//! Memory that comes back: for the process of an OSnode that serves its memory.
//!
//! The kernel makes every run of pages whose last capability goes a Ram capability again, in the first empty slot
//! of a CNode. Without an empty slot deletions stand still, and with them whatever waits for the end of a long
//! operation. The process that empties the CNode must not be among those: the kernel ends its calls with
//! `BackFull` instead of letting it wait, and [`crate::invoke`] calls [`make_room`] and repeats them. That moves
//! what came back to another CNode, which needs neither memory nor a lock of anybody's; the repeated call is made
//! on the same time slice, before others can fill the CNode again.

use abi::{CapAddr, SysError, slots};
use capfmt::CapType;

use crate::cap::{self, CNODE_BYTES, CNODE_LOG2, Capability};
use crate::event::Notification;
use crate::plan::slots::CNODE_SLOTS;
use crate::single::Single;
use crate::{invoke, ram};

/// Both CNodes, by their root slots.
struct Rooms {
    /// Says how far everybody has flushed.
    kernel: CapAddr,
    /// Where the kernel puts what comes back: always into the first empty slot.
    back: u32,
    /// Its slot that is looked at next. What is in use is a run from there on, and one from slot 0 on.
    at: u32,
    /// What was moved out of the way: the first `full` slots are in use.
    aside: u32,
    full: u32,
    /// Up to which removal everybody must have flushed before that can be used: it was the last one when it came.
    until: u64,
}

#[cfg_attr(nekton_user, thread_local)]
static ROOMS: Single<Option<Rooms>> = Single::new(None);

impl Rooms {
    /// A slot of the kernel's CNode that is in use.
    fn come_back(&mut self) -> Option<CapAddr> {
        loop {
            let slot = CapAddr::new(self.back, self.at);
            if invoke::identify_raw(slot).is_ok() {
                return Some(slot);
            }
            if self.at == 0 {
                return None;
            }
            self.at = 0;
        }
    }

    /// The next that can be used: others may still be able to write to what came back since they flushed last.
    fn next(&mut self) -> Option<CapAddr> {
        let flushes = invoke::flushed(self.kernel, 0).unwrap_or_default();
        if self.full == 0 && !flushes.is_settled() && self.set_aside() {
            self.until = flushes.owed;
        }
        match self.full.checked_sub(1) {
            Some(_) if flushes.done < self.until => None,
            Some(last) => Some(CapAddr::new(self.aside, last)),
            None if !flushes.is_settled() => None,
            None => self.come_back(),
        }
    }

    /// What [`Rooms::next`] named was moved away.
    fn taken(&mut self) {
        match self.full.checked_sub(1) {
            Some(last) => self.full = last,
            None => self.at = (self.at + 1) % CNODE_SLOTS,
        }
    }

    /// Moves as much as there is room for; whether that is anything.
    fn set_aside(&mut self) -> bool {
        let before = self.full;
        while self.full < CNODE_SLOTS
            && let Some(from) = self.come_back()
        {
            let to = CapAddr::new(self.aside, self.full);
            if invoke::cnode_move(slots::ROOT_CNODE, from, to).is_err() {
                break;
            }
            self.at = (self.at + 1) % CNODE_SLOTS;
            self.full += 1;
        }
        self.full > before
    }

    /// As much as there is room for goes aside, whether it can be used or not.
    fn make_room(&mut self) -> bool {
        let made = self.set_aside();
        if made {
            self.until = invoke::flushed(self.kernel, 0).map_or(u64::MAX, |f| f.owed);
        }
        made
    }
}

/// Makes room for what comes back, so that others go on; whether anything changed by that. Only the process that
/// empties the CNode can.
pub(crate) fn make_room() -> bool {
    let made = ROOMS.try_with(|rooms| rooms.as_mut().is_some_and(Rooms::make_room));
    made.unwrap_or(false)
}

/// Whether this process empties the CNode.
pub(crate) fn is_collector() -> bool {
    ROOMS.try_with(|rooms| rooms.is_some()).unwrap_or(false)
}

/// What comes back to this OSnode.
#[derive(Debug)]
pub struct Returns(Notification);

impl Returns {
    /// From now on it comes to this process; `kernel` is a Kernel capability with every right.
    ///
    /// # Errors
    /// No memory, slot or notification is left; any of `Op::ReclaimBind`.
    pub fn open(kernel: CapAddr) -> Result<Returns, SysError> {
        let returns = Returns(Notification::new()?);
        let (back, aside) = (room()?, room()?);
        let rooms = Rooms {
            kernel,
            back,
            at: 0,
            aside,
            full: 0,
            until: 0,
        };
        ROOMS.with(|r| *r = Some(rooms));
        returns.collect(kernel)?;
        Ok(returns)
    }

    /// As [`Returns::open`], after another process had it in between.
    ///
    /// # Errors
    /// Any of `Op::ReclaimBind`.
    pub fn collect(&self, kernel: CapAddr) -> Result<(), SysError> {
        let back = ROOMS.with(|rooms| rooms.as_ref().map(|rooms| rooms.back));
        let back = back.ok_or(SysError::NoCapability)?;
        invoke::reclaim_bind(kernel, CapAddr::root(back), self.0.channel())
    }

    /// Whether nothing is left of what came back to this process.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let left = |rooms: &mut Rooms| rooms.full > 0 || rooms.come_back().is_some();
        !ROOMS.with(|rooms| rooms.as_mut().is_some_and(left))
    }

    /// Waits until something came back since the last wait.
    pub async fn wait(&self) {
        self.0.wait().await;
    }

    /// RAM that came back, if there is any (and a slot for it).
    pub fn next(&self) -> Option<Capability> {
        let next = || ROOMS.with(|rooms| rooms.as_mut().and_then(Rooms::next));
        next()?;
        // Looked at again: finding a slot may have moved it.
        let moved = cap::in_slot(|to| {
            let from = next().ok_or(SysError::NoCapability)?;
            invoke::cnode_move(slots::ROOT_CNODE, from, to)
        });
        let ram = moved.ok()?;
        ROOMS.with(|rooms| rooms.as_mut().map(Rooms::taken));
        Some(ram)
    }
}

/// An empty CNode whose slots can be addressed.
fn room() -> Result<u32, SysError> {
    let l1 = cap::alloc_root_slot()?;
    ram::make(CapType::CNode, CNODE_LOG2, CNODE_BYTES, CapAddr::root(l1))?;
    Ok(l1)
}
