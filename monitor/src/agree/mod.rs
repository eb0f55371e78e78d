//! How OSnodes agree about capabilities that more than one of them holds.
//!
//! An [`Agent`] is the pure state machine of one OSnode: it is told something
//! ([`Input`]), changes capabilities of its own OSnode ([`Kernel`]) and says what to
//! send and answer ([`Output`]). The monitor runs it, also on its caretaker's core while
//! the OSnode is stopped; unit tests and the model checker run the same type.
//! Each protocol is a file: `copy`, `delete`, `retype`, `revoke`, `transfer`,
//! `inherit`; `bind`, `unmap` and `membership` are machines of their own. Here: what
//! they have in common, which is how an operation finds its owner and when it waits.
//! `docs/book/distributed-capabilities.md` has the diagrams and the arguments.

pub mod bind;
pub mod codec;
mod copy;
mod delete;
mod directory;
mod estate;
mod inherit;
mod kernel;
pub mod membership;
mod message;
mod object;
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
pub use rules::{Rule, Rules, Shipped};

use inherit::Inventory;

/// Numbers of one origin's operations that may be open at a time: an older one has ended.
const OPEN: u64 = 64;

/// An operation of a client of this OSnode.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Mine {
    request: Request,
    /// Whom it was asked of; nobody yet: it waits.
    asked: Option<OsnodeId>,
    deadline: u64,
    /// The client was told to try later.
    answered: bool,
}

