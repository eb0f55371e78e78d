//! How an operation finds its owner, and when it waits: at its origin, and in the queue of the owner.
//!
//! A request names an object by its bytes and type. While it waits, these can be taken away (a revoke, a deletion) and
//! another object of the same name be made of them, which nobody asked about. So whoever sees that the asking OSnode
//! holds the object no more marks what waits as *stale*: it is answered `NoSuch`, whatever has its name by then.

use alloc::vec::Vec;

use capfmt::OsnodeId;

use super::{
    Active, Agent, Kernel, Message, Object, OpId, Output, Promise, Refusal, Request, Rule, Rules,
    Turn,
};

/// An operation of a client of this OSnode.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Mine {
    pub(super) request: Request,
    /// Whom it was asked of; nobody yet: it waits.
    pub(super) asked: Option<OsnodeId>,
    deadline: u64,
    /// The client was told to try later.
    pub(super) answered: bool,
    /// Its object was held no more at some time since.
    stale: bool,
}

/// A request that waits for its turn at the owner.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Ask {
    from: OsnodeId,
    op: OpId,
    request: Request,
    object: Object,
    /// The asking OSnode held its object no more at some time since.
    stale: bool,
    /// It could not start at once.
    waited: bool,
}

impl<R> Agent<R> {
    /// What clients of this OSnode wait for in its own queue. Their kernel must not make another object of that name
    /// without its monitor.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Object> {
        let own = |a: &&Ask| a.waited && a.from == self.me;
        self.queue.iter().filter(own).map(|a| &a.object)
    }
}

