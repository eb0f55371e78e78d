//! *Core set changed*, with where the cores are: what a program needs to place its work anew.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::{Member, Seat, change_count, changed, seats};
use crate::skb::Knowledge;

/// Where a core is in the machine, and how fast it is, as far as that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Topology {
    /// The core.
    pub core: u32,
    /// NUMA node.
    pub node: Option<u32>,
    /// Package.
    pub package: Option<u32>,
    /// Capacity: 1024 for the fastest cores.
    pub capacity: Option<u32>,
}

impl Topology {
    /// What the knowledge base knows of a core; only its number if it does not answer.
    pub async fn of(knowledge: &Knowledge, core: u32) -> Topology {
        let ask = async |what: &str| {
            let rows = knowledge.ask(&format!("{what}({core}, X)")).await.ok()?;
            rows.first()?.last()?.parse().ok()
        };
        Topology {
            core,
            node: ask("core_node").await,
            package: ask("package").await,
            capacity: ask("capacity").await,
        }
    }
}

/// One dispatcher is on another core than before, or is new.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// Where it is now.
    pub seat: Seat,
    /// The core that it was on; `None`: it is new.
    pub before: Option<u32>,
    /// What is known of the core that it is on.
    pub place: Topology,
}

/// The cores of this process, watched.
pub struct CoreSet {
    knowledge: Option<Knowledge>,
    seen: u64,
    cores: BTreeMap<Member, u32>,
}

impl CoreSet {
    /// From now on; without a knowledge base the cores' numbers are all that is known of them.
    #[must_use]
    pub fn new(knowledge: Option<Knowledge>) -> CoreSet {
        let seen = change_count();
        CoreSet {
            knowledge,
            seen,
            cores: seats().iter().map(|s| (s.member, s.core)).collect(),
        }
    }

    /// Waits for the next *core set changed*: the dispatchers that are elsewhere since.
    pub async fn changed(&mut self) -> Vec<Change> {
        loop {
            self.seen = changed(self.seen).await;
            let moved = self.look();
            if !moved.is_empty() {
                return self.describe(moved).await;
            }
        }
    }

    /// Whose seats are not where they were.
    fn look(&mut self) -> Vec<(Seat, Option<u32>)> {
        let now = seats();
        let before = core::mem::take(&mut self.cores);
        self.cores = now.iter().map(|s| (s.member, s.core)).collect();
        let moved = now.into_iter().map(|s| (s, before.get(&s.member).copied()));
        moved.filter(|(s, b)| *b != Some(s.core)).collect()
    }

    async fn describe(&self, moved: Vec<(Seat, Option<u32>)>) -> Vec<Change> {
        let mut changes = Vec::new();
        for (seat, before) in moved {
            let place = match &self.knowledge {
                Some(k) => Topology::of(k, seat.core).await,
                None => Topology {
                    core: seat.core,
                    ..Topology::default()
                },
            };
            changes.push(Change {
                seat,
                before,
                place,
            });
        }
        changes
    }
}
