//! Deaths, and what becomes of the memory of the dead: heirs pass it on to home, which takes the rest over.

use std::collections::{BTreeSet, VecDeque};

use capfmt::{Cap, CapType, OsnodeId, PhysAddr};
use model::Rng;
use monitor::agree::{Input, Kernel, Object, Request};

use crate::node::{Node, POOL, SHARE};
use crate::reference::{Id, Page, pages};
use crate::system::{HOME, System};

/// Memory that was a dead OSnode's.
pub struct Estate {
    pub dead: OsnodeId,
    pub pages: BTreeSet<Page>,
    /// Those whose owner was about to change: another OSnode may have them.
    pub unsure: BTreeSet<Page>,
}

/// RAM over some pages.
fn ram(first: Page, count: u64) -> Object {
    Object::of(&Cap::region(
        CapType::Ram,
        PhysAddr(first << 12),
        count << 12,
    ))
}

/// RAM over each stretch of pages.
fn ranges(pages: &BTreeSet<Page>) -> Vec<Object> {
    let mut pages = pages.clone();
    let mut all = Vec::new();
    while let Some(first) = pages.pop_first() {
        let mut count = 1;
        while pages.remove(&(first + count)) {
            count += 1;
        }
        all.push(ram(first, count));
    }
    all
}

/// Whether an OSnode decides about anything in a page.
fn accounts_for(node: &Node, page: Page) -> bool {
    let page = ram(page, 1);
    let own = node.local.overlapping(&page);
    node.agent.accounts_for(&page) || own.iter().any(|(_, owner)| *owner == node.me)
}

impl System {
    /// The OSnode is fenced: its last messages are taken, then all hear of it.
    pub fn die(&mut self, id: OsnodeId) {
        for other in self.ids() {
            let last = |s: &mut System| {
                let channel = s.channels.get_mut(&(id, other));
                channel.and_then(VecDeque::pop_front)
            };
            while let Some(message) = last(self) {
                self.tell(other, Input::Message { from: id, message });
            }
        }
        let estate = self.estate_of(id);
        self.trace(|| format!("{id:?} dies: {:x?} {:x?}", estate.pages, estate.unsure));
        let awaited = ranges(&estate.pages);
        self.estates.push(estate);
        self.nodes.remove(&id);
        self.channels
            .retain(|(from, to), _| *from != id && *to != id);
        self.reference.living.remove(&id);
        let held = self.reference.slots.range((id, 0)..=(id, u32::MAX));
        for k in held.map(|((_, k), _)| *k).collect::<Vec<_>>() {
            self.reference.take(id, k);
        }
        let back = self.reference.back.iter().filter(|(_, n)| **n == id);
        for page in back.map(|(p, _)| *p).collect::<Vec<_>>() {
            self.reference.goes_out(id, page);
        }
        self.died = true;
        for other in self.ids() {
            // As monitors do it (`custody.rs`).
            if other != HOME {
                self.node(other).agent.pass_on_to(HOME);
            }
            self.tell(other, Input::Gone(id));
        }
        for memory in awaited {
            self.run(HOME, |node| {
                node.agent.await_estate(0, memory, &mut node.local)
            });
        }
        self.count("deaths");
    }

    /// What the dead accounted for, as the reference has it.
    fn estate_of(&self, dead: OsnodeId) -> Estate {
        let mut estate = Estate {
            dead,
            pages: BTreeSet::new(),
            unsure: BTreeSet::new(),
        };
        let pool = POOL >> 12..(POOL + 4 * SHARE) >> 12;
        for page in pool {
            if self.estates.iter().any(|e| e.pages.contains(&page)) {
                continue;
            }
            let on = |o: &Object| pages(o).any(|p| p == page);
            let moved = self.reference.moving.iter().any(|(o, _)| on(o));
            let things = self.reference.things.values().filter(|t| on(&t.object));
            let owned = things.filter(|t| !t.gone).any(|t| t.owner == dead);
            let back = self.reference.back.get(&page);
            if moved && back.is_none() {
                estate.unsure.insert(page);
            } else if back == Some(&dead) || back.is_none() && owned {
                estate.pages.insert(page);
            }
        }
        estate
    }