impl<K: Kernel, R: Rules> Turn<'_, K, R> {
    /// A client asks. An operation that is under way already is answered once.
    pub(super) fn client(&mut self, op: OpId, request: Request, deadline: u64) {
        if self.a.mine.contains_key(&op) && self.rule(Rule::AskOnce) {
            return;
        }
        let oldest = self.a.mine.keys().next().map_or(op.number, |o| o.number);
        let open = op.number.saturating_sub(oldest);
        if open >= self.a.rules.limits().open && self.rule(Rule::AskFew) {
            let outcome = Err(Refusal::TryLater);
            return self.out.push(Output::Answer { op, outcome });
        }
        let mine = Mine {
            request,
            asked: None,
            deadline,
            answered: false,
            stale: false,
        };
        self.a.mine.insert(op, mine);
    }

    /// Clients that waited long enough are told so; their operations go on.
    pub(super) fn tick(&mut self) {
        let once = self.rule(Rule::LateOnce);
        let awaits = self.rule(Rule::LateAwaitsDeadline);
        for (op, mine) in &mut self.a.mine {
            let answered = mine.answered && once;
            if !answered && (mine.deadline <= self.now || !awaits) {
                mine.answered = true;
                let outcome = Err(Refusal::TryLater);
                self.out.push(Output::Answer { op: *op, outcome });
            }
        }
    }

    /// Whoever was asked does not decide: the client's operation waits until it is known who does.
    pub(super) fn look_again(&mut self, op: OpId) {
        let again = self.rule(Rule::AskLooksAgain);
        if let Some(mine) = self.a.mine.get_mut(&op).filter(|_| again) {
            mine.asked = None;
        }
    }

    /// Who was asked does not decide.
    pub(super) fn sent_back(&mut self, from: OsnodeId, op: OpId) {
        let asked = self.a.mine.get(&op).and_then(|m| m.asked);
        // Another one may have been asked since.
        if asked == Some(from) {
            self.look_again(op);
        }
    }

    /// The family is this OSnode's now: what it asked the old owner, who sends that back, it decides itself.
    pub(super) fn ask_oneself(&mut self, old: OsnodeId, family: &Object) {
        let asked = |m: &&mut Mine| m.asked == Some(old) && m.request.object().is_within(family);
        let mine = self.a.mine.values_mut().filter(asked);
        mine.for_each(|m| m.asked = None);
    }

    /// What could not start waits; its object is not its kernel's alone meanwhile.
    pub(super) fn keep_waiting(&mut self) {
        let me = self.a.me;
        let fresh = self.a.queue.iter_mut().filter_map(|a| {
            let first = !core::mem::replace(&mut a.waited, true);
            (first && a.from == me).then_some(a.object)
        });
        for object in fresh.collect::<Vec<_>>() {
            self.refresh(&object);
        }
    }

    /// Whether a client's operation must wait before anybody is asked.
    fn waits(&self, mine: &Mine) -> bool {
        let object = mine.request.object();
        // What is marked need not wait here: the owner, who marked it, queues what concerns it.
        let frozen = |p: &Promise| p.frozen.is_some() && object.is_within(&p.object);
        let frozen = self.a.promises.values().any(frozen) && self.rule(Rule::TransferHolds);
        let moving = self.a.mine.values().any(|m| {
            let moves = matches!(m.request, Request::Move { .. });
            // This one is not asked, and so in nobody's way.
            let asked = self.needs(Rule::MoveLocksAsked, m.asked.is_some());
            moves && asked && m.request.object() == object
        });
        frozen || moving && self.rule(Rule::MoveLocks)
    }

    /// Asks the owner, whoever that is.
    fn submit(&mut self, op: OpId, request: Request) {
        let object = request.object();
        let Some(owner) = self.k.owner(&object).or(self.owns_unheld(&request)) else {
            return self.complete(op, Err(Refusal::NoSuch));
        };
        if let Request::Copy { to, .. } | Request::Move { to, .. } | Request::Transfer { to, .. } =
            request
            && to == self.a.me
            && self.rule(Rule::AskForOthers)
        {
            return self.complete(op, Err(Refusal::BadArgument));
        }
        let own = owner == self.a.me;
        let gives_all = matches!(request, Request::Transfer { .. });
        if gives_all && !self.needs(Rule::TransferByOwner, own) {
            return self.complete(op, Err(Refusal::NotOwner));
        }
        if let Some(mine) = self.a.mine.get_mut(&op) {
            mine.asked = Some(owner);
        }
        if own {
            self.asked(owner, op, request);
        } else {
            self.send(owner, Message::Ask { op, request });
        }
    }

    /// The owner's part begins: the request waits for its turn.
    pub(super) fn asked(&mut self, from: OsnodeId, op: OpId, request: Request) {
        self.a.queue.push(Ask {
            from,
            op,
            request,
            object: request.object(),
            stale: false,
            waited: false,
        });
    }

    /// `from` holds an object no more: what waits for it is about that one, and not about what has its name later.
    pub(super) fn outdate(&mut self, from: OsnodeId, gone: &Object) {
        if from == self.a.me {
            let mine = self.a.mine.values_mut();
            let of = mine.filter(|m| m.request.object() == *gone);
            of.for_each(|m| m.stale = true);
        }
        let asks = self.a.queue.iter_mut();
        let of = asks.filter(|a| a.from == from && a.request.object() == *gone);
        of.for_each(|a| a.stale = true);
    }

    /// Starts what can start.
    pub(super) fn proceed(&mut self) {
        loop {
            if let Some((object, owner)) = self.next_lost() {
                self.tell_lost(&object, owner);
                continue;
            }
            let turn = (0..self.a.queue.len()).find(|i| self.may_start(*i));
            if let Some(i) = turn {
                let ask = self.a.queue.remove(i);
                let (waited, object) = (ask.waited, ask.object);
                self.start(ask);
                if waited {
                    self.refresh(&object);
                }
                continue;
            }
            let mut mine = self.a.mine.iter();
            let ready = mine.find(|(_, m)| m.asked.is_none() && !self.waits(m));
            let Some((op, request, stale)) = ready.map(|(op, m)| (*op, m.request, m.stale)) else {
                return;
            };
            match stale {
                true => self.complete(op, Err(Refusal::NoSuch)),
                false => self.submit(op, request),
            }
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
        self.needs(Rule::AskInTurn, first)
            && !self.a.active.values().any(|a| self.conflicts(ask, a))
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
            let owner = self.k.owner(&object).or(self.owns_unheld(&ask.request));
            owner == Some(self.a.me)
        } else {
            self.a.directory.holds(&object, ask.from)
        }
    }

    fn start(&mut self, ask: Ask) {
        let decides = self.may_decide(&ask);
        let Ask {
            from, op, request, ..
        } = ask;
        if ask.stale {
            return self.finish(op, Err(Refusal::NoSuch));
        }
        let rule = match request {
            Request::Retype { .. } => Rule::RetypeHeld,
            Request::Revoke { .. } => Rule::RevokeHeld,
            _ => Rule::CopyHeld,
        };
        if !self.needs(rule, decides) {
            if from == self.a.me {
                self.look_again(op);
            }
            if self.rule(Rule::AskNotOwner) {
                self.send_unless_own(from, Message::NotOwner { op });
            }
            return;
        }
        match request {
            Request::Copy { object, to, gift } => self.copy(op, object, to, (gift, false)),
            Request::Move { object, to, gift } if from == self.a.me && self.may_leave(&object) => {
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
}
