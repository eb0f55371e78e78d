//! The sponsor's part of a join: all are told of the new one, then it is told of all.

use alloc::vec::Vec;

use capfmt::OsnodeId;

use super::{Fact, MemberMessage, MemberOutput, Members, Status};
use crate::agree::{Nodes, Rule, Rules};

/// What a sponsor knows of a join.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Join {
    /// Who was told of the new one.
    pub(super) told: Nodes,
    /// Who of them has not said that it knows it.
    pub(super) waiting: Nodes,
    /// The new one was told to enter. Until all know it, it is told here what is new.
    pub(super) entering: bool,
    /// It has entered.
    pub(super) entered: bool,
}

impl<R: Rules> Members<R> {
    /// Who has entered, or may have.
    pub(super) fn inside(&self) -> Nodes {
        let entering = |n: &OsnodeId| self.joins.get(n).is_some_and(|j| j.entering);
        let inside = |f: &&Fact| match f.status {
            Status::Joining => entering(&f.osnode),
            status => status.is_member(),
        };
        let known = self.known.values().filter(inside);
        known.map(|f| f.osnode).collect()
    }

    /// Sponsor: makes a new one known.
    pub(super) fn sponsor(&mut self, new: OsnodeId, out: &mut Vec<MemberOutput>) {
        let fact = Fact {
            osnode: new,
            count: 1,
            status: Status::Joining,
            teller: self.me,
        };
        self.learn(fact, out);
        if let Some(known) = self.known.get_mut(&new) {
            known.teller = self.me;
        }
        self.joins.insert(new, Join::default());
        self.announce(new, self.others(), out);
        self.enter_if_known(new, out);
    }

    /// Sponsor: tells those of `all` that were not told yet.
    pub(super) fn announce(
        &mut self,
        new: OsnodeId,
        all: impl IntoIterator<Item = OsnodeId>,
        out: &mut Vec<MemberOutput>,
    ) {
        let (Some(mut join), Some(fact)) = (self.joins.remove(&new), self.known.get(&new)) else {
            return;
        };
        for to in all {
            let other = self.needs(Rule::JoinTellsOthers, to != new && to != self.me);
            let there = self.needs(Rule::JoinSkipsGone, !self.is_gone(&to));
            if !other || !there || !self.needs(Rule::JoinTellsOnce, join.told.insert(to)) {
                continue;
            }
            if self.rules.hold(Rule::JoinTellsAll) {
                out.push(MemberOutput::Send(to, MemberMessage::Announce(*fact)));
            }
            let counts = self.rules.hold(Rule::JoinAwaitsBack) || !self.is_stopped(&to);
            if self.rules.hold(Rule::JoinAwaitsKnown) && counts {
                join.waiting.insert(to);
            }
        }
        self.joins.insert(new, join);
    }

    /// Sponsor: this one may have entered before its own sponsor heard of who joins here.
    pub(super) fn announce_joins(&mut self, osnode: OsnodeId, out: &mut Vec<MemberOutput>) {
        for new in self.joins.keys().copied().collect::<Vec<_>>() {
            self.announce(new, [osnode], out);
        }
    }

    /// Sponsor: one knows it, and knows these.
    pub(super) fn announced(
        &mut self,
        from: OsnodeId,
        new: OsnodeId,
        inside: &Nodes,
        out: &mut Vec<MemberOutput>,
    ) {
        if self.rules.hold(Rule::JoinTellsMore) {
            self.announce(new, inside.iter().copied(), out);
        }
        if let Some(join) = self.joins.get_mut(&new)
            && join.waiting.remove(&from)
        {
            self.enter_if_known(new, out);
            self.let_back(out);
            self.end_if_done(new);
        }
    }

    /// Looks again at those that were held back.
    pub(super) fn let_back(&mut self, out: &mut Vec<MemberOutput>) {
        for osnode in self.held.keys().copied().collect::<Vec<_>>() {
            if let Some(fact) = self.held.remove(&osnode) {
                self.learn(fact, out);
            }
        }
    }

    /// Whether somebody entered without this one's answer, because it was stopped.
    pub(super) fn owes_answer(&self, osnode: OsnodeId) -> bool {
        let mut entering = self.joins.values().filter(|j| j.entering);
        entering.any(|j| j.waiting.contains(&osnode))
    }

    /// Sponsor: it has entered, and all know it.
    pub(super) fn end_if_done(&mut self, new: OsnodeId) {
        let done = |j: &Join| {
            self.needs(Rule::JoinEndsEntered, j.entered)
                && self.needs(Rule::JoinEndsKnown, j.waiting.is_empty())
        };
        if self.joins.get(&new).is_some_and(done) {
            self.joins.remove(&new);
        }
    }

    /// Sponsor: once all know it, it may know all. Who is stopped learns of it when it is back.
    pub(super) fn enter_if_known(&mut self, new: OsnodeId, out: &mut Vec<MemberOutput>) {
        let Some(join) = self.joins.get(&new) else {
            return;
        };
        let first = self.needs(Rule::JoinEntersOnce, !join.entering);
        if !first || !join.waiting.iter().all(|n| self.is_stopped(n)) {
            return;
        }
        if let Some(join) = self.joins.get_mut(&new) {
            join.entering = true;
        }
        let message = MemberMessage::Enter(self.facts());
        out.push(MemberOutput::Send(new, message));
        if !self.rules.hold(Rule::JoinAwaitsEntered) {
            self.entered(new, out);
        }
    }

    /// Sponsor: it runs.
    pub(super) fn entered(&mut self, new: OsnodeId, out: &mut Vec<MemberOutput>) {
        if let Some(told) = self.returns.remove(&new) {
            if told == self.view() || !self.rules.hold(Rule::ViewBackKnowsAll) {
                self.change(new, Status::Running, out);
            } else {
                self.take_back(new, out);
            }
            return;
        }
        match self.joins.get_mut(&new) {
            Some(join) if join.entering => join.entered = true,
            _ => return,
        }
        self.end_if_done(new);
        let fact = Fact {
            osnode: new,
            count: 2,
            status: Status::Running,
            teller: self.me,
        };
        self.learn(fact, out);
        self.tell(fact, out);
    }

    /// Who joins by the help of somebody who is gone gets another sponsor.
    pub(super) fn take_over(&mut self, fact: &Fact, out: &mut Vec<MemberOutput>) {
        let member = |f: &&Fact| f.status.is_member();
        let lowest = self.known.values().find(member).map(|f| f.osnode);
        let orphan = self.needs(Rule::JoinTakesOverOrphan, self.is_gone(&fact.teller));
        let first = self.needs(Rule::JoinTakesOverOnce, lowest == Some(self.me));
        if orphan && first && self.rules.hold(Rule::JoinTakesOver) {
            self.sponsor(fact.osnode, out);
            if self.rules.hold(Rule::JoinTakesOverTells) {
                self.announce_joins(fact.osnode, out);
            }
        }
    }
}
