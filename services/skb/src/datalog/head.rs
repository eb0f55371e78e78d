//! What a rule makes of the bindings of its body: rows, or groups of them.

use super::ast::{Expr, Function, HeadTerm};
use super::error::Error;
use super::meter::Meter;
use super::relation::Row;
use super::value::{Int, Value};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// The value of `expr`, if it has one.
pub(super) fn value(expr: &Expr, bindings: &[Option<Value>]) -> Option<Value> {
    match expr {
        Expr::Constant(value) => Some(value.clone()),
        Expr::Variable(v) => bindings[*v].clone(),
        Expr::Binary(operator, a, b) => {
            let (a, b) = (value(a, bindings)?, value(b, bindings)?);
            operator.apply(a.as_int()?, b.as_int()?).map(Value::Int)
        }
    }
}

/// Bytes of a row on its own.
pub(super) fn row_bytes(row: &[Value]) -> usize {
    let heap: usize = row.iter().map(Value::heap_bytes).sum();
    core::mem::size_of_val(row) + heap + 32
}

/// Collects rows for one head.
pub(super) enum Head<'a> {
    /// Each binding is a row.
    Rows(&'a [HeadTerm], Vec<Row>),
    /// Bindings are grouped by the plain terms; each aggregate keeps its distinct tuples.
    Groups(&'a [HeadTerm], BTreeMap<Row, Vec<BTreeSet<Row>>>),
}

impl<'a> Head<'a> {
    pub fn new(terms: &'a [HeadTerm], aggregates: bool) -> Self {
        if aggregates {
            Self::Groups(terms, BTreeMap::new())
        } else {
            Self::Rows(terms, Vec::new())
        }
    }

    /// Takes one binding; `known` says which rows are not needed.
    pub fn take(
        &mut self,
        bindings: &[Option<Value>],
        known: &dyn Fn(&[Value]) -> bool,
        meter: &mut Meter,
    ) -> Result<(), Error> {
        match self {
            Self::Rows(terms, rows) => {
                let row: Option<Row> = terms.iter().map(|t| plain(t, bindings)).collect();
                if let Some(row) = row.filter(|row| !known(row)) {
                    meter.hold(row_bytes(&row))?;
                    rows.push(row);
                }
            }
            Self::Groups(terms, groups) => {
                let plain_terms = terms.iter().filter(|t| matches!(t, HeadTerm::Value(_)));
                let group: Option<Row> = plain_terms.map(|t| plain(t, bindings)).collect();
                let tuples: Option<Vec<Row>> =
                    terms.iter().filter_map(|t| tuple(t, bindings)).collect();
                if let (Some(group), Some(tuples)) = (group, tuples) {
                    take_group(groups, group, tuples, meter)?;
                }
            }
        }
        Ok(())
    }

    /// The rows.
    pub fn finish(self, meter: &mut Meter) -> Result<Vec<Row>, Error> {
        match self {
            Self::Rows(_, rows) => Ok(rows),
            Self::Groups(terms, groups) => {
                let mut rows = Vec::new();
                for (group, tuples) in &groups {
                    meter.step()?;
                    if let Some(row) = result(terms, group, tuples) {
                        meter.hold(row_bytes(&row))?;
                        rows.push(row);
                    }
                }
                for (group, tuples) in &groups {
                    meter.release(row_bytes(group));
                    let all = tuples.iter().flatten();
                    all.for_each(|t| meter.release(row_bytes(t)));
                }
                Ok(rows)
            }
        }
    }
}

fn take_group(
    groups: &mut BTreeMap<Row, Vec<BTreeSet<Row>>>,
    group: Row,
    tuples: Vec<Row>,
    meter: &mut Meter,
) -> Result<(), Error> {
    if !groups.contains_key(&group) {
        meter.hold(row_bytes(&group))?;
    }
    let kept = groups.entry(group).or_default();
    kept.resize_with(tuples.len(), BTreeSet::new);
    for (kept, tuple) in kept.iter_mut().zip(tuples) {
        let bytes = row_bytes(&tuple);
        if kept.insert(tuple) {
            meter.hold(bytes)?;
        }
    }
    Ok(())
}

fn plain(term: &HeadTerm, bindings: &[Option<Value>]) -> Option<Value> {
    match term {
        HeadTerm::Value(expr) => value(expr, bindings),
        HeadTerm::Aggregate(..) => None,
    }
}

/// The tuple that an aggregate sees; `None` for plain terms, `Some(None)` if one has no value.
fn tuple(term: &HeadTerm, bindings: &[Option<Value>]) -> Option<Option<Row>> {
    match term {
        HeadTerm::Value(_) => None,
        HeadTerm::Aggregate(_, terms) => Some(terms.iter().map(|t| value(t, bindings)).collect()),
    }
}

fn result(terms: &[HeadTerm], group: &[Value], tuples: &[BTreeSet<Row>]) -> Option<Row> {
    let (mut group, mut tuples) = (group.iter(), tuples.iter());
    let value = |term: &HeadTerm| match term {
        HeadTerm::Value(_) => group.next().cloned(),
        HeadTerm::Aggregate(function, _) => aggregate(*function, tuples.next()?),
    };
    terms.iter().map(value).collect()
}

fn aggregate(function: Function, tuples: &BTreeSet<Row>) -> Option<Value> {
    let mut first = tuples.iter().map(|t| &t[0]);
    match function {
        Function::Min => first.next().cloned(),
        Function::Max => first.next_back().cloned(),
        Function::Count => Some(Value::from(tuples.len() as u64)),
        Function::Sum => {
            // A set in memory has too few elements for the sum to leave 128 bits.
            let sum: Option<i128> = first.map(Value::as_int).sum();
            sum.and_then(Int::new).map(Value::Int)
        }
    }
}
