//! OSnodes that a monitor knows, and the cores that they run on.

use alloc::collections::BTreeMap;

use proto::iface::system::{ELSEWHERE, NOWHERE};

use crate::agree::membership::Status;

/// The table.
#[derive(Clone, Debug, Default)]
pub struct OsnodeTable {
    cores: BTreeMap<u64, u32>,
}

impl OsnodeTable {
    /// With one OSnode.
    #[must_use]
    pub fn new(own: u64, core: u32) -> OsnodeTable {
        OsnodeTable {
            cores: BTreeMap::from([(own, core)]),
        }
    }
    /// Enters where an OSnode runs ([`NOWHERE`] = detached).
    pub fn locate(&mut self, osnode: u64, core: u32) {
        self.cores.insert(osnode, core);
    }
    /// Enters what the membership view says of an OSnode. Where it is, if that is known, stays as long as it is there.
    pub fn told(&mut self, osnode: u64, status: Status) {
        let core = self.cores.entry(osnode).or_insert(NOWHERE);
        match status {
            // Who makes it, knows where.
            Status::Joining => {}
            Status::Running if *core == NOWHERE => *core = ELSEWHERE,
            Status::Running => {}
            Status::Stopped(_) | Status::Moving(_) | Status::Gone => *core = NOWHERE,
        }
    }
    /// Forgets an OSnode that never ran.
    pub fn remove(&mut self, osnode: u64) {
        self.cores.remove(&osnode);
    }
    /// The first with an id above this one, and its core.
    #[must_use]
    pub fn next(&self, osnode: u64) -> Option<(u64, u32)> {
        let above = osnode.checked_add(1)?;
        self.cores.range(above..).next().map(|(o, c)| (*o, *c))
    }
    /// The one on a core.
    #[must_use]
    pub fn on_core(&self, core: u32) -> Option<u64> {
        let on = |(_, c): &(&u64, &u32)| **c == core && core < ELSEWHERE;
        self.cores.iter().find(on).map(|(o, _)| *o)
    }
    /// Whether an OSnode is known.
    #[must_use]
    pub fn knows(&self, osnode: u64) -> bool {
        self.cores.contains_key(&osnode)
    }
}
