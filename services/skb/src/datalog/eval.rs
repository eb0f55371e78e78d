//! Semi-naive derivation of one stratum after the other.

use super::error::Error;
use super::head::{Head, row_bytes, value};
use super::meter::Meter;
use super::plan::{Pattern, Plan, Slot, Span, Step};
use super::relation::{Relation, Row};
use super::value::Value;
use alloc::vec::Vec;
use core::ops::Range;

/// The plans of a rule: for the first round, and one for each literal of its own stratum, which
/// then looks at what the last round found.
#[derive(Clone, Debug)]
pub(super) struct Plans {
    pub full: Plan,
    pub rounds: Vec<Plan>,
}

/// Which rows each round sees of the predicates of a stratum.
struct Rounds<'a> {
    group: &'a [usize],
    /// First row of the last round, first row of this one; by place in `group`.
    marks: Vec<(u32, u32)>,
}

impl Rounds<'_> {
    fn range(&self, relations: &[Relation], predicate: usize, span: Span) -> Range<u32> {
        let Some(at) = self.group.iter().position(|p| *p == predicate) else {
            return 0..relations[predicate].len();
        };
        let (new, end) = self.marks[at];
        match span {
            Span::All => 0..end,
            Span::New => new..end,
            Span::Old => 0..new,
        }
    }
}

/// Derives what the rules of the stratum `group` say; its relations hold the facts already.
pub(super) fn derive(
    group: &[usize],
    rules: &[&Plans],
    relations: &mut [Relation],
    meter: &mut Meter,
) -> Result<(), Error> {
    let mut rounds = Rounds {
        group,
        marks: group.iter().map(|p| (0, relations[*p].len())).collect(),
    };
    let mut first = true;
    loop {
        let mut found: Vec<(usize, Row)> = Vec::new();
        for plans in rules {
            let plans = if first {
                core::slice::from_ref(&plans.full)
            } else {
                &plans.rounds[..]
            };
            for plan in plans {
                let rows = rows(plan, relations, Some(&rounds), meter)?;
                found.extend(rows.into_iter().map(|row| (plan.predicate, row)));
            }
        }
        first = false;
        let mut any = false;
        for (predicate, row) in found {
            meter.release(row_bytes(&row));
            let bytes = relations[predicate].insert(row);
            any |= bytes > 0;
            meter.hold(bytes)?;
        }
        if !any {
            return Ok(());
        }
        for (mark, p) in rounds.marks.iter_mut().zip(group) {
            *mark = (mark.1, relations[*p].len());
        }
    }
}

/// The rows of a question.
pub(super) fn answer(
    plan: &Plan,
    relations: &[Relation],
    meter: &mut Meter,
) -> Result<Vec<Row>, Error> {
    rows(plan, relations, None, meter)
}

fn rows(
    plan: &Plan,
    relations: &[Relation],
    rounds: Option<&Rounds<'_>>,
    meter: &mut Meter,
) -> Result<Vec<Row>, Error> {
    meter.what.clone_from(&plan.name);
    let mut run = Run {
        plan,
        relations,
        rounds,
        meter,
        bindings: alloc::vec![None; plan.variables],
        head: Head::new(&plan.head, plan.aggregates),
    };
    run.go(0)?;
    run.head.finish(run.meter)
}

/// One evaluation of a plan.
struct Run<'a> {
    plan: &'a Plan,
    relations: &'a [Relation],
    rounds: Option<&'a Rounds<'a>>,
    meter: &'a mut Meter,
    bindings: Vec<Option<Value>>,
    head: Head<'a>,
}

impl<'a> Run<'a> {
    /// Carries out the steps from number `at` on. As deep as a body is long.
    fn go(&mut self, at: usize) -> Result<(), Error> {
        self.meter.step()?;
        let plan: &'a Plan = self.plan;
        let Some(step) = plan.steps.get(at) else {
            // A question's rows may repeat; a rule's are compared with what is known.
            let target = self.rounds.map(|_| &self.relations[plan.predicate]);
            let known = |row: &[Value]| target.is_some_and(|t| t.contains(row));
            return self.head.take(&self.bindings, &known, self.meter);
        };
        match step {
            Step::Scan(pattern, span) => self.scan(pattern, *span, at),
            Step::Absent(pattern) => {
                if self.exists(pattern)? {
                    return Ok(());
                }
                self.go(at + 1)
            }
            Step::Assign(v, expr) => {
                let Some(value) = value(expr, &self.bindings) else {
                    return Ok(());
                };
                self.bindings[*v] = Some(value);
                self.go(at + 1)
            }
            Step::Test(order, a, b) => match (value(a, &self.bindings), value(b, &self.bindings)) {
                (Some(a), Some(b)) if order.holds(&a, &b) => self.go(at + 1),
                _ => Ok(()),
            },
        }
    }

    fn scan(&mut self, pattern: &Pattern, span: Span, at: usize) -> Result<(), Error> {
        let relations: &'a [Relation] = self.relations;
        let relation = &relations[pattern.predicate];
        let candidates = relation.candidates(
            &pattern.columns,
            &self.key(pattern),
            self.range(pattern, span),
        );
        let mut i = 0;
        while let Some(n) = candidates.get(i) {
            i += 1;
            self.meter.step()?;
            if self.matches(pattern, relation.row(n)) {
                self.go(at + 1)?;
            }
        }
        Ok(())
    }

    fn exists(&mut self, pattern: &Pattern) -> Result<bool, Error> {
        let relation = &self.relations[pattern.predicate];
        let key = self.key(pattern);
        let candidates = relation.candidates(&pattern.columns, &key, 0..relation.len());
        let mut i = 0;
        while let Some(n) = candidates.get(i) {
            i += 1;
            self.meter.step()?;
            let row = relation.row(n);
            let mut known = pattern.columns.iter().zip(&key);
            if known.all(|(column, value)| row[*column] == *value) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn range(&self, pattern: &Pattern, span: Span) -> Range<u32> {
        match self.rounds {
            Some(rounds) => rounds.range(self.relations, pattern.predicate, span),
            None => 0..self.relations[pattern.predicate].len(),
        }
    }

    /// The values of the columns that are known.
    fn key(&self, pattern: &Pattern) -> Vec<Value> {
        let slot = |column: &usize| match &pattern.slots[*column] {
            Slot::Constant(value) => Some(value.clone()),
            Slot::Known(v) => self.bindings[*v].clone(),
            Slot::Bind(_) | Slot::Any => None,
        };
        pattern.columns.iter().filter_map(slot).collect()
    }

    /// Whether `row` fits; gives variables their values on the way.
    fn matches(&mut self, pattern: &Pattern, row: &[Value]) -> bool {
        for (slot, value) in pattern.slots.iter().zip(row) {
            match slot {
                Slot::Any => {}
                Slot::Bind(v) => self.bindings[*v] = Some(value.clone()),
                Slot::Constant(wanted) if wanted != value => return false,
                Slot::Known(v) if self.bindings[*v].as_ref() != Some(value) => return false,
                Slot::Constant(_) | Slot::Known(_) => {}
            }
        }
        true
    }
}
