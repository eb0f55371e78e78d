//! From bytes to nodes.

use super::nodes::{Node, Tree};
use crate::problem::Problems;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

const NAME: &str = "device tree";
const MAGIC: u32 = 0xd00d_feed;
/// Deepest node.
const MAX_DEPTH: usize = 32;
/// Most nodes.
const MAX_NODES: usize = 1 << 16;

/// Bytes of the tree whose first 8 bytes these are; `None` without the magic number.
#[must_use]
pub fn total_bytes(head: &[u8]) -> Option<u64> {
    (be32(head, 0)? == MAGIC).then_some(u64::from(be32(head, 4)?))
}

/// The part of a tree in which something stands: some firmware leaves a lot of room behind it.
#[must_use]
pub fn used(blob: &[u8]) -> &[u8] {
    // off_dt_struct and size_dt_struct, off_dt_strings and size_dt_strings.
    let end = |at, size| Some(u64::from(be32(blob, at)?) + u64::from(be32(blob, size)?));
    match (end(8, 36), end(12, 32)) {
        (Some(a), Some(b)) => &blob[..blob.len().min(usize::try_from(a.max(b)).unwrap_or(0))],
        _ => blob,
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}

/// The text that ends at the first zero byte.
fn text(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|b| *b == 0)?;
    core::str::from_utf8(&bytes[..end]).ok()
}

/// The structure block and the strings block.
fn blocks<'a>(blob: &'a [u8], problems: &mut Problems) -> Option<(&'a [u8], &'a [u8])> {
    let mut header = [0u32; 10];
    for (i, word) in header.iter_mut().enumerate() {
        let Some(value) = be32(blob, 4 * i) else {
            problems.note(NAME, "header", format!("{} bytes are too few", blob.len()));
            return None;
        };
        *word = value;
    }
    let [
        magic,
        total,
        structure,
        strings,
        _,
        version,
        compatible,
        _,
        strings_size,
        size,
    ] = header;
    if magic != MAGIC {
        problems.note(NAME, "magic", format!("{magic:#x}"));
        return None;
    }
    if compatible > 17 || version < 16 {
        let why = format!("{version}, compatible with {compatible}: 16 and 17 are known");
        problems.note(NAME, "version", why);
        return None;
    }
    if total as usize > blob.len() {
        let why = format!("{total}, but there are {} bytes", blob.len());
        problems.note(NAME, "totalsize", why);
    }
    let blob = &blob[..blob.len().min(total as usize)];
    let mut part = |name: &str, at: u32, size: Option<u32>| {
        let Some(rest) = blob.get(at as usize..).filter(|rest| !rest.is_empty()) else {
            let why = format!("{at:#x} lies outside of the tree");
            problems.note(NAME, format!("off_dt_{name}"), why);
            return None;
        };
        let size = size.map_or(rest.len(), |size| size as usize);
        if size > rest.len() {
            let why = format!("{size:#x}: only {:#x} bytes are there", rest.len());
            problems.note(NAME, format!("size_dt_{name}"), why);
        }
        Some(&rest[..size.min(rest.len())])
    };
    // Version 16 has no size of the structure block.
    let nodes = part("struct", structure, (version >= 17).then_some(size));
    let names = part("strings", strings, Some(strings_size));
    Some((nodes?, names?))
}

/// Reads the tokens of the structure block.
struct Tokens<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    fn word(&mut self) -> Option<u32> {
        let word = be32(self.block, self.at)?;
        self.at += 4;
        Some(word)
    }

    /// `bytes` bytes; the next token is aligned to 4.
    fn bytes(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let found = self.block.get(self.at..self.at.checked_add(bytes)?)?;
        self.at += bytes.checked_next_multiple_of(4)?;
        Some(found)
    }

    fn name(&mut self) -> Option<&'a str> {
        let name = text(self.block.get(self.at..)?)?;
        self.bytes(name.len() + 1)?;
        Some(name)
    }
}

