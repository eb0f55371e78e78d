//! How OSnodes agree about capabilities that more than one of them holds.
//!
//! An [`Agent`] is the pure state machine of one OSnode: it is told something
//! ([`Input`]), changes capabilities of its own OSnode ([`Kernel`]) and says what to
//! send and answer ([`Output`]). The monitor runs it, also on its caretaker's core while
//! the OSnode is stopped; unit tests and the model checker run the same type.
//! Each protocol is a file: `copy`, `delete`, `retype`, `revoke`, `transfer`,
//! `inherit`; `bind`, `connect`, `unmap` and `membership` are machines of their own. `queue` says how an
//! operation finds its owner and when it waits. Here: what they have in common.
//! `docs/book/distributed-capabilities.md` has the diagrams and the arguments.

pub mod bind;
pub mod codec;
pub mod connect;
mod copy;
mod delete;
mod directory;
mod estate;
mod inherit;
mod kernel;
pub mod membership;
mod message;
mod object;
mod queue;
mod retype;
mod revoke;
mod rules;
mod transfer;
pub mod unmap;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use capfmt::OsnodeId;

pub use directory::Directory;
pub use kernel::{Kernel, Remote};
pub use message::{Gift, Input, Message, Nodes, OpId, Outcome, Output, Refusal, Request};
pub use object::Object;
pub use rules::{Limits, Rule, Rules, Shipped};

use inherit::Inventory;
use queue::{Ask, Mine};

/// An operation that this OSnode coordinates.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Active {
    Copy(copy::Copying),
    Revoke(revoke::Revoking),
    Transfer(transfer::Transferring),
}

impl Active {
    fn object(&self) -> &Object {
        match self {
            Active::Copy(c) => &c.object,
            Active::Revoke(r) => &r.object,
            Active::Transfer(t) => &t.object,
        }
    }
}

/// What this OSnode promised to a coordinator.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Promise {
    coordinator: OsnodeId,
    object: Object,
    /// It is frozen, for this new owner; otherwise it is marked.
    frozen: Option<OsnodeId>,
    /// The coordinator has decided to delete.
    sweeping: bool,
    /// The object itself stays here.
    keep: bool,
}

/// The agreement machine of one OSnode.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Agent<R = Shipped> {
    me: OsnodeId,
    rules: R,
    /// Who lives, this OSnode among them.
    living: Nodes,
    dead: Nodes,
    directory: Directory,
    /// What is held here and others have to do with, with its owner.
    books: BTreeMap<Object, OsnodeId>,
    /// What was held, is gone, and of which nobody was told yet.
    lost: BTreeMap<Object, OsnodeId>,
    mine: BTreeMap<OpId, Mine>,
    queue: Vec<Ask>,
    active: BTreeMap<OpId, Active>,
    promises: BTreeMap<OpId, Promise>,
    /// Freezes that ended with their coordinator's death.
    released: BTreeSet<OpId>,
    /// Operations whose copy was taken here.
    taken: BTreeSet<OpId>,
    /// An inheritance is being settled.
    inheriting: bool,
    inventories: BTreeMap<OsnodeId, Inventory>,
    /// Objects held here, or owned from here, that got their owner by inheritance. Others may not know yet.
    inherited: BTreeSet<Object>,
    /// Who accounts for the memory of OSnodes that are gone, if not whoever inherits what is held of it.
    home: Option<OsnodeId>,
    /// Roots of families that this OSnode inherited and has not passed on yet.
    bequests: BTreeSet<Object>,
    /// Memory of OSnodes that are gone, of which this one will account for what is held nowhere else.
    awaited: Vec<Object>,
}

/// One step of a machine.
struct Turn<'a, K, R> {
    a: &'a mut Agent<R>,
    k: &'a mut K,
    out: Vec<Output>,
    now: u64,
}

