//! Retype: the owner reserves, then the origin derives.
//!
//! ```text
//! origin            owner
//!   │── Ask ─────────▶│ checks its own tree and the directory;
//!   │                 │ enters the child in the directory: reserved
//!   │◀──────── Reply ─│
//!   │ derives         │
//!   │── Dropped ─────▶│ only if it could not: the reservation ends
//! ```
//! The reservation is the directory entry that the child needs anyway: between check
//! and creation there is no moment at which a second retype would pass.

use capfmt::OsnodeId;

use super::{Kernel, Message, Object, OpId, Outcome, Refusal, Rule, Rules, Turn};

/// Most objects of one retype.
const MOST: u32 = 256;

impl<K: Kernel, R: Rules> Turn<'_, K, R> {
    /// Owner: checks and reserves.
    pub(super) fn retype(
        &mut self,
        from: OsnodeId,
        op: OpId,
        source: Object,
        children: (Object, u32),
    ) {
        let (child, count) = children;
        let all = child.span(count);
        let within = all.base() >= source.base() && all.end() <= source.end();
        let made = self.needs(Rule::RetypeDerives, child.descends_from(&source));
        let within = self.needs(Rule::RetypeWithin, within);
        let some = self.needs(Rule::RetypeSome, (1..=MOST).contains(&count));
        if !(made && within && some) {
            return self.finish(op, Err(Refusal::BadArgument));
        }
        // Nothing but the source and what it comes from may have bytes of the children.
        let beside = |o: &Object| o.is_block_around(&source) && self.rule(Rule::RetypeInBlock);
        let in_the_way = |o: &Object| o.overlaps(&all) && !source.is_within(o) && !beside(o);
        let own = self.k.overlapping(&all);
        let here = own.iter().any(|(o, _)| in_the_way(o)) && self.rule(Rule::RetypeChecks);
        let elsewhere = self.a.directory.objects().any(in_the_way);
        if here || elsewhere && self.rule(Rule::RetypeChecksRemote) {
            return self.finish(op, Err(Refusal::Overlaps));
        }
        if self.needs(Rule::RetypeKnowsOwn, from != self.a.me) && self.rule(Rule::RetypeReserves) {
            for child in child.row(count) {
                self.a.directory.add(child, from);
            }
            self.refresh(&all);
        }
        self.finish(op, Ok(()));
    }

    /// Origin: derives, or gives the reservation back.
    pub(super) fn retype_create(
        &mut self,
        op: OpId,
        source: &Object,
        children: (Object, u32),
        asked: Option<OsnodeId>,
    ) -> Outcome {
        let (child, count) = children;
        let created = self.k.create(op, source, &child, count);
        let asked = asked.unwrap_or(self.a.me);
        if asked == self.a.me {
            self.refresh(&child.span(count));
            return created;
        }
        for child in child.row(count) {
            if created.is_ok() {
                self.book(&child, asked);
            } else if self.rule(Rule::RetypeGivesBack) {
                self.send(asked, Message::Dropped { object: child });
            }
        }
        created
    }
}
