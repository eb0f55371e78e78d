//! Reading records and queries.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::query::{MAX_PATTERN_TESTS, MAX_TESTS};
use super::value::{is_name_char, is_name_start};
use super::{
    Compare, MAX_ATTRIBUTES, MAX_NAME, MAX_RECORD, MAX_TEXT, Pattern, Query, Record, Test, Value,
};

/// What is wrong with a text, and where (characters from 1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// Character.
    pub at: usize,
    /// A sentence without its end.
    pub what: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "character {}: {}", self.at, self.what)
    }
}

type Parsed<T> = Result<T, ParseError>;

/// Reads a record.
///
/// # Errors
/// Where the text is none.
pub fn record(text: &str) -> Parsed<Record> {
    let mut c = Cursor::new(text)?;
    let name = c.name("a record's name")?;
    let mut attributes = BTreeMap::new();
    c.list(|c| {
        let attribute = c.name("an attribute's name")?;
        c.expect(':', &format!("behind {attribute}"))?;
        let value = c.value()?;
        let place = attributes.len();
        if place == MAX_ATTRIBUTES {
            return c.fail(format!("a record has at most {MAX_ATTRIBUTES} attributes"));
        }
        match attributes.insert(attribute.clone(), value) {
            None => Ok(()),
            Some(_) => c.fail(format!("attribute {attribute} is there twice")),
        }
    })?;
    let record = Record { name, attributes };
    if record.to_string().len() > MAX_RECORD {
        return c.fail(format!("a record has at most {MAX_RECORD} bytes as text"));
    }
    Ok(record)
}

/// Reads a query.
///
/// # Errors
/// Where the text is none.
pub fn query(text: &str) -> Parsed<Query> {
    let mut c = Cursor::new(text)?;
    let names = c.pattern()?;
    let mut tests = Vec::new();
    c.list(|c| {
        let test = c.test()?;
        tests.push(test);
        let patterns = tests.iter().filter(|t| matches!(t, Test::Fits(..)));
        if tests.len() > MAX_TESTS || patterns.count() > MAX_PATTERN_TESTS {
            return c.fail(format!(
                "a query has at most {MAX_TESTS} tests, {MAX_PATTERN_TESTS} of them with ~"
            ));
        }
        Ok(())
    })?;
    Ok(Query { names, tests })
}

/// Reads a name alone: of a record, a lock, a barrier.
///
/// # Errors
/// Where the text is none.
pub fn name(text: &str) -> Parsed<String> {
    let mut c = Cursor::new(text)?;
    let name = c.name("a name")?;
    c.end()?;
    Ok(name)
}

/// Where reading is.
struct Cursor {
    chars: Vec<char>,
    at: usize,
}

impl Cursor {
    fn new(text: &str) -> Parsed<Cursor> {
        let chars = text.chars().collect();
        let c = Cursor { chars, at: 0 };
        if text.len() > 2 * MAX_RECORD {
            return c.fail(format!("the text has more than {} bytes", 2 * MAX_RECORD));
        }
        Ok(c)
    }

    fn fail<T>(&self, what: String) -> Parsed<T> {
        let at = self.at + 1;
        Err(ParseError { at, what })
    }

    fn wanted<T>(&self, what: &str) -> Parsed<T> {
        match self.chars.get(self.at) {
            Some(c) => self.fail(format!("expected {what}, found `{c}`")),
            None => self.fail(format!("expected {what}, found the end of the text")),
        }
    }

    fn skip_blanks(&mut self) {
        while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
    }

    /// The next character that is no blank, still to be taken.
    fn peek(&mut self) -> Option<char> {
        self.skip_blanks();
        self.chars.get(self.at).copied()
    }

    fn take(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, wanted: char, place: &str) -> Parsed<()> {
        match self.take(wanted) {
            true => Ok(()),
            false => self.wanted(&format!("`{wanted}` {place}")),
        }
    }