/// A request that waits for its turn at the owner.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Ask {
    from: OsnodeId,
    op: OpId,
    request: Request,
}

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
        if self.a.living.contains(&to) {
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
            Input::Deleted => self.deleted(),
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
            Message::NotOwner { op } => self.look_again(op),
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

    /// A client asks. An operation that is under way already is answered once.
    fn client(&mut self, op: OpId, request: Request, deadline: u64) {
        if self.a.mine.contains_key(&op) {
            return;
        }
        let oldest = self.a.mine.keys().next().map_or(op.number, |o| o.number);
        if op.number.saturating_sub(oldest) >= OPEN {
            let outcome = Err(Refusal::TryLater);
            return self.out.push(Output::Answer { op, outcome });
        }
        let mine = Mine {
            request,
            asked: None,
            deadline,
            answered: false,
        };
        self.a.mine.insert(op, mine);
    }

    /// Clients that waited long enough are told so; their operations go on.
    fn tick(&mut self) {
        for (op, mine) in &mut self.a.mine {
            if !mine.answered && mine.deadline <= self.now {
                mine.answered = true;
                let outcome = Err(Refusal::TryLater);
                self.out.push(Output::Answer { op: *op, outcome });
            }
        }
    }

    /// Whoever was asked does not decide: the client's operation waits until it is known who does.
    fn look_again(&mut self, op: OpId) {
        if let Some(mine) = self.a.mine.get_mut(&op) {
            mine.asked = None;
        }
    }

    /// Whether a client's operation must wait before anybody is asked.
    fn waits(&self, op: OpId, mine: &Mine) -> bool {
        let object = mine.request.object();
        // What is marked need not wait here: the owner, who marked it, queues what concerns it.
        let frozen = |p: &Promise| p.frozen.is_some() && object.is_within(&p.object);
        let frozen = self.a.promises.values().any(frozen) && self.rule(Rule::TransferHolds);
        let moving = self.a.mine.iter().any(|(other, m)| {
            let moves = matches!(m.request, Request::Move { .. }) && m.asked.is_some();
            *other != op && moves && m.request.object() == object
        });
        frozen || moving && self.rule(Rule::MoveLocks)
    }

    /// Asks the owner, whoever that is.
    fn submit(&mut self, op: OpId, request: Request) {
        let object = request.object();
        let Some(owner) = self.k.owner(&object) else {
            return self.complete(op, Err(Refusal::NoSuch));
        };
        if let Request::Copy { to, .. } | Request::Move { to, .. } | Request::Transfer { to, .. } =
            request
            && to == self.a.me
        {
            return self.complete(op, Err(Refusal::BadArgument));
        }
        if owner != self.a.me && matches!(request, Request::Transfer { .. }) {
            return self.complete(op, Err(Refusal::NotOwner));
        }
        if let Some(mine) = self.a.mine.get_mut(&op) {
            mine.asked = Some(owner);
        }
        if owner == self.a.me {
            self.asked(owner, op, request);
        } else {
            self.send(owner, Message::Ask { op, request });
        }
    }

    /// The owner's part begins: the request waits for its turn.
    fn asked(&mut self, from: OsnodeId, op: OpId, request: Request) {
        self.a.queue.push(Ask { from, op, request });
    }

    /// Starts what can start.
    fn proceed(&mut self) {
        loop {
            if let Some((object, owner)) = self.next_lost() {
                self.tell_lost(&object, owner);
                continue;
            }
            let turn = (0..self.a.queue.len()).find(|i| self.may_start(*i));
            if let Some(i) = turn {
                let ask = self.a.queue.remove(i);
                self.start(ask);
                continue;
            }
            let mut mine = self.a.mine.iter();
            let ready = mine.find(|(op, m)| m.asked.is_none() && !self.waits(**op, m));
            let Some((op, request)) = ready.map(|(op, m)| (*op, m.request)) else {
                return;
            };
            self.submit(op, request);
        }
    }

    /// Whether the request in place `i` may start: nothing before it or under way is in its way.
    fn may_start(&self, i: usize) -> bool {
        let ask = &self.a.queue[i];
        let object = ask.request.object();
        let undecided = self.a.inheriting && !self.may_decide(ask);
        if undecided && self.rule(Rule::GoneQueues) {
            return false;
        }
        let mut before = self.a.queue[..i].iter();
        let first = !before.any(|b| b.request.object().overlaps(&object));
        first && !self.a.active.values().any(|a| self.conflicts(ask, a))
    }

    /// The conflict table: whether a request waits for an operation that is under way.
    fn conflicts(&self, ask: &Ask, active: &Active) -> bool {
        let rule = match (&ask.request, active) {
            (Request::Transfer { .. } | Request::Move { .. }, _) => Rule::TransferWaits,
            // The origin is about to delete what would be marked.
            (Request::Revoke { .. }, Active::Copy(c)) if c.moves => Rule::RevokeWaits,
            // A copy on its way is there before anything that the owner sends later.
            (_, Active::Copy(_)) => return false,
            (Request::Copy { .. }, _) => Rule::CopyWaits,
            (Request::Retype { .. }, _) => Rule::RetypeWaits,
            (Request::Revoke { .. }, _) => Rule::RevokeWaits,
        };
        active.object().overlaps(&ask.request.object()) && self.rule(rule)
    }

    /// Whether this OSnode owns what the request is about, and the asking OSnode still holds it.
    fn may_decide(&self, ask: &Ask) -> bool {
        let object = ask.request.object();
        if ask.from == self.a.me {
            self.k.owner(&object) == Some(self.a.me)
        } else {
            self.a.directory.holds(&object, ask.from)
        }
    }

    fn start(&mut self, ask: Ask) {
        let Ask { from, op, request } = ask;
        let rule = match request {
            Request::Retype { .. } => Rule::RetypeHeld,
            Request::Revoke { .. } => Rule::RevokeHeld,
            _ => Rule::CopyHeld,
        };
        if !self.needs(rule, self.may_decide(&Ask { from, op, request })) {
            if from == self.a.me {
                self.look_again(op);
            }
            return self.send_unless_own(from, Message::NotOwner { op });
        }
        match request {
            Request::Copy { object, to, gift } => self.copy(op, object, to, (gift, false)),
            Request::Move { object, to, gift } if from == self.a.me && self.is_root(&object) => {
                self.transfer(op, object, to, Some(gift));
            }
            Request::Move { object, to, gift } => self.copy(op, object, to, (gift, true)),
            Request::Transfer { object, to } => self.transfer(op, object, to, None),
            Request::Retype {
                object,
                child,
                count,
            } => self.retype(from, op, object, (child, count)),
            Request::Revoke { object } => self.revoke(from, op, object),
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
        } else {
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
        if !mine.answered {
            self.out.push(Output::Answer { op, outcome });
        }
    }

    /// Whether nothing exists that the object is derived from.
    fn is_root(&self, object: &Object) -> bool {
        let above = |o: &Object| object.descends_from(o) && !o.is_address_right();
        // What is gone, but was not told, still has its bytes.
        let untold = self.a.books.keys().chain(self.a.lost.keys());
        !self.a.directory.objects().chain(untold).any(above)
            && !self.k.overlapping(object).iter().any(|(o, _)| above(o))
    }

    /// Tells the kernel what others hold beside what this OSnode owns of these bytes.
    fn refresh(&mut self, object: &Object) {
        if !self.rule(Rule::FlagsTold) {
            return;
        }
        for (held, owner) in self.k.overlapping(object) {
            if owner == self.a.me {
                let remote = self.a.directory.beside(&held);
                self.k.set_remote(&held, remote);
                self.book_own(&held, remote);
            }
        }
    }
}

#[cfg(test)]
mod tests;
