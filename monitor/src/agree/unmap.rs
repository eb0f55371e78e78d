//! Unmap with shoot-down: one phase, over a tree that is given.
//!
//! ```text
//! owner             inner               leaf
//!   │ clears entries  │                   │
//!   │── Flush ───────▶│── Flush ─────────▶│
//!   │ flushes         │ flushes           │ flushes
//!   │                 │◀──────── Flushed ─│
//!   │◀────── Flushed ─│                   │
//!   │ answers: nobody can use it          │
//! ```
//! Only the owner of a page table writes it, and it clears the entries first: whoever
//! has flushed cannot load them again, and who joins the domain later never had them.
//! So one phase is enough, nothing is locked, and to flush twice does no harm. If an
//! OSnode goes, the one above it tells the ones below it itself; these answer whoever
//! told them. Of an OSnode that is stopped there are translations on its caretaker's core at
//! most: its monitor, which runs there, flushes those, passes the message on and answers.
//!
//! An OSnode that is gone cannot clear its tables, and others walk them into memory that is about to be free. So everybody
//! who is to bury it has all others take its tables out of theirs ([`Unmapper::bury`]), by the same messages; only when
//! all have is it gone for that one. Who is told need not have heard of the death.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use capfmt::OsnodeId;

use super::{Nodes, OpId, Rule, Rules, Shipped};

/// A tree of OSnodes in preorder: each with the number of those below it.
pub type Tree = Vec<(OsnodeId, u16)>;

/// Virtual addresses of a domain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pages {
    /// The domain.
    pub domain: u64,
    /// First address.
    pub base: u64,
    /// First address after.
    pub end: u64,
}

/// What is to be out of use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// What stood in entries that their owner has cleared.
    Pages(Pages),
    /// All page tables of an OSnode that is fenced, and what was reached through them.
    TablesOf(OsnodeId),
}

/// The page tables and translation buffers of one OSnode.
pub trait Translations {
    /// Owner: clears the entries; no core can load them again.
    fn clear(&mut self, scope: &Scope);
    /// Forgets what the OSnode's core has loaded of them. Tables of a dead OSnode are taken out of its own before, and
    /// none comes back.
    fn flush(&mut self, scope: &Scope);
}

/// Between machines.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum FlushMessage {
    /// Flush, and have those below flush.
    Flush {
        /// The operation.
        op: OpId,
        /// What.
        scope: Scope,
        /// Who is below the receiver.
        below: Tree,
    },
    /// The sender and all below it have flushed.
    Flushed {
        /// The operation.
        op: OpId,
    },
}

/// What the machine wants to be done.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum FlushOutput {
    /// Send a message.
    Send {
        /// To whom.
        to: OsnodeId,
        /// What.
        message: FlushMessage,
    },
    /// Answer the client: nobody can use the pages any more.
    Done {
        /// The operation.
        op: OpId,
    },
}

/// An unmap that waits for those below.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Flushing {
    scope: Scope,
    /// Who told this OSnode, one after another if one is gone; nobody told the owner.
    above: Nodes,
    /// Who has not answered, with those below them.
    waiting: BTreeMap<OsnodeId, Tree>,
}

/// The unmap machine of one OSnode.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Unmapper<R = Shipped> {
    rules: R,
    gone: Nodes,
    open: BTreeMap<OpId, Flushing>,
}

/// The subtrees of a tree.
fn branches(tree: &[(OsnodeId, u16)]) -> Vec<(OsnodeId, Tree)> {
    let mut all = Vec::new();
    let mut rest = tree;
    while let Some(((root, count), after)) = rest.split_first() {
        // A count that reaches over the end, which no monitor writes, means all the rest.
        let (below, next) = after.split_at(usize::from(*count).min(after.len()));
        all.push((*root, below.to_vec()));
        rest = next;
    }
    all
}

impl<R: Rules> Unmapper<R> {
    /// With nothing under way.
    #[must_use]
    pub fn new(rules: R) -> Unmapper<R> {
        Unmapper {
            rules,
            gone: Nodes::new(),
            open: BTreeMap::new(),
        }
    }
    /// Whether nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Owner of the page table: unmaps; `tree` are the other OSnodes of the domain.
    pub fn unmap(
        &mut self,
        op: OpId,
        scope: Scope,
        tree: &Tree,
        local: &mut impl Translations,
    ) -> Vec<FlushOutput> {
        let mut out = Vec::new();
        if self.rules.hold(Rule::UnmapClears) {
            local.clear(&scope);
        }
        if self.rules.hold(Rule::UnmapFlushesOwn) {
            local.flush(&scope);
        }
        self.begin(op, scope, Nodes::new(), tree, &mut out);
        out
    }

