//! Whether what several processes got for steps at the same time is what some order of them brings.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use abi::SysError;

use super::{Holdings, Outcome, Pool, Step, Who};

/// A step that was done, and what it brought.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// By whom.
    pub who: Who,
    /// What.
    pub step: Step,
    /// Its outcome.
    pub outcome: Outcome,
}

/// What becomes of a round.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Who holds what now.
    pub pool: Pool,
    /// Steps (by their places) that were refused for now: another time they must bring what the model says.
    pub again: Vec<usize>,
}

/// Whether a step may be refused so although nothing is in its way for long: somebody else's operation is.
#[must_use]
pub fn is_for_now(step: &Step, why: SysError) -> bool {
    match why {
        SysError::TryLater | SysError::InDelete => true,
        // The owner has not heard yet that what is in the way went.
        SysError::Overlaps => matches!(step, Step::Retype { .. }),
        _ => false,
    }
}

impl Pool {
    /// Looks for an order of the steps that brings all outcomes and what is seen afterwards, with as few steps
    /// refused for now as possible.
    ///
    /// # Errors
    /// That there is none, with all that speaks against the order with the fewest contradictions.
    pub fn judge(&self, round: &[Seen], holdings: &Holdings) -> Result<Verdict, String> {
        let mut best: Option<Verdict> = None;
        let mut closest: Option<(usize, String)> = None;
        for order in orders(round.len()) {
            match self.follow(round, &order, holdings) {
                Ok(v) => {
                    let better = best.as_ref().is_none_or(|b| v.again.len() < b.again.len());
                    if better {
                        best = Some(v);
                    }
                }
                Err(e) => {
                    if closest.as_ref().is_none_or(|c| e.0 < c.0) {
                        closest = Some(e);
                    }
                }
            }
        }
        let why = closest.map(|(_, why)| why).unwrap_or_default();
        best.ok_or_else(|| format!("no order of {round:x?} explains it: {why}"))
    }

    /// One order; what contradicts it: how much, and a text.
    fn follow(
        &self,
        round: &[Seen],
        order: &[usize],
        holdings: &Holdings,
    ) -> Result<Verdict, (usize, String)> {
        let mut pool = self.clone();
        let mut again = Vec::new();
        let mut against = Vec::new();
        for place in order {
            let Seen { who, step, outcome } = &round[*place];
            let before = pool.clone();
            let expected = pool.apply(*who, step, outcome);
            if expected == *outcome {
                continue;
            }
            let copies = before.is_copying_retype(*who, step);
            pool = before;
            match outcome {
                // Of what others hold, too, no part can be all of it.
                Outcome::Refused(SysError::BadArgument) if copies => {}
                Outcome::Refused(why) if is_for_now(step, *why) => again.push(*place),
                _ => against.push(format!("{step:x?} of {who} should bring {expected:x?}")),
            }
        }
        against.extend(differences(&pool.holdings(), holdings));
        match against.is_empty() {
            true => Ok(Verdict { pool, again }),
            false => Err((against.len(), against.join("; "))),
        }
    }
}

/// What the model has and nobody holds, and the other way round.
fn differences(should: &Holdings, is: &Holdings) -> Vec<String> {
    let mut all = Vec::new();
    for (at, object) in &should.caps {
        match is.caps.get(at) {
            Some(found) if found == object => {}
            found => all.push(format!("{at:?} is {found:x?}, not {object:x?}")),
        }
    }
    let more = is
        .caps
        .iter()
        .filter(|(at, _)| !should.caps.contains_key(at));
    all.extend(more.map(|(at, object)| format!("{at:?} is there: {object:x?}")));
    let maps = should.maps.symmetric_difference(&is.maps);
    all.extend(maps.map(|at| match should.maps.contains(at) {
        true => format!("{at:?} is not mapped"),
        false => format!("{at:?} is mapped"),
    }));
    all
}

/// All orders of so many things.
pub(super) fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut all = Vec::from([Vec::new()]);
    for next in 0..count {
        let shorter = core::mem::take(&mut all);
        for order in shorter {
            for at in 0..=next {
                let mut longer = order.clone();
                longer.insert(at, next);
                all.push(longer);
            }
        }
    }
    all
}