/// The nodes of `blob`, as far as they are sound.
pub fn parse<'a>(blob: &'a [u8], problems: &mut Problems) -> Tree<'a> {
    let mut tree = Tree {
        nodes: Vec::new(),
        phandles: BTreeMap::new(),
    };
    let Some((block, strings)) = blocks(blob, problems) else {
        return tree;
    };
    let mut tokens = Tokens { block, at: 0 };
    let mut open: Vec<usize> = Vec::new();
    let mut nameless = 0usize;
    loop {
        let at = tokens.at;
        let path =
            |tree: &Tree<'_>, open: &[usize]| open.last().map_or("/".into(), |n| tree.path(*n));
        match token(&mut tokens, strings, &mut open, &mut tree) {
            Ok(Next::Token) => {}
            Ok(Next::Nameless) => {
                if nameless == 0 {
                    let field = format!("property at byte {at:#x} (in {})", path(&tree, &open));
                    let why = "its name lies outside of the strings block: left out";
                    problems.note(NAME, field, why);
                }
                nameless += 1;
            }
            Ok(Next::End) => break,
            Err(why) => {
                let path = path(&tree, &open);
                let field = format!("structure block, byte {at:#x} (in {path})");
                problems.note(NAME, field, format!("{why}: the rest is not read"));
                break;
            }
        }
    }
    if nameless > 1 {
        let why = format!("{nameless} properties have no name in it");
        problems.note(NAME, "strings block", why);
    }
    find_phandles(&mut tree, problems);
    tree
}

fn find_phandles(tree: &mut Tree<'_>, problems: &mut Problems) {
    for number in 0..tree.nodes.len() {
        let Some(phandle) = tree.nodes[number].phandle() else {
            continue;
        };
        let first = *tree.phandles.entry(phandle.get()).or_insert(number);
        if first != number {
            let why = format!("{phandle:#x}, as {} has: not used", tree.path(first));
            problems.note(NAME, format!("phandle of {}", tree.path(number)), why);
        }
    }
}

/// What came out of a token.
enum Next {
    /// Its part of the tree.
    Token,
    /// A property whose name lies outside of the strings block: it is left out.
    Nameless,
    /// The end.
    End,
}

/// Takes one token.
fn token<'a>(
    tokens: &mut Tokens<'a>,
    strings: &'a [u8],
    open: &mut Vec<usize>,
    tree: &mut Tree<'a>,
) -> Result<Next, &'static str> {
    match tokens.word().ok_or("the block ends without FDT_END")? {
        // FDT_BEGIN_NODE
        1 => {
            let name = tokens.name().ok_or("a node's name has no end")?;
            if open.len() == MAX_DEPTH {
                return Err("a node is too deep");
            }
            if tree.nodes.len() == MAX_NODES {
                return Err("there are too many nodes");
            }
            if open.is_empty() && !tree.nodes.is_empty() {
                return Err("there is a second root");
            }
            let parent = open.last().copied();
            let number = tree.nodes.len();
            if let Some(parent) = parent {
                tree.nodes[parent].children.push(number);
            }
            open.push(number);
            tree.nodes.push(Node {
                name,
                parent,
                children: Vec::new(),
                properties: Vec::new(),
            });
        }
        // FDT_END_NODE
        2 => {
            open.pop().ok_or("a node ends that did not begin")?;
        }
        // FDT_PROP
        3 => {
            let len = tokens.word().ok_or("a property has no length")?;
            let name = tokens.word().ok_or("a property has no name")?;
            let value = tokens.bytes(len as usize);
            let value = value.ok_or("a property is longer than the block")?;
            let node = open.last().ok_or("a property stands outside of a node")?;
            let Some(name) = strings.get(name as usize..).and_then(text) else {
                return Ok(Next::Nameless);
            };
            tree.nodes[*node].properties.push((name, value));
        }
        // FDT_NOP
        4 => {}
        // FDT_END
        9 if tree.nodes.is_empty() => return Err("there is no root"),
        9 if open.is_empty() => return Ok(Next::End),
        9 => return Err("FDT_END stands inside of a node"),
        _ => return Err("there is no such token"),
    }
    Ok(Next::Token)
}