    /// Takes a message.
    pub fn take(
        &mut self,
        from: OsnodeId,
        message: FlushMessage,
        local: &mut impl Translations,
    ) -> Vec<FlushOutput> {
        let mut out = Vec::new();
        match message {
            FlushMessage::Flush { op, scope, below } => {
                if self.rules.hold(Rule::UnmapFlushes) {
                    local.flush(&scope);
                }
                match self.open.get_mut(&op) {
                    // Another one told it before and is gone, or is gone and told it late.
                    Some(flushing) if self.rules.hold(Rule::UnmapAnswersAll) => {
                        flushing.above.insert(from);
                    }
                    Some(_) => {}
                    None => self.begin(op, scope, Nodes::from([from]), &below, &mut out),
                }
            }
            FlushMessage::Flushed { op } => self.answered(op, from, &mut out),
        }
        out
    }

    /// An OSnode was fenced: nobody waits for it, and all of `tree`, all others that live, stop using its tables. When
    /// that is done, it may be gone for this one: what follows from its death may begin. Who turns up meanwhile is told
    /// by another operation.
    pub fn bury(
        &mut self,
        op: OpId,
        dead: OsnodeId,
        tree: &Tree,
        local: &mut impl Translations,
    ) -> Vec<FlushOutput> {
        let mut out = self.gone(dead);
        if self.rules.hold(Rule::UnmapBuriesTables) {
            out.extend(self.unmap(op, Scope::TablesOf(dead), tree, local));
        } else {
            out.push(FlushOutput::Done { op });
        }
        out
    }

    /// An OSnode is gone: nobody waits for it.
    pub fn gone(&mut self, osnode: OsnodeId) -> Vec<FlushOutput> {
        let mut out = Vec::new();
        self.gone.insert(osnode);
        for op in self.open.keys().copied().collect::<Vec<_>>() {
            if !self.rules.hold(Rule::UnmapAnswersForGone) {
                continue;
            }
            let Some(flushing) = self.open.get_mut(&op) else {
                continue;
            };
            if let Some(below) = flushing.waiting.remove(&osnode)
                && self.rules.hold(Rule::UnmapReplants)
            {
                self.tell(op, &below, &mut out);
            }
            self.end_if_answered(op, &mut out);
        }
        out
    }

    fn begin(
        &mut self,
        op: OpId,
        scope: Scope,
        above: Nodes,
        below: &Tree,
        out: &mut Vec<FlushOutput>,
    ) {
        let flushing = Flushing {
            scope,
            above,
            waiting: BTreeMap::new(),
        };
        self.open.insert(op, flushing);
        if self.rules.hold(Rule::UnmapPassesOn) {
            self.tell(op, below, out);
        }
        self.end_if_answered(op, out);
    }

    /// Tells the roots of a forest; below one that is gone, the next.
    fn tell(&mut self, op: OpId, forest: &Tree, out: &mut Vec<FlushOutput>) {
        let Some(flushing) = self.open.get_mut(&op) else {
            return;
        };
        // In the tree's order: whoever takes longest comes first.
        let mut left: VecDeque<(OsnodeId, Tree)> = branches(forest).into();
        while let Some((to, below)) = left.pop_front() {
            if self.gone.contains(&to) && self.rules.hold(Rule::UnmapSkipsGone) {
                left.extend(branches(&below));
                continue;
            }
            let message = FlushMessage::Flush {
                op,
                scope: flushing.scope,
                below: below.clone(),
            };
            out.push(FlushOutput::Send { to, message });
            if self.rules.hold(Rule::UnmapAwaits) {
                flushing.waiting.insert(to, below);
            }
        }
    }

    fn answered(&mut self, op: OpId, from: OsnodeId, out: &mut Vec<FlushOutput>) {
        if let Some(flushing) = self.open.get_mut(&op) {
            flushing.waiting.remove(&from);
            self.end_if_answered(op, out);
        }
    }

    fn end_if_answered(&mut self, op: OpId, out: &mut Vec<FlushOutput>) {
        let Some(flushing) = self.open.get(&op).filter(|f| f.waiting.is_empty()) else {
            return;
        };
        if flushing.above.is_empty() {
            out.push(FlushOutput::Done { op });
        } else if self.rules.hold(Rule::UnmapAnswers) {
            for to in flushing.above.clone() {
                let message = FlushMessage::Flushed { op };
                out.push(FlushOutput::Send { to, message });
            }
        }
        self.open.remove(&op);
    }
}
