//! What must hold when nothing is under way.

use std::collections::{BTreeMap, BTreeSet};

use capfmt::OsnodeId;
use monitor::agree::Object;

use crate::node::{Node, POOL, SHARE};
use crate::reference::{Page, pages, pages_of};
use crate::support::check::check_all;
use crate::system::System;

impl System {
    /// All is quiet: nobody waits, every slot and directory is right, and each page is with somebody.
    pub fn check_at_rest(&mut self) {
        for node in self.nodes.values() {
            let me = node.me;
            assert!(node.agent.is_idle(), "{me:?} never ends");
            assert!(!node.client_waits(), "a client of {me:?} waits for ever");
            assert!(node.local.leaving.is_empty() && node.local.calls.is_empty());
            check_all(&node.local.w.borrow().m);
        }
        let living = &self.reference.living;
        let open = self.reference.open.iter();
        let mut open = open.filter(|(op, o)| !o.over && living.contains(&op.origin));
        let first = open.next();
        assert!(first.is_none(), "never answered: {first:x?}");
        for id in self.ids() {
            self.compare(id);
            self.nothing_besides(id);
        }
        let slots = self.reference.slots.keys();
        let owners = slots.map(|(node, k)| ((*node, *k), self.nodes[node].owner(*k)));
        let owners: BTreeMap<(OsnodeId, u32), OsnodeId> = owners.collect();
        self.reference.owners(&owners, self.died);
        self.directories();
        self.every_page();
        self.reference.quiet();
        self.died = false;
        self.count("rests");
    }

    /// Of the pool an OSnode has what stands in its slots, and what came back.
    fn nothing_besides(&self, id: OsnodeId) {
        let node = &self.nodes[&id];
        let slots = self.reference.slots.range((id, 0)..=(id, u32::MAX));
        for ((_, k), _) in slots.clone() {
            assert!(!node.is_busy(*k), "slot {k} of {id:?} is kept for ever");
        }
        let ram = node.ram();
        assert_eq!(
            node.held().len(),
            slots.count() + ram.len(),
            "{id:?} has more"
        );
        let back = ram
            .iter()
            .flat_map(|(_, c)| pages_of(c.base.0, c.base.0 + c.size));
        let back: BTreeSet<Page> = back.collect();
        let expected = self.reference.back.iter().filter(|(_, n)| **n == id);
        assert!(
            back.iter().eq(expected.map(|(p, _)| p)),
            "what is back at {id:?}"
        );
    }

    /// Each owner knows exactly who else holds what.
    fn directories(&self) {
        let mut expected: BTreeMap<OsnodeId, BTreeSet<(Object, OsnodeId)>> = BTreeMap::new();
        for ((holder, _), slot) in &self.reference.slots {
            let thing = &self.reference.things[&slot.id];
            if thing.owner != *holder {
                let known = expected.entry(thing.owner).or_default();
                known.insert((thing.object, *holder));
            }
        }
        for node in self.nodes.values() {
            let known: BTreeSet<_> = node.agent.directory().entries().collect();
            let wanted = expected.remove(&node.me).unwrap_or_default();
            assert_eq!(known, wanted, "the directory of {:?}", node.me);
        }
    }

    /// Each page is covered by a capability, or came back; none is lost, and none is both.
    fn every_page(&self) {
        let slots = self.reference.slots.values();
        let covered = slots.flat_map(|s| pages(&self.reference.things[&s.id].object));
        let covered: BTreeSet<Page> = covered.collect();
        for page in self.pool() {
            let back = self.reference.back.contains_key(&page);
            assert!(covered.contains(&page) || back, "page {page:#x} is lost");
            assert!(!covered.contains(&page) || !back, "page {page:#x} is back");
        }
    }

    /// All pages that were shared out.
    pub fn pool(&self) -> impl Iterator<Item = Page> + use<> {
        pages_of(POOL, POOL + self.size * SHARE)
    }

    /// At the end everything is given up: what went out is back.
    pub fn check_all_back(&self) {
        for page in self.pool() {
            let back = self.reference.back.get(&page);
            assert!(back.is_some(), "page {page:#x} does not come back");
        }
        let reference = &self.reference;
        assert_eq!(reference.out, reference.returned, "pages out and back");
        assert!(
            self.nodes
                .values()
                .all(|n: &Node| n.ram().len() == n.held().len())
        );
    }
}