    fn end(&mut self) -> Parsed<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.wanted("the end of the text"),
        }
    }

    /// `{ item, item }` or nothing, then the end.
    fn list(&mut self, mut item: impl FnMut(&mut Cursor) -> Parsed<()>) -> Parsed<()> {
        if self.take('{') && !self.take('}') {
            loop {
                item(self)?;
                if self.take('}') {
                    break;
                }
                self.expect(',', "or `}`")?;
            }
        }
        self.end()
    }

    /// The characters from here on that belong to a name, or to a pattern of names.
    fn run(&mut self, what: &str, also: &[char]) -> Parsed<String> {
        self.skip_blanks();
        let rest = self.chars[self.at..].iter();
        let run: String = rest
            .take_while(|c| is_name_char(**c) || also.contains(c))
            .collect();
        if run.len() > MAX_NAME {
            return self.fail(format!("{what} has at most {MAX_NAME} characters"));
        }
        let starts = |c: char| is_name_start(c) || also.contains(&c);
        if !run.chars().next().is_some_and(starts) {
            return self.wanted(what);
        }
        self.at += run.len();
        Ok(run)
    }

    fn name(&mut self, what: &str) -> Parsed<String> {
        self.run(what, &[])
    }

    fn pattern(&mut self) -> Parsed<Pattern> {
        let text = self.run("a name or a pattern like job.*", &['*', '?'])?;
        Ok(Pattern::new(&text))
    }

    fn value(&mut self) -> Parsed<Value> {
        match self.peek() {
            Some('"') => self.text().map(Value::Text),
            Some(c) if c == '-' || c.is_ascii_digit() => self.integer().map(Value::Integer),
            Some(c) if is_name_start(c) => self.name("a symbol").map(Value::Symbol),
            _ => self.wanted("a number, a \"text\" or a symbol"),
        }
    }

    fn integer(&mut self) -> Parsed<i64> {
        let rest = self.chars[self.at..].iter();
        let word: String = rest
            .take_while(|c| is_name_char(**c))
            .take(MAX_NAME)
            .collect();
        let (sign, digits) = match word.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", word.as_str()),
        };
        let (radix, digits) = match digits.strip_prefix("0x") {
            Some(hex) => (16, hex),
            None => (10, digits),
        };
        let plain = digits.chars().all(|c| c.is_digit(radix));
        let number = i64::from_str_radix(&format!("{sign}{digits}"), radix);
        match number.ok().filter(|_| plain) {
            Some(number) => {
                self.at += word.len();
                Ok(number)
            }
            None => self.fail(format!("`{word}` is not a number of 64 bits")),
        }
    }

    fn text(&mut self) -> Parsed<String> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(c) = self.chars.get(self.at).copied() else {
                self.at = start;
                return self.fail("the text that begins here does not end".to_string());
            };
            self.at += 1;
            match c {
                '"' => return Ok(text),
                '\\' => text.push(self.escaped()?),
                '\0' => return self.fail("a text has no zero character".to_string()),
                c => text.push(c),
            }
            if text.len() > MAX_TEXT {
                return self.fail(format!("a text has at most {MAX_TEXT} bytes"));
            }
        }
    }

    fn escaped(&mut self) -> Parsed<char> {
        let c = match self.chars.get(self.at) {
            Some('n') => '\n',
            Some('t') => '\t',
            Some(c @ ('"' | '\\')) => *c,
            _ => return self.wanted("one of \" \\ n t behind \\"),
        };
        self.at += 1;
        Ok(c)
    }

    fn test(&mut self) -> Parsed<Test> {
        let attribute = self.name("an attribute's name")?;
        if self.take('~') {
            if self.peek() != Some('"') {
                return self.wanted("a \"pattern\" behind ~");
            }
            let text = self.text()?;
            if text.len() > MAX_NAME {
                return self.fail(format!("a pattern has at most {MAX_NAME} bytes"));
            }
            return Ok(Test::Fits(attribute, Pattern::new(&text)));
        }
        match self.comparison()? {
            Some(compare) => Ok(Test::Is(attribute, compare, self.value()?)),
            None => Ok(Test::There(attribute)),
        }
    }

    fn comparison(&mut self) -> Parsed<Option<Compare>> {
        let first = self.peek();
        let second = self.chars.get(self.at + 1).copied() == Some('=');
        let (compare, length) = match (first, second) {
            (Some(':'), _) => (Compare::Equal, 1),
            (Some('='), true) => (Compare::Equal, 2),
            (Some('!'), true) => (Compare::Unequal, 2),
            (Some('<'), true) => (Compare::AtMost, 2),
            (Some('<'), false) => (Compare::Less, 1),
            (Some('>'), true) => (Compare::AtLeast, 2),
            (Some('>'), false) => (Compare::Greater, 1),
            (Some(',' | '}'), _) => return Ok(None),
            _ => return self.wanted("a comparison, `,` or `}`"),
        };
        self.at += length;
        Ok(Some(compare))
    }
}
