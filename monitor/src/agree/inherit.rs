//! Inheritance: what an OSnode that is gone owned passes to the lowest OSnode that holds it.
//!
//! ```text
//! each survivor                              each other survivor
//!   │ hears *gone*, after the last message     │
//!   │ releases what the dead had marked        │
//!   │── Inventory (what it holds of theirs) ──▶│
//!   │◀───────────────────────────── Inventory ─│
//!   │ has all: computes the heirs              │ computes the same
//! ```
//! Nothing is voted on: all compute the same from the same lists. They are final when
//! they are sent, because every new copy of the dead's objects came from the dead, whose
//! last message was taken before, and clients' operations on them wait.
//! A second death makes all lists be sent again; they say then what was settled before.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use capfmt::OsnodeId;

use super::{Active, Kernel, Message, Nodes, Object, OpId, Output, Refusal, Rule, Rules, Turn};

/// What one OSnode holds of those that are gone.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Inventory {
    dead: Nodes,
    pub(super) held: Vec<(Object, OsnodeId)>,
    complete: bool,
}

impl<K: Kernel, R: Rules> Turn<'_, K, R> {
    /// Somebody is gone.
    pub(super) fn gone(&mut self, osnode: OsnodeId) {
        if !self.a.living.remove(&osnode) && self.rule(Rule::GoneOnce) {
            return;
        }
        self.a.dead.insert(osnode);
        self.a.taken.retain(|op| op.origin != osnode);
        if self.rule(Rule::GoneForgetsInventory) {
            self.a.inventories.remove(&osnode);
        }
        if self.rule(Rule::GoneReleases) {
            self.release_promises(osnode);
        }
        if self.rule(Rule::GoneHoldsNothing) {
            let held = self.a.directory.forget(osnode);
            for object in &held {
                self.refresh(object);
            }
            self.free_unheld(&held);
        }
        for op in self.a.active.keys().copied().collect::<Vec<_>>() {
            self.count_as_answered(op, osnode);
        }
        self.home_gone(osnode);
        self.a.inheriting = true;
        self.tell_inventory();
    }

    /// What was marked or frozen for a coordinator that is gone. What it had decided to delete goes on.
    fn release_promises(&mut self, coordinator: OsnodeId) {
        let goes_on = |p: &super::Promise| p.sweeping && self.rule(Rule::GoneLeavesSweep);
        let released = |p: &super::Promise| p.coordinator == coordinator && !goes_on(p);
        let ops: Vec<OpId> = (self.a.promises.iter())
            .filter(|(_, p)| released(p))
            .map(|(op, _)| *op)
            .collect();
        for op in ops {
            match self.a.promises.remove(&op) {
                Some(promise) if promise.frozen.is_none() => self.k.unmark(op),
                _ => {
                    self.a.released.insert(op);
                }
            }
        }
    }

    fn count_as_answered(&mut self, op: OpId, osnode: OsnodeId) {
        let rule = match self.a.active.get(&op) {
            Some(Active::Copy(_)) => Rule::GoneAnswersTaken,
            Some(Active::Revoke(_)) => Rule::GoneAnswersMarked,
            Some(Active::Transfer(t)) if t.to == osnode => Rule::GoneAnswersAdopted,
            _ => Rule::GoneAnswersFrozen,
        };
        if !self.rule(rule) {
            return;
        }
        match self.a.active.get_mut(&op) {
            Some(Active::Copy(c)) if c.to == osnode => {
                self.finish(op, Err(Refusal::Gone(osnode)));
            }
            Some(Active::Revoke(r)) => {
                r.waiting.remove(&osnode);
                self.revoke_goes_on(op);
            }
            Some(Active::Transfer(t)) if t.to == osnode => {
                self.transfer_fails(op, Refusal::Gone(osnode));
            }
            Some(Active::Transfer(t)) => {
                t.waiting.remove(&osnode);
                self.transfer_goes_on(op);
            }
            _ => {}
        }
    }

    /// Says what is held here of all that are gone, once it is final: what they had decided to delete is
    /// deleted, and of what they were to own it is known who does.
    pub(super) fn tell_inventory(&mut self) {
        let me = self.a.me;
        let lists = &self.a.inventories;
        let told = lists.get(&me).is_some_and(|i| i.dead == self.a.dead);
        let open = self.a.promises.values().any(|p| match p.frozen {
            // The old owner, who lives, knows whether the dead had adopted it.
            Some(to) => !self.a.living.contains(&to) && self.rule(Rule::GoneAwaitsThaw),
            None => {
                let decided = p.sweeping && !self.a.living.contains(&p.coordinator);
                decided && self.rule(Rule::GoneAwaitsSweep)
            }
        });
        // What is gone here, but can be used, is not held: it must not seem to be free.
        let open = open || !self.needs(Rule::GoneAwaitsFlush, self.k.is_flushed());
        let inheriting = self.needs(Rule::GoneTellsOfDead, self.a.inheriting);
        if !inheriting || told && self.rule(Rule::GoneTellsOnce) || open {
            return;
        }
        let mut listed: BTreeSet<Object> = self.k.orphans(&self.a.living).into_iter().collect();
        if self.rule(Rule::GoneTellsInherited) {
            listed.extend(&self.a.inherited);
        }
        // An heir says so even if others only still hold it.
        let decides = |o: &Object| !self.a.directory.holders(o).is_empty();
        let owned = |o: Object| {
            let owner = self.k.owner(&o).or(decides(&o).then_some(me));
            owner.map(|owner| (o, owner))
        };
        let held: Vec<(Object, OsnodeId)> = listed.into_iter().filter_map(owned).collect();
        let dead = self.a.dead.clone();
        if self.rule(Rule::GoneTellsInventory) {
            for to in self.a.living.clone() {
                if to != self.a.me {
                    self.send_inventory(to, &dead, &held);
                }
            }
        }
        let inventory = Inventory {
            dead,
            held,
            complete: true,
        };
        self.a.inventories.insert(me, inventory);
        self.settle_estate();
    }

    fn send_inventory(&mut self, to: OsnodeId, dead: &Nodes, held: &[(Object, OsnodeId)]) {
        let most = match self.rule(Rule::GoneTellsInParts) {
            true => self.a.rules.limits().inventory,
            false => usize::MAX,
        };
        let mut rest = held;
        loop {
            let (part, after) = rest.split_at(rest.len().min(most));
            rest = after;
            let message = Message::Inventory {
                dead: dead.clone(),
                held: part.to_vec(),
                more: !rest.is_empty(),
            };
            self.send(to, message);
            if rest.is_empty() {
                return;
            }
        }
    }

    /// A survivor's list, or a part of it.
    pub(super) fn inventory(
        &mut self,
        from: OsnodeId,
        dead: Nodes,
        held: Vec<(Object, OsnodeId)>,
        more: bool,
    ) {
        let fresh = || Inventory {
            dead: dead.clone(),
            held: Vec::new(),
            complete: false,
        };
        let list = self.a.inventories.entry(from).or_insert_with(fresh);
        if list.complete || list.dead != dead {
            *list = fresh();
        }
        list.held.extend(held);
        list.complete = !more || !self.a.rules.hold(Rule::GoneAwaitsParts);
        self.settle_estate();
    }

    /// Once all lists are there: everything gets its heir.
    fn settle_estate(&mut self) {
        let told = |n: &OsnodeId| {
            let list = self.a.inventories.get(n);
            let of_all = |i: &Inventory| i.dead.is_superset(&self.a.dead);
            list.is_some_and(|i| i.complete && self.needs(Rule::GoneAwaitsNewest, of_all(i)))
        };
        let all = self.a.living.iter().all(told);
        if !self.a.inheriting || !self.needs(Rule::GoneAwaitsInventories, all) {
            return;
        }
        self.a.inheriting = false;
        self.a.released.clear();
        let lists: BTreeMap<OsnodeId, Vec<(Object, OsnodeId)>> = (self.a.inventories.iter())
            .map(|(n, i)| (*n, i.held.clone()))
            .collect();
        let dead = self.a.dead.clone();
        let newer = self.rule(Rule::GoneKeepsNewer);
        self.a
            .inventories
            .retain(|_, i| newer && i.dead.len() > dead.len());
        let all: BTreeSet<Object> = lists.values().flatten().map(|(o, _)| *o).collect();
        let is_root = |o: &&Object| !all.iter().any(|a| o.descends_from(a));
        for root in all.iter().filter(is_root) {
            self.inherit(root, &lists);
        }
        let lowest = self.a.living.first() == Some(&self.a.me);
        if self.needs(Rule::GoneLeavesOnce, lowest) && self.rule(Rule::GoneLeavesEstate) {
            let held = all.into_iter().collect();
            self.out.push(Output::Estate { dead, held });
        }
        // What nobody listed is nobody's.
        let living = &self.a.living;
        self.a.books.retain(|_, owner| living.contains(owner));
        self.a.lost.retain(|_, owner| living.contains(owner));
        if self.rule(Rule::GoneAsksAgain) {
            for mine in self.a.mine.values_mut() {
                mine.asked = mine.asked.filter(|o| self.a.living.contains(o));
            }
        }
    }

    /// The lowest holder of a root owns its family, unless it was settled before, with somebody who has gone since.
    fn inherit(&mut self, root: &Object, lists: &BTreeMap<OsnodeId, Vec<(Object, OsnodeId)>>) {
        let me = self.a.me;
        let mut family = lists.values().flatten().filter(|(o, _)| o.is_within(root));
        let settled = family.find(|(_, owner)| self.a.living.contains(owner));
        let settled = settled.filter(|_| self.rule(Rule::GoneKeepsSettled));
        let mut holders = lists
            .iter()
            .filter(|(_, held)| held.iter().any(|(o, _)| o == root));
        let lowest = holders.next().map_or(me, |(n, _)| *n);
        let mut heir = settled.map_or(lowest, |(_, owner)| *owner);
        if !self.rule(Rule::GoneInherits) {
            heir = me;
        }
        // A list may be older than the word of somebody who adopted the family from the dead; that word came
        // before the list of who sent it.
        let dead = |o: &OsnodeId| !self.a.living.contains(o);
        let booked = self.a.books.get(root).or(self.a.lost.get(root));
        let held = self.k.owner(root).or(booked.copied());
        let orphan = held.is_some_and(|o| dead(&o));
        let books = self.a.books.iter_mut().chain(&mut self.a.lost);
        let keeps = self.a.rules.hold(Rule::GoneKeepsAdopted);
        let passes = |o: &OsnodeId| !self.a.living.contains(o) || !keeps;
        for (_, owner) in books.filter(|(o, owner)| o.is_within(root) && passes(owner)) {
            *owner = heir;
        }
        for (held, owner) in self.k.overlapping(root) {
            if held.is_within(root) && passes(&owner) {
                self.k.set_owner(&held, heir);
                self.a.inherited.insert(held);
            }
        }
        if heir != me || !orphan && self.rule(Rule::GoneLeavesAdopted) {
            return;
        }
        self.out.push(Output::Inherited { object: *root });
        self.bequeathed(root);
        if self.rule(Rule::GoneRecordsHolders) {
            let all = !self.rule(Rule::GoneKnowsOwn);
            for (n, held) in lists.iter().filter(|(n, _)| all || **n != me) {
                for (object, _) in held.iter().filter(|(o, _)| o.is_within(root)) {
                    self.a.directory.add(*object, *n);
                    if self.rule(Rule::GoneTellsLeft) {
                        self.a.inherited.insert(*object);
                    }
                }
            }
        }
        self.refresh(root);
    }
}