impl<R: Rules> Agent<R> {
    /// The machine of `me`, which knows the other living OSnodes and holds nothing of theirs.
    #[must_use]
    pub fn new(me: OsnodeId, others: &[OsnodeId], rules: R) -> Agent<R> {
        let mut living: Nodes = others.iter().copied().collect();
        living.insert(me);
        Agent {
            me,
            rules,
            living,
            dead: Nodes::new(),
            directory: Directory::default(),
            books: BTreeMap::new(),
            lost: BTreeMap::new(),
            mine: BTreeMap::new(),
            queue: Vec::new(),
            active: BTreeMap::new(),
            promises: BTreeMap::new(),
            released: BTreeSet::new(),
            taken: BTreeSet::new(),
            inheriting: false,
            inventories: BTreeMap::new(),
            inherited: BTreeSet::new(),
            home: None,
            bequests: BTreeSet::new(),
            awaited: Vec::new(),
        }
    }
    /// Takes one input, at `now` (ns of system time).
    pub fn step<K: Kernel>(&mut self, now: u64, input: Input, kernel: &mut K) -> Vec<Output> {
        let mut turn = Turn {
            a: self,
            k: kernel,
            out: Vec::new(),
            now,
        };
        turn.take(input);
        turn.proceed();
        turn.keep_waiting();
        turn.forget_bequests();
        turn.out
    }
    /// What this OSnode, as owner, knows of other holders.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }
    /// Enters a holder of what this OSnode owned before the machine was made.
    pub fn enter(&mut self, object: Object, holder: OsnodeId) {
        self.directory.add(object, holder);
    }
    /// Enters what this OSnode held of other owners before the machine was made.
    pub fn know(&mut self, object: Object, owner: OsnodeId) {
        self.books.insert(object, owner);
    }
    /// The number of the membership view: it grows with every OSnode that joins or is gone.
    #[must_use]
    pub fn view(&self) -> u64 {
        (self.living.len() + 2 * self.dead.len()) as u64
    }
    /// Whether nothing is under way here.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.mine.is_empty()
            && self.queue.is_empty()
            && self.active.is_empty()
            && self.promises.is_empty()
            && self.lost.is_empty()
            && !self.inheriting
    }
    /// What a kernel must take for held elsewhere beside an object: it decides alone about nothing else.
    fn beside(&self, object: &Object) -> Remote {
        let mut remote = self.directory.beside(object);
        for wanted in self.wanted() {
            remote.copies |= object == wanted;
            remote.ancestors |= object.comes_from(wanted);
            remote.descendants |= wanted.descends_from(object);
        }
        remote.copies |= self.is_bequest(object);
        remote
    }
    /// Whether the object's family is on its way to another owner, who may have it already.
    #[must_use]
    pub fn hands_over(&self, object: &Object) -> bool {
        self.active.values().any(|a| match a {
            Active::Transfer(t) => t.is_adopting() && object.is_within(&t.object),
            _ => false,
        })
    }
}

