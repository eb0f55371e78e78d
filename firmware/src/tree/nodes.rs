//! Nodes, and the properties that all of them may have.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU32;

/// A node.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    /// With its unit address; empty for the root.
    pub name: &'a str,
    /// Number of the node around it, which is always lower than its own.
    pub parent: Option<usize>,
    /// Numbers of the nodes in it.
    pub children: Vec<usize>,
    /// Names and values, in order.
    pub properties: Vec<(&'a str, &'a [u8])>,
}

/// Physical memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// First byte.
    pub base: u64,
    /// Bytes.
    pub bytes: u64,
}

/// All nodes, each after the one around it.
#[derive(Clone, Debug)]
pub struct Tree<'a> {
    /// By number; the root is number 0.
    pub nodes: Vec<Node<'a>>,
    /// Nodes by phandle.
    pub(super) phandles: BTreeMap<u32, usize>,
}

/// Big-endian cells joined to one number; `None` if it has more than 64 bits or no whole cells.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(4) {
        return None;
    }
    let (high, low) = bytes.split_at(bytes.len().saturating_sub(8));
    let zero = high.iter().all(|b| *b == 0);
    zero.then(|| low.iter().fold(0, |w, b| w << 8 | u64::from(*b)))
}

impl<'a> Node<'a> {
    /// The value of a property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&'a [u8]> {
        let found = self.properties.iter().find(|(n, _)| *n == name);
        found.map(|(_, value)| *value)
    }

    /// A property that is one text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let value = self.property(name)?;
        let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
        core::str::from_utf8(&value[..end]).ok()
    }

    /// A property that is one number of at most 64 bits.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        number(self.property(name)?)
    }

    /// The texts of a property that is a list.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let value = self.property(name).unwrap_or(&[]);
        let texts = value.split(|b| *b == 0).filter(|t| !t.is_empty());
        texts.filter_map(|t| core::str::from_utf8(t).ok())
    }

    /// Whether it is compatible with one of `with`.
    #[must_use]
    pub fn is_compatible(&self, with: &[&str]) -> bool {
        self.texts("compatible").any(|c| with.contains(&c))
    }

    /// Whether it says that it is in use (which is so if it says nothing).
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.text("status").is_none_or(|s| s == "okay" || s == "ok")
    }

    /// By what number other nodes refer to it.
    #[must_use]
    pub fn phandle(&self) -> Option<NonZeroU32> {
        let number = self.number("phandle").or(self.number("linux,phandle"))?;
        NonZeroU32::new(u32::try_from(number).ok()?).filter(|p| p.get() != u32::MAX)
    }

    /// (address, size) cells of its children: 2 and 1 where it does not say; `None` if it says
    /// what no bus has.
    fn bus_cells(&self) -> Option<(usize, usize)> {
        let cells = |name, default| match self.property(name) {
            None => Some(default),
            Some(value) => number(value).filter(|n| *n <= 4).map(|n| n as usize),
        };
        Some((cells("#address-cells", 2)?, cells("#size-cells", 1)?))
    }
}

impl<'a> Tree<'a> {
    /// The children of a node, in order.
    pub fn children(&self, of: usize) -> impl Iterator<Item = usize> {
        let node = self.nodes.get(of);
        node.into_iter().flat_map(|n| n.children.iter().copied())
    }

    /// The child of this name; without a unit address, whatever address it has.
    #[must_use]
    pub fn child(&self, of: usize, name: &str) -> Option<usize> {
        let fits = |n: &str| n == name || !name.contains('@') && n.split('@').next() == Some(name);
        self.children(of).find(|c| fits(self.nodes[*c].name))
    }

    /// The node at a path from the root, or behind an alias; options behind a colon do not count.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<usize> {
        let path = path.split(':').next()?;
        let path = if path.starts_with('/') {
            path
        } else {
            let aliases = self.child(0, "aliases")?;
            self.nodes[aliases].text(path)?
        };
        if self.nodes.is_empty() {
            return None;
        }
        let mut steps = path.split('/').filter(|s| !s.is_empty());
        steps.try_fold(0, |at, step| self.child(at, step))
    }

    /// The node with this phandle.
    #[must_use]
    pub fn referred(&self, phandle: u64) -> Option<usize> {
        let phandle = u32::try_from(phandle).ok()?;
        self.phandles.get(&phandle).copied()
    }

    /// The way to a node, as it is written.
    #[must_use]
    pub fn path(&self, of: usize) -> String {
        let mut names = Vec::new();
        let mut at = Some(of);
        while let Some(node) = at {
            names.push(self.nodes[node].name);
            at = self.nodes[node].parent;
        }
        names.pop();
        let mut path = String::new();
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        if path.is_empty() { "/".into() } else { path }
    }

    /// The ranges of `reg`, as the processor sees them; those that cannot be made out are left out.
    #[must_use]
    pub fn ranges(&self, of: usize) -> Vec<Range> {
        let node = &self.nodes[of];
        let mut found = Vec::new();
        let bus = node.parent.and_then(|p| self.nodes[p].bus_cells());
        let (Some((address, size)), Some(reg)) = (bus, node.property("reg")) else {
            return found;
        };
        if address == 0 {
            return found;
        }
        for part in reg.chunks_exact(4 * (address + size)) {
            let (base, bytes) = part.split_at(4 * address);
            let bytes = if size == 0 { Some(0) } else { number(bytes) };
            let base = number(base).and_then(|base| self.translate(of, base));
            if let (Some(base), Some(bytes)) = (base, bytes) {
                found.push(Range { base, bytes });
            }
        }
        found
    }

    /// What an address on the bus around `of` is for the processor.
    fn translate(&self, of: usize, mut address: u64) -> Option<u64> {
        let mut bus = self.nodes[of].parent?;
        while let Some(above) = self.nodes[bus].parent {
            let ranges = self.nodes[bus].property("ranges")?;
            if !ranges.is_empty() {
                let (child, size) = self.nodes[bus].bus_cells()?;
                let (parent, _) = self.nodes[above].bus_cells()?;
                address = one_bus(ranges, [child, parent, size], address)?;
            }
            bus = above;
        }
        Some(address)
    }
}

/// Through the `ranges` of one bus; `cells` of child address, parent address, size.
fn one_bus(ranges: &[u8], cells: [usize; 3], address: u64) -> Option<u64> {
    if cells.contains(&0) {
        return None;
    }
    let parts = ranges.chunks_exact(4 * cells.iter().sum::<usize>());
    parts.into_iter().find_map(|part| {
        let (from, rest) = part.split_at(4 * cells[0]);
        let (to, bytes) = rest.split_at(4 * cells[1]);
        let offset = address.checked_sub(number(from)?)?;
        (offset < number(bytes)?).then(|| number(to)?.checked_add(offset))?
    })
}
