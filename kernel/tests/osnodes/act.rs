//! What clients and the machine room do at random.

use abi::{Op, slots};
use capfmt::{Cap, CapType, OsnodeId, PhysAddr, Rights};
use model::Rng;
use monitor::agree::{Gift, Object, Request};

use crate::judge::Making;
use crate::node::{ALL_SLOTS, SLOTS, delete, put, shelf};
use crate::system::System;

impl System {
    /// Something that a client or the machine room does. A capability operation, if a client does it.
    pub fn act(&mut self, r: &mut Rng) {
        let ids = self.ids();
        let id = *r.pick(&ids);
        let to = *r.pick(&ids);
        let what = r.below(24);
        let node = self.node(id);
        if what == 23 {
            node.update();
            return self.count("updates");
        }
        if node.kept || what == 22 {
            // Its machine goes on anyway, its programs do not.
            node.kept = !node.kept && what == 22 && r.one_in(4);
            return self.count("stops and starts");
        }
        let used: Vec<u32> = (self.reference.slots.range((id, 0)..(id, SLOTS)))
            .map(|((_, k), _)| *k)
            .collect();
        if what >= 20 || used.is_empty() {
            return self.allocate(id, r);
        }
        let k = *r.pick(&used);
        match what {
            0..4 => self.delete(id, k),
            4..6 => self.copy_here(id, k),
            6..11 => self.retype(id, k, r),
            11..13 => self.revoke(id, k),
            13..19 if to != id => self.ask_for(id, to, k, r),
            _ => {}
        }
        self.look(id);
    }

    pub fn delete(&mut self, id: OsnodeId, k: u32) {
        let code = delete(self.node(id), k);
        self.trace(|| format!("{id:?} deletes slot {k}: {code}"));
        self.reference.deleted(id, k, code);
        self.count(match code {
            0 => "deletes",
            _ => "deletes refused",
        });
    }

    fn copy_here(&mut self, id: OsnodeId, k: u32) {
        let node = self.node(id);
        let Some(to) = node.free(0, SLOTS) else {
            return;
        };
        match put(node, Op::Copy, k, to) {
            true => {
                self.trace(|| format!("{id:?} copies slot {k} to {to}"));
                self.reference.copied(id, k, to);
            }
            false => self.is_busy(id, k),
        }
    }

    /// A monitor keeps a slot only for an operation.
    fn is_busy(&self, id: OsnodeId, k: u32) {
        let slot = self.reference.slot(id, k);
        assert!(
            self.reference.may_be_busy(slot.id),
            "slot {k} of {id:?} is kept"
        );
    }

    /// Makes something of a slot's bytes, now and then more than it has.
    fn retype(&mut self, id: OsnodeId, k: u32, r: &mut Rng) {
        let source = self.node(id).cap(k);
        let pages = source.size >> 12;
        let ram = source.kind == CapType::Ram && r.one_in(2);
        let kind = if ram { CapType::Ram } else { CapType::Frame };
        let count = (1 << r.below(3)).min(pages);
        let first = match r.one_in(16) {
            true => r.below(8),
            false => r.below(pages - count + 1),
        };
        let (offset, size) = (first << 12, count << 12);
        let child = Object::of(&Cap::region(kind, PhysAddr(source.base.0 + offset), size));
        let node = self.node(id);
        let Some(to) = node.free(0, SLOTS) else {
            return;
        };
        if node.client_waits() || child == Object::of(&source) {
            return;
        }
        let call = Making { from: k, to, child };
        node.making = Some(call);
        let root = u64::from(slots::ROOT_CNODE.0);
        let args = [offset, kind as u64, size, 1, root, u64::from(shelf(to).0)];
        if let Some(code) = node.client_calls(Op::Retype, shelf(k), &args) {
            self.trace(|| format!("{id:?} makes {call:x?}: {code}"));
            self.reference.retyped(id, call, code);
            self.count("retypes alone");
        }
    }

    fn revoke(&mut self, id: OsnodeId, k: u32) {
        let node = self.node(id);
        if node.client_waits() {
            return;
        }
        node.revoking = Some(k);
        let args = [u64::from(shelf(k).0)];
        if let Some(code) = node.client_calls(Op::Revoke, slots::ROOT_CNODE, &args) {
            self.trace(|| format!("{id:?} revokes slot {k}: {code}"));
            self.reference.revoked_alone(id, k, code);
            self.count("revokes alone");
        }
    }

    /// Copies, moves, or transfers to another OSnode.
    fn ask_for(&mut self, id: OsnodeId, to: OsnodeId, k: u32, r: &mut Rng) {
        let cap = self.node(id).cap(k);
        let object = Object::of(&cap);
        let fewer = Rights(cap.rights.0 & Rights::SHARED.0);
        let rights = if r.one_in(4) { fewer } else { cap.rights };
        let gift = Gift { rights, channel: 0 };
        match r.below(5) {
            0..2 => {
                let op = self.node(id).next_op();
                self.count("copies");
                self.ask(id, op, Request::Copy { object, to, gift }, None, None);
            }
            2..4 => {
                let node = self.node(id);
                let Some(slot) = node.free(SLOTS, ALL_SLOTS - 1) else {
                    return;
                };
                if !put(node, Op::Move, k, slot) {
                    return self.is_busy(id, k);
                }
                let op = node.next_op();
                node.local.leaving.insert(op, slot);
                self.reference.moved(id, k, slot);
                self.count("moves");
                let request = Request::Move { object, to, gift };
                self.ask(id, op, request, Some(slot), None);
            }
            _ => {
                let op = self.node(id).next_op();
                self.count("transfers");
                self.ask(id, op, Request::Transfer { object, to }, None, None);
            }
        }
    }

    /// The memory server joins what came back, and gives a piece out.
    fn allocate(&mut self, id: OsnodeId, r: &mut Rng) {
        let node = self.node(id);
        let ram = node.ram();
        for (a, x) in &ram {
            let next = ram.iter().find(|(_, y)| y.base.0 == x.base.0 + x.size);
            if let Some((b, _)) = next
                && node.merge(*a, *b)
            {
                break;
            }
        }
        let ram = node.ram();
        let (Some(to), false) = (node.free(0, SLOTS), ram.is_empty()) else {
            return;
        };
        let (k, cap) = *r.pick(&ram);
        node.goes_out(k, to);
        let object = Object::of(&cap);
        self.trace(|| format!("{id:?} allocates {object:x?} to slot {to}"));
        for page in crate::reference::pages(&object) {
            self.reference.goes_out(id, page);
        }
        let thing = self.reference.make(object, None, id);
        self.reference.put(id, to, thing, cap.rights);
        self.count("allocations");
    }
}