impl<K: Kernel, R: Rules> Turn<'_, K, R> {
    fn rule(&self, rule: Rule) -> bool {
        self.a.rules.hold(rule)
    }
    /// A condition that a rule asks for.
    fn needs(&self, rule: Rule, condition: bool) -> bool {
        condition || !self.rule(rule)
    }
    /// Messages to who is gone go nowhere.
    fn send(&mut self, to: OsnodeId, message: Message) {
        if self.needs(Rule::SendsToLiving, self.a.living.contains(&to)) {
            self.out.push(Output::Send { to, message });
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Client {
                op,
                request,
                deadline,
            } => self.client(op, request, deadline),
            Input::Message { from, message } => self.message(from, message),
            Input::Deleted => {
                self.deleted();
                self.tell_inventory();
            }
            Input::SweepDone { op } => self.sweep_done(op),
            Input::Gone(osnode) => self.gone(osnode),
            Input::Joined(osnode) => {
                self.a.living.insert(osnode);
            }
            Input::Tick => self.tick(),
        }
    }

    fn message(&mut self, from: OsnodeId, message: Message) {
        match message {
            Message::Ask { op, request } => self.asked(from, op, request),
            Message::Reply { op, outcome } => self.complete(op, outcome),
            Message::NotOwner { op } => self.sent_back(from, op),
            Message::Take { op, object, gift } => self.copy_take(from, op, object, &gift),
            Message::Taken {
                op,
                object,
                outcome,
                holds,
            } => self.copy_taken(from, op, object, outcome, holds),
            Message::Dropped { object } => self.dropped(from, object),
            Message::Mark { op, object, keep } => self.revoke_mark(from, op, object, keep),
            Message::Marked { op, outcome } => self.revoke_marked(from, op, outcome),
            Message::Sweep { op } => self.revoke_sweep(op),
            Message::Swept { op } => self.revoke_swept(from, op),
            Message::Unmark { op } => self.revoke_unmark(op),
            Message::Freeze { op, object, to } => self.transfer_freeze(from, op, object, to),
            Message::Frozen { op } => self.transfer_frozen(from, op),
            Message::Thaw { op } => self.transfer_thaw(op),
            Message::Adopt {
                op,
                object,
                holders,
                give,
            } => self.transfer_adopt(from, op, object, holders, give),
            Message::Adopted { op, outcome } => self.transfer_adopted(from, op, outcome),
            Message::NewOwner { op, object, owner } => {
                self.transfer_new_owner(op, object, owner);
            }
            Message::Inventory { dead, held, more } => self.inventory(from, dead, held, more),
            Message::Holds { objects } => self.holds(from, &objects),
        }
    }

    /// A new OSnode says what it was made with. What this one does not own it cannot have from here.
    fn holds(&mut self, from: OsnodeId, objects: &[Object]) {
        for object in objects {
            let mine = |(_, owner): &(Object, OsnodeId)| *owner == self.a.me;
            if self.k.overlapping(object).iter().any(mine) || self.a.directory.has(object) {
                self.a.directory.add(*object, from);
                self.refresh(object);
            }
        }
    }

    fn send_unless_own(&mut self, to: OsnodeId, message: Message) {
        if to != self.a.me {
            self.send(to, message);
        }
    }

    /// The owner's part ends.
    fn finish(&mut self, op: OpId, outcome: Outcome) {
        self.a.active.remove(&op);
        if op.origin == self.a.me {
            self.complete(op, outcome);
        } else if self.rule(Rule::AskReplies) {
            self.send(op.origin, Message::Reply { op, outcome });
        }
    }

    /// The origin's part ends.
    fn complete(&mut self, op: OpId, outcome: Outcome) {
        let Some(mine) = self.a.mine.remove(&op) else {
            return;
        };
        let outcome = match (mine.request, outcome) {
            (
                Request::Retype {
                    object,
                    child,
                    count,
                },
                Ok(()),
            ) => self.retype_create(op, &object, (child, count), mine.asked),
            (Request::Move { object, .. }, Ok(())) if self.rule(Rule::MoveDeletes) => {
                self.drop_moved(op, &object);
                Ok(())
            }
            (_, outcome) => outcome,
        };
        if self.needs(Rule::LateIsLast, !mine.answered) {
            self.out.push(Output::Answer { op, outcome });
        }
    }

    /// Whether nothing exists that the object is derived from.
    fn is_root(&self, object: &Object) -> bool {
        let right = |o: &Object| o.is_address_right() && self.rule(Rule::TransferUnderRight);
        let above = |o: &Object| object.descends_from(o) && !right(o);
        // What is gone, but was not told, still has its bytes.
        let untold = self.a.books.keys().chain(self.a.lost.keys());
        let untold = untold.filter(|_| self.rule(Rule::TransferRootUntold));
        !self.a.directory.objects().chain(untold).any(above)
            && !self.k.overlapping(object).iter().any(|(o, _)| above(o))
    }

    /// Tells the kernel what others hold beside what this OSnode owns of these bytes.
    fn refresh(&mut self, object: &Object) {
        if !self.rule(Rule::FlagsTold) {
            return;
        }
        for (held, owner) in self.k.overlapping(object) {
            if self.needs(Rule::FlagsOfOwn, owner == self.a.me) {
                let remote = self.a.beside(&held);
                self.k.set_remote(&held, remote);
                self.book_own(&held, remote);
            }
        }
    }
}

#[cfg(test)]
mod tests;
