//! A small Datalog: facts and rules in, everything that follows from them out.
//!
//! A program is a list of clauses, each ended by a full stop:
//!
//! ```text
//! input distance(From, To, Cost).                       // what others will tell
//! distance(0, 1, 20).                                   // a fact
//! near(A, B) :- distance(A, B, D), D <= 20.             // a rule
//! reach(A, C) :- reach(A, B), near(B, C), A != C.       // it may be recursive
//! best(A, min(D)) :- distance(A, _, D).                 // min, max, count, sum in a head
//! lonely(A) :- distance(A, _, _), not near(A, _).       // negation
//! ```
//!
//! - [`parse`] reads text; errors name line, column and what was expected.
//! - `plan` orders the literals of a rule and checks that every variable gets a value;
//!   `strata` checks that nothing depends on its own absence.
//! - `eval` derives semi-naively, within [`Limits`].
//! - [`Base`] holds the facts, follows changes, answers questions.
//!
//! **Meaning.** A set of facts, computed stratum by stratum. Values are ordered integers first,
//! then symbols, then texts, each among themselves; so a comparison never fails. Arithmetic
//! whose operands are no integers or whose result lies outside of −2⁶³ … 2⁶⁴−1 has no value, and
//! a literal without a value does not hold. `count(X, …)` counts the distinct tuples of its
//! arguments in a group, `sum(X, …)` adds the first element of each such tuple: what tells equal
//! values apart is written behind them. A group without rows has no answer (not 0).

mod ast;
mod base;
mod changes;
mod check;
mod error;
mod eval;
mod head;
mod lexer;
mod meter;
mod parser;
mod plan;
mod relation;
mod schema;
mod strata;
mod value;

pub use ast::{Atom, Clause, Expr, Function, HeadTerm, Literal, Operator, Order, Rule, Term};
pub use base::{Answer, Base, PredicateInfo, TakenOut};
pub use changes::{Applied, Changes, Fact, Pattern};
pub use error::{Error, Place, SyntaxError};
pub use meter::{Limits, Work};
pub use parser::{MAX_ARITY, MAX_DEPTH, MAX_LITERALS, MAX_VARIABLES, parse, parse_question};
pub use value::{Int, Value};

#[cfg(test)]
mod tests;
