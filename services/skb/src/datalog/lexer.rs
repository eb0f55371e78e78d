//! Characters to tokens.

use super::error::{Place, SyntaxError};
use super::value::Int;
use alloc::format;
use alloc::string::{String, ToString};
use core::iter::Peekable;
use core::str::Chars;

/// A piece of text with a meaning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Token {
    /// Begins with a lower-case letter.
    Name(String),
    /// Begins with an upper-case letter, or `_` and more.
    Variable(String),
    /// `_`.
    Any,
    /// Digits; its sign is a token of its own. May be 2⁶³ … 2⁶⁴−1.
    Number(Int),
    /// In quotes, escapes resolved.
    Text(String),
    /// One or two punctuation characters.
    Sign(&'static str),
    /// Nothing follows.
    End,
}

impl Token {
    /// As an error says it.
    pub fn shown(&self) -> String {
        match self {
            Self::Name(s) | Self::Variable(s) => format!("`{s}`"),
            Self::Any => "`_`".to_string(),
            Self::Number(n) => format!("`{}`", n.get()),
            Self::Text(_) => "a text".to_string(),
            Self::Sign(s) => format!("`{s}`"),
            Self::End => "the end of the text".to_string(),
        }
    }
}

/// Two characters first: the longest match wins.
const SIGNS: &[&str] = &[
    ":-", "!=", "<=", ">=", "(", ")", ",", ".", "=", "<", ">", "+", "-", "*", "/", "%",
];
/// Longest text in quotes.
const MAX_TEXT: usize = 1024;

/// Reads tokens one after the other.
pub(super) struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    place: Place,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            rest: text.chars().peekable(),
            place: Place { line: 1, column: 1 },
        }
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.place.line += 1;
            self.place.column = 1;
        } else {
            self.place.column += 1;
        }
        Some(c)
    }

    fn take_while(&mut self, out: &mut String, wanted: impl Fn(char) -> bool) {
        while let Some(&c) = self.rest.peek() {
            if !wanted(c) {
                break;
            }
            out.push(c);
            self.take();
        }
    }

    /// Skips white space and comments (`//` to the end of the line).
    fn skip(&mut self) {
        loop {
            match self.rest.peek().copied() {
                Some(c) if c.is_whitespace() => {
                    self.take();
                }
                Some('/') if self.second() == Some('/') => {
                    while self.take().is_some_and(|c| c != '\n') {}
                }
                _ => return,
            }
        }
    }

    /// The character behind the next one.
    fn second(&self) -> Option<char> {
        let mut ahead = self.rest.clone();
        ahead.next();
        ahead.next()
    }

    /// The next token and where it begins.
    pub fn next(&mut self) -> Result<(Token, Place), SyntaxError> {
        self.skip();
        let at = self.place;
        let Some(&c) = self.rest.peek() else {
            return Ok((Token::End, at));
        };
        let token = match c {
            'a'..='z' => Token::Name(self.word()),
            'A'..='Z' => Token::Variable(self.word()),
            '_' => match self.word() {
                word if word == "_" => Token::Any,
                word => Token::Variable(word),
            },
            '0'..='9' => self.number(at)?,
            '"' => self.text()?,
            _ => self.sign(at)?,
        };
        Ok((token, at))
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        self.take_while(&mut word, |c| c.is_ascii_alphanumeric() || c == '_');
        word
    }

    /// Decimal, or hexadecimal behind `0x`; `_` may stand between digits.
    fn number(&mut self, at: Place) -> Result<Token, SyntaxError> {
        let word = self.word();
        let digits: String = word.chars().filter(|c| *c != '_').collect();
        let value = match digits.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        match value {
            Ok(n) => Ok(Token::Number(
                Int::new(i128::from(n)).expect("a u64 is in range"),
            )),
            Err(_) => Err(SyntaxError {
                at,
                expected: "a number of at most 64 bits",
                found: format!("`{word}`"),
            }),
        }
    }

    fn text(&mut self) -> Result<Token, SyntaxError> {
        self.take();
        let mut text = String::new();
        loop {
            let at = self.place;
            let bad = |expected, found: String| SyntaxError {
                at,
                expected,
                found,
            };
            match self.take() {
                Some('"') => return Ok(Token::Text(text)),
                Some('\\') => match self.take() {
                    Some('n') => text.push('\n'),
                    Some(c @ ('"' | '\\')) => text.push(c),
                    Some(c) => {
                        return Err(bad("`\\\"`, `\\\\` or `\\n`", format!("`\\{c}`")));
                    }
                    None => return Err(bad("`\"`", Token::End.shown())),
                },
                Some('\n') => return Err(bad("`\"`", "the end of the line".to_string())),
                Some(_) if text.len() >= MAX_TEXT => {
                    return Err(bad("`\"`", "a text of more than 1024 bytes".to_string()));
                }
                Some(c) => text.push(c),
                None => return Err(bad("`\"`", Token::End.shown())),
            }
        }
    }

    fn sign(&mut self, at: Place) -> Result<Token, SyntaxError> {
        let first = self.take();
        let pair: String = first.iter().chain(self.rest.peek()).collect();
        let known = |s: &str| SIGNS.iter().copied().find(|sign| *sign == s);
        if let Some(sign) = known(&pair).filter(|s| s.len() == 2) {
            self.take();
            return Ok(Token::Sign(sign));
        }
        let single: String = first.into_iter().collect();
        known(&single).map(Token::Sign).ok_or_else(|| SyntaxError {
            at,
            expected: "a name, a variable, a number, a text or punctuation",
            found: format!("`{}`", single.escape_default()),
        })
    }
}
