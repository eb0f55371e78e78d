//! A flattened device tree as a loader can read it: without a heap, without a panic, up to the first damage.
//!
//! Devicetree Specification 0.4, chapter 5. A node is a place in the structure block; what is asked of it is read there again.

use arrayvec::ArrayVec;
use core::fmt::{self, Write};

const MAGIC: u32 = 0xd00d_feed;
/// Most bytes that are read: the arm64 boot protocol allows no larger tree.
const MAX_BYTES: u64 = 2 << 20;
/// Longest path that a complaint shows whole.
const SHOWN: usize = 8;

/// Where complaints go, one at a time: the field, and what is wrong with it.
pub type Note<'n> = dyn FnMut(fmt::Arguments<'_>) + 'n;

/// A big-endian word.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(word.iter().fold(0, |n, b| n << 8 | u32::from(*b)))
}

/// Bytes of the tree that starts with these 8 bytes, as far as it may be read.
///
/// # Errors
/// What stands in place of the magic number.
pub fn total_bytes(head: [u8; 8]) -> Result<u64, u32> {
    match (word(&head, 0), word(&head, 4)) {
        (Some(MAGIC), Some(bytes)) => Ok(u64::from(bytes).min(MAX_BYTES)),
        (magic, _) => Err(magic.unwrap_or(0)),
    }
}

/// The text before the first zero byte.
fn text(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|b| *b == 0)?;
    core::str::from_utf8(&bytes[..end]).ok()
}

/// The two blocks of a tree.
#[derive(Clone, Copy, Debug)]
pub struct Blob<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
}

/// A token of the structure block.
enum Token<'a> {
    Begin(&'a str),
    End,
    /// The name is `None` where it lies outside of the strings block.
    Property(Option<&'a str>, &'a [u8]),
    Nop,
    Finish,
}

#[derive(Clone, Copy)]
struct Tokens<'a> {
    blob: Blob<'a>,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn word(&mut self) -> Option<u32> {
        let word = word(self.blob.structure, self.at)?;
        self.at += 4;
        Some(word)
    }

    /// `bytes` bytes; the next token is aligned to 4.
    fn bytes(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(bytes)?;
        let found = self.blob.structure.get(self.at..end)?;
        self.at = end.checked_next_multiple_of(4)?;
        Some(found)
    }

    fn next(&mut self) -> Result<Token<'a>, &'static str> {
        Ok(match self.word().ok_or("the block ends without FDT_END")? {
            1 => {
                let rest = self.blob.structure.get(self.at..).unwrap_or(&[]);
                let name = text(rest).ok_or("a node's name has no end")?;
                self.bytes(name.len() + 1);
                Token::Begin(name)
            }
            2 => Token::End,
            3 => {
                let len = self.word().ok_or("a property has no length")?;
                let name = self.word().ok_or("a property has no name")?;
                let value = self.bytes(len as usize);
                let value = value.ok_or("a property is longer than the block")?;
                let name = self.blob.strings.get(name as usize..).and_then(text);
                Token::Property(name, value)
            }
            4 => Token::Nop,
            9 => Token::Finish,
            _ => return Err("there is no such token"),
        })
    }
}

/// A node, by the place behind its name.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    /// Its name with its unit address; empty for the root.
    pub name: &'a str,
    inside: Tokens<'a>,
}

impl<'a> Node<'a> {
    /// The value of a property.
    pub fn property(&self, name: &str) -> Option<&'a [u8]> {
        let mut tokens = self.inside;
        loop {
            match tokens.next().ok()? {
                Token::Property(Some(n), value) if n == name => return Some(value),
                Token::Property(..) | Token::Nop => {}
                Token::Begin(_) | Token::End | Token::Finish => return None,
            }
        }
    }

    /// The nodes in it, as far as the block is sound.
    pub fn children(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let mut tokens = self.inside;
        let mut depth = 0usize;
        let next = move || loop {
            match tokens.next().ok()? {
                Token::Begin(name) => {
                    depth += 1;
                    if depth == 1 {
                        let inside = tokens;
                        return Some(Node { name, inside });
                    }
                }
                Token::End => depth = depth.checked_sub(1)?,
                Token::Finish => return None,
                Token::Property(..) | Token::Nop => {}
            }
        };
        core::iter::from_fn(next).fuse()
    }
}