    /// What an heir passes on has no capability there, perhaps: whatever has the name.
    pub fn bequeathed(&self, object: &Object) -> Option<Id> {
        let things = self.reference.things.iter();
        let mut named = things.filter(|(_, t)| t.object == *object && !t.gone);
        named.next_back().map(|(id, _)| *id)
    }

    /// Heirs elsewhere than at home pass on what they inherited.
    pub fn pass_on(&mut self) {
        for id in self.ids() {
            let node = self.node(id);
            let bequests: Vec<Object> = node.agent.bequests().copied().collect();
            assert!(bequests.is_empty() || id != HOME);
            for object in bequests {
                let request = Request::Transfer { object, to: HOME };
                let mut open = self.reference.open.values();
                if open.any(|o| o.node == id && o.request == request && !o.over) {
                    continue;
                }
                let op = self.node(id).next_op();
                self.count("passed on");
                self.ask(id, op, request, None, None);
            }
        }
    }

    /// Home takes over what nobody else accounts for any more.
    pub fn take_over(&mut self) {
        if self.nodes.values().any(|n| n.agent.is_inheriting()) {
            return;
        }
        let others = |id: &&OsnodeId| **id != HOME;
        let ids = self.ids();
        let estates = std::mem::take(&mut self.estates);
        for mut estate in estates {
            let claimed = |page: &Page| {
                let mut others = ids.iter().filter(others);
                others.any(|id| accounts_for(&self.nodes[id], *page))
            };
            let bequests = self
                .nodes
                .values()
                .any(|n| n.agent.bequests().next().is_some());
            if bequests || estate.pages.iter().any(claimed) {
                self.estates.push(estate);
                continue;
            }
            // Somebody got these before the death.
            estate.unsure.retain(|page| !claimed(page));
            estate.pages.append(&mut estate.unsure);
            estate
                .pages
                .retain(|page| !self.reference.back.contains_key(page));
            self.count("estates");
            for memory in ranges(&estate.pages) {
                self.run(HOME, |node| node.agent.reclaim(0, memory, &mut node.local));
            }
        }
    }

    /// A page is back with an OSnode: memory of the dead with home only.
    pub fn note_back(&mut self, id: OsnodeId, page: Page) {
        for estate in &mut self.estates {
            let was = estate.pages.remove(&page);
            let dead = estate.dead;
            assert!(
                !was || id == HOME,
                "page {page:#x} of {dead:?} came back to {id:?}"
            );
            estate.unsure.remove(&page);
        }
    }

    /// Lets everything come to its end.
    pub fn rest(&mut self, r: &mut Rng) {
        for node in self.nodes.values_mut() {
            node.kept = false;
        }
        for _ in 0..50 {
            self.deliver_all(r);
            if self.estates.is_empty() {
                return self.check_at_rest();
            }
            self.pass_on();
            self.deliver_all(r);
            self.take_over();
        }
        self.never_taken_over();
    }

    fn never_taken_over(&self) {
        let left = self.estates.iter().map(|e| (e.dead, &e.pages));
        let left: Vec<_> = left.collect();
        let claims = |n: &Node| {
            let bequests: Vec<_> = n.agent.bequests().collect();
            let claimed = left.iter().flat_map(|(_, p)| p.iter());
            let claimed: Vec<_> = claimed.filter(|p| accounts_for(n, **p)).collect();
            format!("{:?}: {bequests:x?}, {claimed:x?}\n", n.me)
        };
        let claims: String = self.nodes.values().map(claims).collect();
        panic!("memory of the dead is never taken over: {left:x?}\n{claims}");
    }
}
