//! Trees along which messages to many OSnodes go.

use capfmt::OsnodeId;

use crate::agree::unmap::Tree;

/// How many OSnodes one OSnode tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fan(pub u16);

impl Default for Fan {
    /// Three: a message costs its sender about a third of what its way and its answer cost, so that more branches
    /// would make the last one wait longer than another level does.
    fn default() -> Fan {
        Fan(3)
    }
}

/// A balanced tree over these OSnodes, for a root that is none of them: in preorder, each with the number of those
/// below it. Its depth grows with the logarithm of their number.
#[must_use]
pub fn tree_of(nodes: &[OsnodeId], fan: Fan) -> Tree {
    let mut tree = Tree::new();
    grow(nodes, usize::from(fan.0.max(1)), &mut tree);
    tree
}

fn grow(nodes: &[OsnodeId], fan: usize, tree: &mut Tree) {
    let mut rest = nodes;
    for branch in 0..fan {
        // As even as possible over the branches that are left.
        let size = rest.len().div_ceil(fan - branch);
        let (part, after) = rest.split_at(size);
        rest = after;
        let Some((first, below)) = part.split_first() else {
            return;
        };
        tree.push((*first, below.len() as u16));
        grow(below, fan, tree);
    }
}
