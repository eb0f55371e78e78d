//! Names, rules, plans and strata of a base.

use super::ast::{Literal, Rule};
use super::check::{Names, check_lonely};
use super::error::Error;
use super::eval::Plans;
use super::plan::{Pattern as Known, Span, Step, plan};
use super::strata::{Strata, strata};
use alloc::vec::Vec;

/// Names, rules and plans: everything that does not change with the facts.
#[derive(Clone, Default)]
pub(super) struct Schema {
    pub names: Names,
    pub rules: Vec<Rule>,
    /// By rule.
    pub plans: Vec<Plans>,
    pub strata: Strata,
    /// By predicate: columns that plans look rows up by.
    pub indexes: Vec<Vec<Vec<usize>>>,
}

impl Schema {
    /// Finds strata and plans after names or rules have come.
    pub fn complete(&mut self) -> Result<(), Error> {
        self.strata = strata(&self.names, &self.rules)?;
        self.plans.clear();
        self.indexes = alloc::vec![Vec::new(); self.names.predicates.len()];
        for rule in &self.rules {
            check_lonely(rule)?;
            let plans = self.plans_of(rule)?;
            for plan in plans.rounds.iter().chain([&plans.full]) {
                for step in &plan.steps {
                    if let Step::Scan(pattern, _) | Step::Absent(pattern) = step {
                        add_index(&mut self.indexes, pattern);
                    }
                }
            }
            self.plans.push(plans);
        }
        Ok(())
    }

    fn plans_of(&self, rule: &Rule) -> Result<Plans, Error> {
        let Some(head) = self.names.find(&rule.name) else {
            return Err(Error::Meaning(rule.at, self.names.unknown(&rule.name)));
        };
        let full = plan(rule, head, &self.names, None, &|_| Span::All)?;
        let mut own = Vec::new();
        let group = self.strata.groups.iter().find(|g| g.contains(&head));
        for (at, literal) in rule.body.iter().enumerate() {
            if let Literal::Holds(atom) = literal
                && let Some(predicate) = self.names.find(&atom.name)
                && group.is_some_and(|g| g.contains(&predicate))
            {
                own.push(at);
            }
        }
        let mut rounds = Vec::new();
        for new in &own {
            // Each combination of rows once: the first new row of it is this literal's.
            let span = |l: usize| match l.cmp(new) {
                _ if !own.contains(&l) => Span::All,
                core::cmp::Ordering::Less => Span::Old,
                core::cmp::Ordering::Equal => Span::New,
                core::cmp::Ordering::Greater => Span::All,
            };
            rounds.push(plan(rule, head, &self.names, Some(*new), &span)?);
        }
        Ok(Plans { full, rounds })
    }
}

fn add_index(indexes: &mut [Vec<Vec<usize>>], pattern: &Known) {
    let known = &mut indexes[pattern.predicate];
    if !pattern.columns.is_empty() && !known.contains(&pattern.columns) {
        known.push(pattern.columns.clone());
    }
}