impl<'a> Blob<'a> {
    /// The blocks of the tree in `bytes`; what of them lies outside is told to `note` and cut off. `None` if nothing is left.
    pub fn open(bytes: &'a [u8], note: &mut Note<'_>) -> Option<Blob<'a>> {
        let mut header = [0; 10];
        for (i, field) in header.iter_mut().enumerate() {
            let Some(value) = word(bytes, 4 * i) else {
                note(format_args!("header: {} bytes are too few", bytes.len()));
                return None;
            };
            *field = value;
        }
        let [
            _,
            total,
            structure,
            strings,
            _,
            version,
            compatible,
            _,
            strings_bytes,
            structure_bytes,
        ] = header;
        if total as usize > bytes.len() {
            let read = bytes.len();
            note(format_args!(
                "totalsize: {total:#x}: only {read:#x} bytes are read"
            ));
        }
        if compatible > 17 || version < 16 {
            let known = "16 and 17 are known";
            note(format_args!(
                "version: {version}, compatible with {compatible}: {known}"
            ));
            return None;
        }
        let mut part = |name: &str, at: u32, len: u32| {
            let rest = bytes.get(at as usize..);
            let Some(rest) = rest.filter(|r| !r.is_empty()) else {
                note(format_args!(
                    "off_dt_{name}: {at:#x} lies outside of the tree"
                ));
                return None;
            };
            if len as usize > rest.len() {
                let there = rest.len();
                note(format_args!(
                    "size_dt_{name}: {len:#x}: only {there:#x} bytes are there"
                ));
            }
            Some(&rest[..rest.len().min(len as usize)])
        };
        // Version 16 has no size of the structure block.
        let size = if version >= 17 {
            structure_bytes
        } else {
            bytes.len() as u32 - structure.min(bytes.len() as u32)
        };
        let structure = part("struct", structure, size);
        let strings = part("strings", strings, strings_bytes);
        Some(Blob {
            structure: structure?,
            strings: strings?,
        })
    }

    /// The root; `None` if the structure block does not begin with it.
    pub fn root(&self) -> Option<Node<'a>> {
        let mut inside = Tokens { blob: *self, at: 0 };
        loop {
            match inside.next().ok()? {
                Token::Begin(name) => return Some(Node { name, inside }),
                Token::Nop => {}
                _ => return None,
            }
        }
    }

    /// Tells `note` of properties without a name, and of the first token behind which nothing can be read.
    pub fn check(&self, note: &mut Note<'_>) {
        let mut tokens = Tokens { blob: *self, at: 0 };
        let mut path: ArrayVec<&str, SHOWN> = ArrayVec::new();
        let mut depth = 0usize;
        let mut nameless = 0usize;
        loop {
            let at = tokens.at;
            let token = tokens.next().and_then(|token| match token {
                Token::End if depth == 0 => Err("a node ends that did not begin"),
                Token::Property(..) if depth == 0 => Err("a property stands outside of a node"),
                Token::Finish if depth > 0 => Err("FDT_END stands inside of a node"),
                token => Ok(token),
            });
            match token {
                Ok(Token::Begin(name)) => {
                    // The root has no name. What is too deep has no place in the path.
                    if depth > 0 && depth == path.len() + 1 {
                        let _ = path.try_push(name);
                    }
                    depth += 1;
                }
                Ok(Token::End) => {
                    depth -= 1;
                    path.truncate(depth.saturating_sub(1));
                }
                Ok(Token::Property(None, _)) => {
                    if nameless == 0 {
                        let path = Path(&path);
                        let why = "its name lies outside of the strings block";
                        note(format_args!(
                            "property at byte {at:#x} (in {path}): {why}: left out"
                        ));
                    }
                    nameless += 1;
                }
                Ok(Token::Property(..) | Token::Nop) => {}
                Ok(Token::Finish) => break,
                Err(why) => {
                    let path = Path(&path);
                    note(format_args!(
                        "structure block, byte {at:#x} (in {path}): {why}: the rest is not read"
                    ));
                    break;
                }
            }
        }
        if nameless > 1 {
            note(format_args!(
                "strings block: {nameless} properties have no name in it"
            ));
        }
    }
}

/// Shows the way to a node.
struct Path<'p>(&'p [&'p str]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_char('/');
        }
        self.0.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}
