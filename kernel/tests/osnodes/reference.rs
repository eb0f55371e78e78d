//! The reference: every capability of every OSnode, slow and obvious.
//!
//! A *thing* is an object that was made once: its bytes and type, what it was made from, who owns it. If its bytes
//! come back and the same is made of them again, that is another thing. A *slot* names a thing. The reference is told
//! each call and each change, says whether it was right, and what must stand in every slot afterwards.

use std::collections::{BTreeMap, BTreeSet};

use capfmt::{OsnodeId, Rights};
use monitor::agree::{Object, OpId, Refusal, Request};

/// Names a thing for ever.
pub type Id = u64;
/// A page of the pool, by number.
pub type Page = u64;

/// An object that was made once.
#[derive(Clone, Debug)]
pub struct Thing {
    pub object: Object,
    pub parent: Option<Id>,
    pub owner: OsnodeId,
    /// It was revoked, or its bytes are used otherwise: no copy of it may appear any more.
    pub gone: bool,
}

/// A capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    pub id: Id,
    pub rights: Rights,
    /// The step in which it came here.
    pub since: u64,
}

/// An operation that was asked for.
#[derive(Clone, Debug)]
pub struct Open {
    pub node: OsnodeId,
    pub request: Request,
    /// What it is about.
    pub id: Id,
    /// The slot of the client that it names, or the one that leaves.
    pub slot: Option<u32>,
    /// Where a retype puts what it makes.
    pub to: Option<u32>,
    /// The asking OSnode held the thing no more at some time since.
    pub lapsed: bool,
    /// Something stood where a retype was to make something.
    pub clash: bool,
    /// What it is about had an ancestor at some time since.
    pub derived: bool,
    /// Copies that arrived by it, things that it made.
    pub came: u32,
    /// The receiver, or the origin, had no place.
    pub full: bool,
    /// A revoke is complete.
    pub revoked: bool,
    /// Its client is gone or was answered.
    pub over: bool,
}

/// All capabilities.
#[derive(Default)]
pub struct Reference {
    pub now: u64,
    pub living: BTreeSet<OsnodeId>,
    pub things: BTreeMap<Id, Thing>,
    pub slots: BTreeMap<(OsnodeId, u32), Slot>,
    pub open: BTreeMap<OpId, Open>,
    /// Pages that are back, and with whom.
    pub back: BTreeMap<Page, OsnodeId>,
    /// How often each page came back.
    pub generation: BTreeMap<Page, u64>,
    /// Pages that went out to programs, and that came back.
    pub out: u64,
    pub returned: u64,
    /// Whose owner may have changed since all was quiet: what, to whom.
    pub moving: Vec<(Object, OsnodeId)>,
    /// Places that retypes wanted since all was quiet.
    wanted: Vec<(OpId, Object)>,
    next: Id,
}

/// Pages of some bytes.
pub fn pages_of(base: u64, end: u64) -> impl Iterator<Item = Page> {
    base >> 12..(end + 0xfff) >> 12
}

/// Pages of an object.
pub fn pages(object: &Object) -> impl Iterator<Item = Page> {
    pages_of(object.base(), object.end())
}

impl Reference {
    /// A new thing; the operations that it is in the way of notice it.
    pub fn make(&mut self, object: Object, parent: Option<Id>, owner: OsnodeId) -> Id {
        self.next += 1;
        let id = self.next;
        let above = parent.map_or(Vec::new(), |p| self.line(p));
        for (other, t) in &mut self.things {
            if t.object.overlaps(&object) && !above.contains(other) {
                t.gone = true;
            }
        }
        let thing = Thing {
            object,
            parent,
            owner,
            gone: false,
        };
        self.things.insert(id, thing);
        self.note_clashes();
        id
    }

    /// A thing and what it was made from.
    pub fn line(&self, id: Id) -> Vec<Id> {
        let parent = |id: &Id| self.things.get(id).and_then(|t| t.parent);
        std::iter::successors(Some(id), parent).collect()
    }

    /// Whether `id` is `root` or made from it.
    pub fn is_under(&self, id: Id, root: Id) -> bool {
        self.line(id).contains(&root)
    }

    /// Whether anybody has a capability to it.
    pub fn is_held(&self, id: Id) -> bool {
        self.slots.values().any(|s| s.id == id)
    }

    /// Whether an OSnode has one.
    pub fn holds(&self, node: OsnodeId, id: Id) -> bool {
        let of = self.slots.range((node, 0)..=(node, u32::MAX));
        of.into_iter().any(|(_, s)| s.id == id)
    }

    /// What an OSnode holds that has this name.
    pub fn held_as(&self, node: OsnodeId, object: &Object) -> Option<Id> {
        let mut of = self.slots.range((node, 0)..=(node, u32::MAX));
        of.find(|(_, s)| self.things[&s.id].object == *object)
            .map(|(_, s)| s.id)
    }

    /// A slot is filled.
    pub fn put(&mut self, node: OsnodeId, k: u32, id: Id, rights: Rights) {
        let slot = Slot {
            id,
            rights,
            since: self.now,
        };
        let old = self.slots.insert((node, k), slot);
        assert!(old.is_none(), "slot {k} of {node:?} had {old:?}");
    }

    /// A slot is emptied; operations that ask for the last one's thing may be refused from now on.
    pub fn take(&mut self, node: OsnodeId, k: u32) -> Option<Slot> {
        let slot = self.slots.remove(&(node, k))?;
        if !self.holds(node, slot.id) {
            let of = |o: &&mut Open| o.node == node && o.id == slot.id;
            self.open
                .values_mut()
                .filter(of)
                .for_each(|o| o.lapsed = true);
        }
        Some(slot)
    }

