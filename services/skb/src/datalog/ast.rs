//! Clauses as they were written.

use super::error::Place;
use super::value::{Int, Value};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

/// An argument in a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Term {
    /// Itself.
    Constant(Value),
    /// A variable of the rule, by number.
    Variable(usize),
    /// `_`: whatever it is.
    Any,
}

/// Arithmetic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`, rounded towards minus infinity for a positive divisor (Euclid's).
    Divide,
    /// `%`, never negative.
    Remainder,
}

impl Operator {
    /// The result, if there is one in range.
    #[must_use]
    pub fn apply(self, a: i128, b: i128) -> Option<Int> {
        let result = match self {
            Self::Add => a.checked_add(b),
            Self::Subtract => a.checked_sub(b),
            Self::Multiply => a.checked_mul(b),
            Self::Divide => a.checked_div_euclid(b),
            Self::Remainder => a.checked_rem_euclid(b),
        };
        result.and_then(Int::new)
    }
}

/// Something that has a value once its variables have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expr {
    /// Itself.
    Constant(Value),
    /// A variable of the rule.
    Variable(usize),
    /// Two integers to one.
    Binary(Operator, Box<Expr>, Box<Expr>),
}

impl Expr {
    /// Calls `see` for each variable.
    pub(super) fn variables(&self, see: &mut dyn FnMut(usize)) {
        match self {
            Self::Constant(_) => {}
            Self::Variable(v) => see(*v),
            Self::Binary(_, a, b) => {
                a.variables(see);
                b.variables(see);
            }
        }
    }
}

/// How two values compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// `=`
    Equal,
    /// `!=`
    Different,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Order {
    /// Whether it holds.
    #[must_use]
    pub fn holds(self, a: &Value, b: &Value) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Different => a != b,
            Self::Less => a < b,
            Self::AtMost => a <= b,
            Self::Greater => a > b,
            Self::AtLeast => a >= b,
        }
    }
}

/// A predicate and its arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Atom {
    /// Name of the predicate.
    pub name: Rc<str>,
    /// Arguments.
    pub terms: Vec<Term>,
    /// Where it stands.
    pub at: Place,
}

/// A condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Literal {
    /// There is such a fact.
    Holds(Atom),
    /// There is none.
    Absent(Atom),
    /// Two values compare so. `=` gives a variable without a value one.
    Compare(Order, Expr, Expr, Place),
}

impl Literal {
    /// Calls `see` for each occurrence of a variable.
    pub(super) fn variables(&self, see: &mut dyn FnMut(usize)) {
        match self {
            Self::Holds(atom) | Self::Absent(atom) => {
                for term in &atom.terms {
                    if let Term::Variable(v) = term {
                        see(*v);
                    }
                }
            }
            Self::Compare(_, a, b, _) => {
                a.variables(see);
                b.variables(see);
            }
        }
    }
}

/// What is made of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Function {
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// How many distinct tuples.
    Count,
    /// The sum of the first elements of distinct tuples.
    Sum,
}

impl Function {
    /// The function of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "min" => Some(Self::Min),
            "max" => Some(Self::Max),
            "count" => Some(Self::Count),
            "sum" => Some(Self::Sum),
            _ => None,
        }
    }
}

/// An argument of a head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HeadTerm {
    /// A value; with aggregates beside it, part of what makes a group.
    Value(Expr),
    /// An aggregate over the group.
    Aggregate(Function, Vec<Expr>),
}

/// `head :- body.`; a fact has an empty body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Name of the predicate that it defines.
    pub name: Rc<str>,
    /// What is derived.
    pub head: Vec<HeadTerm>,
    /// All of these must hold.
    pub body: Vec<Literal>,
    /// Names of the variables, by number.
    pub variables: Vec<String>,
    /// Where it stands.
    pub at: Place,
}

impl Rule {
    /// Whether its head has aggregates.
    #[must_use]
    pub fn aggregates(&self) -> bool {
        let mut head = self.head.iter();
        head.any(|t| matches!(t, HeadTerm::Aggregate(..)))
    }

    /// The values of a fact: no body, constants only.
    #[must_use]
    pub fn as_fact(&self) -> Option<Vec<Value>> {
        let constant = |t: &HeadTerm| match t {
            HeadTerm::Value(Expr::Constant(v)) => Some(v.clone()),
            _ => None,
        };
        if !self.body.is_empty() {
            return None;
        }
        self.head.iter().map(constant).collect()
    }
}

/// One sentence of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Clause {
    /// `input name(Argument, …).`: facts that others tell.
    Input {
        /// Name of the predicate.
        name: Rc<str>,
        /// Names of its arguments.
        arguments: Vec<String>,
        /// Where it stands.
        at: Place,
    },
    /// A rule or fact.
    Rule(Rule),
}
