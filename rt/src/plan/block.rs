//! How a process's objects stand in its one block of RAM.

use abi::{disp, vaddr};
use capfmt::{CTE_BYTES, DCB_BYTES, VNODE_BYTES};

use super::tables::{LEAF_SPAN, PAGE, pieces};

/// log2 of the slots of each of a process's CNodes.
pub const CNODE_LOG2: u32 = 8;
/// Bytes of one.
pub const CNODE_BYTES: u64 = CTE_BYTES << CNODE_LOG2;
/// CNodes: root, task, free, page.
pub const CNODES: u64 = 4;
/// VNodes of each dispatcher's own: the root, then the private part's levels 2, 1, 0.
pub const PRIVATE: u64 = 4;
/// VNodes of the shared part above its leaf tables: levels 2 and 1.
pub const UPPER: u64 = 2;

/// Offsets in the block, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Root, task, free and page CNode, one after the other.
    pub cnodes: u64,
    /// Root VNode, then the private part's.
    pub private: u64,
    /// The shared part's VNodes: level 2, level 1, then [`Block::leaves`] leaf tables.
    pub shared: u64,
    /// Leaf tables of the shared part: the first 2 MiB, then the image's.
    pub leaves: u64,
    /// Dispatcher frame.
    pub frame: u64,
    /// First stack.
    pub stack: u64,
    /// Start block.
    pub start: u64,
    /// Image frame.
    pub image: u64,
    /// Dispatcher.
    pub dcb: u64,
    /// First byte of the RAM that the process gets itself.
    pub rest: u64,
}

/// Plans the block at physical address `base` for an image of `image` bytes.
#[must_use]
pub fn plan(base: u64, image: u64) -> Block {
    let image_tables = pieces(vaddr::IMAGE, image.next_multiple_of(PAGE)).count() as u64;
    place_all(base, 1 + image_tables, vaddr::STACK_BYTES, image)
}

/// Plans the block of a further dispatcher: without tables of the shared part, stack and image.
#[must_use]
pub fn plan_member(base: u64) -> Block {
    place_all(base, 0, 0, 0)
}

fn place_all(base: u64, leaves: u64, stack: u64, image: u64) -> Block {
    let mut at = base;
    let mut place = |bytes: u64, align: u64| {
        let first = at.next_multiple_of(align);
        at = first + bytes;
        first - base
    };
    let upper = if leaves == 0 { 0 } else { UPPER };
    Block {
        cnodes: place(CNODES * CNODE_BYTES, CNODE_BYTES),
        private: place(PRIVATE * VNODE_BYTES, VNODE_BYTES),
        shared: place((upper + leaves) * VNODE_BYTES, VNODE_BYTES),
        leaves,
        frame: place(disp::FRAME_BYTES, PAGE),
        stack: place(stack, PAGE),
        start: place(PAGE, PAGE),
        image: place(image.next_multiple_of(PAGE), PAGE),
        dcb: place(DCB_BYTES, DCB_BYTES),
        rest: place(0, PAGE),
    }
}

/// Largest image: the heap begins after it, and its tables must fit the page CNode.
pub const IMAGE_MAX: u64 = 16 * LEAF_SPAN;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_aligned_and_apart() {
        for (base, image) in [
            (0x1000, 1),
            (0x4000_0000, 0x30_0000),
            (0x7f_f000, 5 * LEAF_SPAN),
        ] {
            let b = plan(base, image);
            let ends = [
                (b.cnodes, CNODES * CNODE_BYTES, CNODE_BYTES),
                (b.private, PRIVATE * VNODE_BYTES, VNODE_BYTES),
                (b.shared, (UPPER + b.leaves) * VNODE_BYTES, VNODE_BYTES),
                (b.frame, disp::FRAME_BYTES, PAGE),
                (b.stack, vaddr::STACK_BYTES, PAGE),
                (b.start, PAGE, PAGE),
                (b.image, image, PAGE),
                (b.dcb, DCB_BYTES, DCB_BYTES),
                (b.rest, 0, PAGE),
            ];
            let mut last = 0;
            for (at, bytes, align) in ends {
                assert!(at >= last && (base + at).is_multiple_of(align));
                last = at + bytes;
            }
            assert_eq!(b.leaves, 1 + image.div_ceil(LEAF_SPAN));
        }
    }

    #[test]
    fn a_further_dispatcher_has_nothing_of_the_shared_part() {
        let b = plan_member(0x5000_0000);
        assert_eq!((b.leaves, b.frame, b.image), (0, b.shared, b.dcb));
    }
}