    /// Slots with `root` or what was made from it.
    pub fn family(&self, root: Id) -> Vec<((OsnodeId, u32), Slot)> {
        let all = self.slots.iter();
        all.filter(|(_, s)| self.is_under(s.id, root))
            .map(|(k, s)| (*k, *s))
            .collect()
    }

    /// What stands, or stood since all was quiet, where `object` would be made from `source`.
    pub fn in_the_way(&self, source: Id, object: &Object) -> Vec<Id> {
        let line = self.line(source);
        let all = self
            .things
            .iter()
            .filter(|(_, t)| t.object.overlaps(object));
        all.map(|(id, _)| *id)
            .filter(|id| !line.contains(id))
            .collect()
    }

    /// An operation is asked for.
    pub fn ask(&mut self, op: OpId, open: Open) {
        if let Request::Retype { child, .. } = open.request {
            self.wanted.push((op, child));
        }
        if let Request::Move { object, to, .. } | Request::Transfer { object, to } = open.request {
            self.moving.push((object, to));
        }
        self.open.insert(op, open);
        self.note_clashes();
    }

    /// Notes of all open operations why they may be refused.
    fn note_clashes(&mut self) {
        let mut noted = Vec::new();
        for (op, open) in &self.open {
            let (mut clash, mut derived) = (open.clash, open.derived);
            match open.request {
                Request::Retype { child, .. } if !clash => {
                    let mut others = self.wanted.iter().filter(|(o, _)| o != op);
                    clash = others.any(|(_, o)| o.overlaps(&child))
                        || !self.in_the_way(open.id, &child).is_empty();
                }
                Request::Transfer { .. } => derived |= self.line(open.id).len() > 1,
                _ => {}
            }
            noted.push((*op, clash, derived));
        }
        for (op, clash, derived) in noted {
            let open = self.open.get_mut(&op).expect("it is open");
            (open.clash, open.derived) = (clash, derived);
        }
    }

    /// What covers a page.
    pub fn cover(&self, page: Page) -> Option<(&(OsnodeId, u32), &Slot)> {
        let on = |s: &Slot| pages(&self.things[&s.id].object).any(|p| p == page);
        self.slots.iter().find(|(_, s)| on(s))
    }

    /// A page is back at an OSnode: nobody has anything of it, and nothing of what was there comes again.
    pub fn came_back(&mut self, node: OsnodeId, page: Page) {
        let cover = self.cover(page);
        assert!(
            cover.is_none(),
            "page {page:#x} came back to {node:?} and is held: {cover:x?}"
        );
        let twice = self.back.insert(page, node);
        assert_eq!(twice, None, "page {page:#x} came back twice, to {node:?}");
        for t in self.things.values_mut() {
            t.gone |= pages(&t.object).any(|p| p == page);
        }
        *self.generation.entry(page).or_default() += 1;
        self.returned += 1;
    }

    /// A page goes out again.
    pub fn goes_out(&mut self, node: OsnodeId, page: Page) {
        let was = self.back.remove(&page);
        assert_eq!(was, Some(node), "page {page:#x} was not there to go out");
        self.out += 1;
    }

    /// Nothing is under way: what nobody has is no more.
    pub fn quiet(&mut self) {
        let held: BTreeSet<Id> = self.slots.values().map(|s| s.id).collect();
        // What something held was made from still says what belongs together.
        let kept: BTreeSet<Id> = held.iter().flat_map(|id| self.line(*id)).collect();
        self.things.retain(|id, _| kept.contains(id));
        let left: Vec<Id> = kept.difference(&held).copied().collect();
        for id in left {
            self.skip(id);
        }
        self.open.clear();
        self.wanted.clear();
        self.moving.clear();
    }

    /// Forgets a thing that nobody has: what was made from it belongs to what it was made from.
    fn skip(&mut self, id: Id) {
        let thing = self.things.remove(&id);
        let parent = thing.and_then(|t| t.parent);
        let below = self.things.values_mut().filter(|t| t.parent == Some(id));
        below.for_each(|t| t.parent = parent);
    }

    /// Whether a revoke, or something that locks, may be under way on what stands in a slot.
    pub fn may_be_busy(&self, id: Id) -> bool {
        let locks = |o: &Open| {
            let locks = !matches!(o.request, Request::Copy { .. } | Request::Retype { .. });
            locks && (self.is_under(id, o.id) || self.is_under(o.id, id))
        };
        self.open.values().any(locks)
    }

    /// Whether this refusal is right.
    pub fn may_refuse(&self, open: &Open, refusal: Refusal) -> bool {
        match (refusal, &open.request) {
            (Refusal::NoSuch, _) => open.lapsed,
            (Refusal::Overlaps, Request::Retype { .. }) => open.clash,
            (Refusal::NoSpace, _) => open.full,
            (Refusal::NotRoot, Request::Transfer { .. }) => open.derived,
            (Refusal::NotOwner, Request::Transfer { .. }) => self.may_be_owned_elsewhere(open),
            (
                Refusal::Gone(to),
                Request::Copy { to: t, .. }
                | Request::Move { to: t, .. }
                | Request::Transfer { to: t, .. },
            ) => *t == to && !self.living.contains(&to),
            _ => false,
        }
    }

    /// Whether another OSnode than the asking one may own what an operation is about.
    fn may_be_owned_elsewhere(&self, open: &Open) -> bool {
        let Some(thing) = self.things.get(&open.id) else {
            return true;
        };
        let moves = self.moving.iter().filter(|(_, to)| *to != open.node);
        let mut moved = moves.filter(|(o, _)| o.overlaps(&thing.object));
        thing.owner != open.node || moved.next().is_some()
    }
}
