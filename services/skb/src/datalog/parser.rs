//! Tokens to clauses. Every error names line, column, what was expected and what stands there.

use super::ast::{Atom, Clause, Expr, Function, HeadTerm, Literal, Operator, Order, Rule, Term};
use super::error::{Place, SyntaxError};
use super::lexer::{Lexer, Token};
use super::value::{Int, KEYWORDS, Value};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

/// Most arguments of a predicate.
pub const MAX_ARITY: usize = 12;
/// Most literals of a body.
pub const MAX_LITERALS: usize = 48;
/// Most variables of a rule.
pub const MAX_VARIABLES: usize = 64;
/// Deepest nesting of an expression.
pub const MAX_DEPTH: usize = 16;

/// Reads a program.
///
/// # Errors
/// The first place where the text stops to be one.
pub fn parse(text: &str) -> Result<Vec<Clause>, SyntaxError> {
    let mut parser = Parser::new(text)?;
    let mut clauses = Vec::new();
    while parser.token != Token::End {
        clauses.push(parser.clause()?);
    }
    Ok(clauses)
}

/// Reads a question: a body (`core(C, _), not running(C, _)`), whose named variables are the
/// answer's columns, or a rule (`answer(N, count(C)) :- …`), whose head is. The final full stop
/// may be left out.
///
/// # Errors
/// The first place where the text stops to be one.
pub fn parse_question(text: &str) -> Result<Rule, SyntaxError> {
    let mut ahead = Parser::new(text)?;
    let mut is_rule = false;
    while ahead.token != Token::End && !is_rule {
        is_rule = ahead.sees(":-");
        ahead.advance()?;
    }
    let mut parser = Parser::new(text)?;
    let rule = if is_rule {
        parser.rule()?
    } else {
        let at = parser.at;
        let body = parser.body()?;
        let columns = (0..parser.variables.len()).map(Expr::Variable);
        Rule {
            name: "?".into(),
            head: columns.map(HeadTerm::Value).collect(),
            body,
            variables: core::mem::take(&mut parser.variables),
            at,
        }
    };
    if parser.sees(".") {
        parser.advance()?;
    }
    match parser.token {
        Token::End => Ok(rule),
        _ => Err(parser.wrong("`,`, `.` or the end of the question")),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token,
    at: Place,
    /// Of the clause that is being read.
    variables: Vec<String>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, SyntaxError> {
        let mut lexer = Lexer::new(text);
        let (token, at) = lexer.next()?;
        Ok(Self {
            lexer,
            token,
            at,
            variables: Vec::new(),
        })
    }

    fn advance(&mut self) -> Result<Token, SyntaxError> {
        let (token, at) = self.lexer.next()?;
        self.at = at;
        Ok(core::mem::replace(&mut self.token, token))
    }

    fn wrong(&self, expected: &'static str) -> SyntaxError {
        SyntaxError {
            at: self.at,
            expected,
            found: self.token.shown(),
        }
    }

    fn sees(&self, sign: &str) -> bool {
        matches!(self.token, Token::Sign(s) if s == sign)
    }

    /// Takes `sign` or says what was expected.
    fn need(&mut self, sign: &str, expected: &'static str) -> Result<(), SyntaxError> {
        if !self.sees(sign) {
            return Err(self.wrong(expected));
        }
        self.advance().map(|_| ())
    }

    /// Takes `sign` if it is there.
    fn accept(&mut self, sign: &str) -> Result<bool, SyntaxError> {
        let there = self.sees(sign);
        if there {
            self.advance()?;
        }
        Ok(there)
    }

    fn name(&mut self, expected: &'static str) -> Result<Rc<str>, SyntaxError> {
        match &self.token {
            Token::Name(name) if !KEYWORDS.contains(&name.as_str()) => {
                let name = name.as_str().into();
                self.advance()?;
                Ok(name)
            }
            _ => Err(self.wrong(expected)),
        }
    }

    fn clause(&mut self) -> Result<Clause, SyntaxError> {
        self.variables.clear();
        let clause = match &self.token {
            Token::Name(name) if name == "input" => self.input()?,
            _ => Clause::Rule(self.rule()?),
        };
        self.need(".", "`.` at the end of the clause")?;
        Ok(clause)
    }

    fn input(&mut self) -> Result<Clause, SyntaxError> {
        self.advance()?;
        let at = self.at;
        let name = self.name("the name of a predicate behind `input`")?;
        self.need("(", "`(` behind the name of a predicate")?;
        let mut arguments = Vec::new();
        loop {
            if arguments.len() == MAX_ARITY {
                return Err(self.wrong("at most 12 arguments"));
            }
            let Token::Variable(argument) = &self.token else {
                return Err(self.wrong("the name of an argument (with a capital letter)"));
            };
            arguments.push(argument.clone());
            self.advance()?;
            if !self.accept(",")? {
                break;
            }
        }
        self.need(")", "`,` or `)` behind an argument")?;
        Ok(Clause::Input {
            name,
            arguments,
            at,
        })
    }

    fn rule(&mut self) -> Result<Rule, SyntaxError> {
        let at = self.at;
        let name = self.name("the name of a predicate (with a small letter)")?;
        let head = self.arguments(Self::head_term)?;
        let body = if self.accept(":-")? {
            self.body()?
        } else {
            Vec::new()
        };
        Ok(Rule {
            name,
            head,
            body,
            variables: core::mem::take(&mut self.variables),
            at,
        })
    }

    /// `(` one or more of what `one` reads `)`.
    fn arguments<T>(
        &mut self,
        one: fn(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<Vec<T>, SyntaxError> {
        self.need("(", "`(` behind the name of a predicate")?;
        let mut all = Vec::new();
        loop {
            if all.len() == MAX_ARITY {
                return Err(self.wrong("at most 12 arguments"));
            }
            all.push(one(self)?);
            if !self.accept(",")? {
                break;
            }
        }
        self.need(")", "`,` or `)` behind an argument")?;
        Ok(all)
    }

    fn head_term(&mut self) -> Result<HeadTerm, SyntaxError> {
        if let Token::Name(name) = &self.token
            && let Some(function) = Function::named(name)
        {
            let (constant, at) = (Value::Symbol(name.as_str().into()), self.at);
            self.advance()?;
            if !self.sees("(") {
                return self
                    .operators(Expr::Constant(constant), 0, 0)
                    .map(HeadTerm::Value);
            }
            let terms = self.arguments(|p| p.expression(0))?;
            if terms.len() > 1 && matches!(function, Function::Min | Function::Max) {
                return Err(SyntaxError {
                    at,
                    expected: "one argument of `min` or `max`",
                    found: "several".into(),
                });
            }
            return Ok(HeadTerm::Aggregate(function, terms));
        }
        self.expression(0).map(HeadTerm::Value)
    }

    fn body(&mut self) -> Result<Vec<Literal>, SyntaxError> {
        let mut body = Vec::new();
        loop {
            if body.len() == MAX_LITERALS {
                return Err(self.wrong("at most 48 literals in a body"));
            }
            body.push(self.literal()?);
            if !self.accept(",")? {
                return Ok(body);
            }
        }
    }

    fn literal(&mut self) -> Result<Literal, SyntaxError> {
        if let Token::Name(name) = &self.token {
            if name == "not" {
                self.advance()?;
                let (at, name) = (self.at, self.name("a predicate behind `not`")?);
                return self.atom(name, at).map(Literal::Absent);
            }
            let (at, name) = (self.at, self.name("a literal")?);
            if self.sees("(") {
                return self.atom(name, at).map(Literal::Holds);
            }
            let left = self.operators(Expr::Constant(Value::Symbol(name)), 0, 0)?;
            return self.compare(left, at);
        }
        let at = self.at;
        let left = self.expression(0)?;
        self.compare(left, at)
    }

    fn compare(&mut self, left: Expr, at: Place) -> Result<Literal, SyntaxError> {
        let order = match self.token {
            Token::Sign("=") => Order::Equal,
            Token::Sign("!=") => Order::Different,
            Token::Sign("<") => Order::Less,
            Token::Sign("<=") => Order::AtMost,
            Token::Sign(">") => Order::Greater,
            Token::Sign(">=") => Order::AtLeast,
            _ => return Err(self.wrong("`(` or a comparison")),
        };
        self.advance()?;
        let right = self.expression(0)?;
        Ok(Literal::Compare(order, left, right, at))
    }

    fn atom(&mut self, name: Rc<str>, at: Place) -> Result<Atom, SyntaxError> {
        let terms = self.arguments(Self::term)?;
        Ok(Atom { name, terms, at })
    }

    /// A variable, a constant or `_`: arithmetic stands in comparisons and heads only.
    fn term(&mut self) -> Result<Term, SyntaxError> {
        if self.token == Token::Any {
            self.advance()?;
            return Ok(Term::Any);
        }
        match self.primary(0, "a variable, a constant or `_`")? {
            Expr::Constant(value) => Ok(Term::Constant(value)),
            Expr::Variable(v) => Ok(Term::Variable(v)),
            Expr::Binary(..) => Err(self.wrong("a variable, a constant or `_`")),
        }
    }

    fn expression(&mut self, depth: usize) -> Result<Expr, SyntaxError> {
        let first = self.primary(depth, "a variable, a constant or `(`")?;
        self.operators(first, 0, depth)
    }

    /// What follows `left`, as long as its operators bind at least as strongly as `level`.
    fn operators(&mut self, mut left: Expr, level: u8, depth: usize) -> Result<Expr, SyntaxError> {
        let mut length = depth;
        loop {
            let (operator, binds) = match self.token {
                Token::Sign("+") => (Operator::Add, 0),
                Token::Sign("-") => (Operator::Subtract, 0),
                Token::Sign("*") => (Operator::Multiply, 1),
                Token::Sign("/") => (Operator::Divide, 1),
                Token::Sign("%") => (Operator::Remainder, 1),
                _ => return Ok(left),
            };
            if binds < level {
                return Ok(left);
            }
            // A chain nests to the left as deep as it is long.
            length += 1;
            if length > MAX_DEPTH {
                return Err(self.wrong("an expression of at most 16 operators"));
            }
            self.advance()?;
            let mut right = self.primary(length, "a variable, a constant or `(`")?;
            if binds == 0 {
                right = self.operators(right, 1, length)?;
            }
            left = Expr::Binary(operator, Box::new(left), Box::new(right));
        }
    }

    fn primary(&mut self, depth: usize, expected: &'static str) -> Result<Expr, SyntaxError> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("an expression of at most 16 operators"));
        }
        match &self.token {
            Token::Variable(name) => {
                let variable = self.variable(name.clone())?;
                self.advance()?;
                Ok(Expr::Variable(variable))
            }
            Token::Sign("(") if expected != "a variable, a constant or `_`" => {
                self.advance()?;
                let inner = self.expression(depth + 1)?;
                self.need(")", "an operator or `)`")?;
                Ok(inner)
            }
            _ => self.constant(expected).map(Expr::Constant),
        }
    }

    fn constant(&mut self, expected: &'static str) -> Result<Value, SyntaxError> {
        let value = match &self.token {
            Token::Number(n) => Value::Int(*n),
            Token::Text(text) => Value::text(text),
            Token::Name(name) if !KEYWORDS.contains(&name.as_str()) => {
                Value::Symbol(name.as_str().into())
            }
            Token::Sign("-") => {
                self.advance()?;
                match self.token {
                    Token::Number(n) => match Int::new(-n.get()) {
                        Some(n) => Value::Int(n),
                        None => return Err(self.wrong("a number of at least -2^63")),
                    },
                    _ => return Err(self.wrong("a number behind `-`")),
                }
            }
            _ => return Err(self.wrong(expected)),
        };
        self.advance()?;
        Ok(value)
    }

    fn variable(&mut self, name: String) -> Result<usize, SyntaxError> {
        if let Some(at) = self.variables.iter().position(|v| *v == name) {
            return Ok(at);
        }
        if self.variables.len() == MAX_VARIABLES {
            return Err(self.wrong("at most 64 variables in a clause"));
        }
        self.variables.push(name);
        Ok(self.variables.len() - 1)
    }
}
