//! The command language: `a; b; repeat N { c; d }`, quoting with '…', "…" and \.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// Deepest nesting of `repeat`.
const MAX_DEPTH: usize = 16;
/// Most repetitions of one block.
const MAX_REPEAT: u32 = 1_000_000;

/// One step of a script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A command: its words, at least one.
    Command(Vec<String>),
    /// A block to run so many times.
    Repeat(u32, Vec<Item>),
}

/// A parsed line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Script(pub Vec<Item>);

/// Why a line is not a script; positions are characters from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ParseError {
    /// The quote that begins here does not end.
    OpenQuote(usize),
    /// Nothing follows the last backslash.
    OpenEscape,
    /// `repeat` is not followed by a number and a block.
    BadRepeat(String),
    /// A `}` without a block.
    StrayBrace(usize),
    /// A block is not closed.
    OpenBlock,
    /// Blocks are nested too deeply.
    TooDeep,
    /// Something other than `;` follows a block.
    AfterBlock(String),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenQuote(at) => write!(f, "the quote at character {at} is not closed"),
            Self::OpenEscape => f.write_str("nothing follows the last \\"),
            Self::BadRepeat(found) => write!(
                f,
                "repeat needs a number (1 to {MAX_REPEAT}) and a block, as in \"repeat 3 {{ cores; mem }}\", not {found}"
            ),
            Self::StrayBrace(at) => write!(f, "the }} at character {at} closes nothing"),
            Self::OpenBlock => f.write_str("a block { is not closed by }"),
            Self::TooDeep => write!(f, "blocks are nested more than {MAX_DEPTH} deep"),
            Self::AfterBlock(word) => write!(f, "a ; must stand between a block and \"{word}\""),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    /// A word, and whether any of it was quoted.
    Word(String, bool),
    End,
    Open,
    Close(usize),
}

/// Parses a line. Empty commands are nothing, `#` at the start of a word begins a comment.
///
/// # Errors
/// See [`ParseError`].
pub fn parse(line: &str) -> Result<Script, ParseError> {
    let tokens = tokens(line)?;
    let mut at = 0;
    let items = block(&tokens, &mut at, 0)?;
    Ok(Script(items))
}

fn tokens(line: &str) -> Result<Vec<Token>, ParseError> {
    let mut out = Vec::new();
    let mut word: Option<(String, bool)> = None;
    let mut chars = line.chars().enumerate();
    let mut comment = false;
    while let Some((at, c)) = chars.next() {
        if comment && c != '\n' {
            continue;
        }
        let ends_word = c.is_whitespace() || matches!(c, ';' | '{' | '}');
        if ends_word {
            comment = false;
            out.extend(word.take().map(|(w, q)| Token::Word(w, q)));
        }
        match c {
            ';' | '\n' => out.push(Token::End),
            '{' => out.push(Token::Open),
            '}' => out.push(Token::Close(at + 1)),
            '#' if word.is_none() => comment = true,
            '\'' | '"' => {
                let (text, quoted) = word.get_or_insert_with(Default::default);
                *quoted = true;
                quoted_text(&mut chars, c, text).ok_or(ParseError::OpenQuote(at + 1))?;
            }
            '\\' => {
                let (_, c) = chars.next().ok_or(ParseError::OpenEscape)?;
                let (text, quoted) = word.get_or_insert_with(Default::default);
                *quoted = true;
                text.push(c);
            }
            c if !ends_word => word.get_or_insert_with(Default::default).0.push(c),
            _ => {}
        }
    }
    out.extend(word.take().map(|(w, q)| Token::Word(w, q)));
    Ok(out)
}

/// Appends what stands before the closing quote; `None` when there is none.
fn quoted_text(
    chars: &mut impl Iterator<Item = (usize, char)>,
    quote: char,
    text: &mut String,
) -> Option<()> {
    loop {
        match chars.next()?.1 {
            c if c == quote => return Some(()),
            '\\' if quote == '"' => text.push(chars.next()?.1),
            c => text.push(c),
        }
    }
}

fn block(tokens: &[Token], at: &mut usize, depth: usize) -> Result<Vec<Item>, ParseError> {
    if depth > MAX_DEPTH {
        return Err(ParseError::TooDeep);
    }
    let mut items = Vec::new();
    loop {
        match tokens.get(*at) {
            None if depth > 0 => return Err(ParseError::OpenBlock),
            None => return Ok(items),
            Some(Token::End) => *at += 1,
            Some(Token::Close(_)) if depth > 0 => {
                *at += 1;
                return Ok(items);
            }
            Some(Token::Close(p)) => return Err(ParseError::StrayBrace(*p)),
            Some(Token::Open) => return Err(ParseError::BadRepeat("{".into())),
            Some(Token::Word(w, false)) if w == "repeat" => {
                *at += 1;
                items.push(repeat(tokens, at, depth)?);
            }
            Some(Token::Word(..)) => items.push(Item::Command(words(tokens, at))),
        }
    }
}

fn words(tokens: &[Token], at: &mut usize) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(Token::Word(w, _)) = tokens.get(*at) {
        words.push(w.clone());
        *at += 1;
    }
    words
}

fn repeat(tokens: &[Token], at: &mut usize, depth: usize) -> Result<Item, ParseError> {
    let count = match tokens.get(*at) {
        Some(Token::Word(w, _)) => match w.parse::<u32>() {
            Ok(n) if (1..=MAX_REPEAT).contains(&n) => n,
            _ => return Err(ParseError::BadRepeat(alloc::format!("\"{w}\""))),
        },
        _ => return Err(ParseError::BadRepeat("nothing".into())),
    };
    *at += 1;
    match tokens.get(*at) {
        Some(Token::Open) => *at += 1,
        Some(Token::Word(w, _)) => {
            return Err(ParseError::BadRepeat(alloc::format!("{count} \"{w}\"")));
        }
        _ => return Err(ParseError::BadRepeat(alloc::format!("{count} alone"))),
    }
    let items = block(tokens, at, depth + 1)?;
    if let Some(Token::Word(w, _)) = tokens.get(*at) {
        return Err(ParseError::AfterBlock(w.clone()));
    }
    Ok(Item::Repeat(count, items))
}

impl Script {
    /// The commands in the order in which they run.
    #[must_use]
    pub fn runner(&self) -> Runner<'_> {
        Runner {
            stack: vec![Frame {
                items: &self.0,
                at: 0,
                rounds: 1,
            }],
        }
    }
}

struct Frame<'a> {
    items: &'a [Item],
    at: usize,
    rounds: u32,
}

/// Walks a script without unrolling its repetitions.
pub struct Runner<'a> {
    stack: Vec<Frame<'a>>,
}

impl<'a> Iterator for Runner<'a> {
    type Item = &'a [String];

    fn next(&mut self) -> Option<&'a [String]> {
        loop {
            let top = self.stack.last_mut()?;
            let Some(item) = top.items.get(top.at) else {
                if top.rounds > 1 && !top.items.is_empty() {
                    top.rounds -= 1;
                    top.at = 0;
                } else {
                    self.stack.pop();
                }
                continue;
            };
            top.at += 1;
            match item {
                Item::Command(words) => return Some(words),
                Item::Repeat(rounds, items) => self.stack.push(Frame {
                    items,
                    at: 0,
                    rounds: *rounds,
                }),
            }
        }
    }
}
