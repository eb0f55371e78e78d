//! The derivation tree (MDB): every capability of an OSnode, threaded through the CTEs themselves.
//!
//! An AA tree whose root hangs in [`Kcb::mdb_root`], ordered (MDB-ORDER) by number
//! space, base, larger size first, type number, the telling words of the type
//! (see [`crate::schema`]) and, among copies, the address of the CTE. An ancestor
//! therefore stands before all its descendants, and copies stand side by side.
//! Each node also carries the last byte that its subtree covers (MDB-LAST), which
//! makes interval searches logarithmic.
//!
//! Nothing is allocated, no function recurses without a bound, and no store is
//! made that does not change a word. All functions take the map that memory is
//! reached through; inside a kernel that is an [`crate::undo::Transaction`].

mod check;
mod key;
mod node;
mod position;
mod query;
mod tree;

pub use check::{Stats, Violation, check_invariants};
pub use position::{
    OfObject, Position, copy_of, covering_before, following, holds, is_mapping_of, last_covering,
    next_after, next_of_family, next_of_object, overlapping_after, vnode_at,
};
pub use query::{
    RangeHit, ancestor, any_overlap, copies_exist, covering, descendants_exist, find_range, first,
    first_descendant, next, next_descendant, other_copy, overlapping_descendant, prev,
    smallest_covering,
};
pub use tree::{insert, remove};

use crate::{Cap, Cte, Kcb, MdbNode, PhysMap};

/// Writes `cap` into the empty slot `cte`, owned by this OSnode and without flags, and inserts it.
pub fn place(mem: &mut impl PhysMap, kcb: Kcb, cte: Cte, cap: &Cap) {
    cte.set_cap(mem, cap);
    cte.set_node(mem, &MdbNode::default());
    insert(mem, kcb, cte);
}

/// Takes the capability in `cte` out of the tree and leaves the slot empty (all words 0).
pub fn clear(mem: &mut impl PhysMap, kcb: Kcb, cte: Cte) {
    remove(mem, kcb, cte);
    empty(mem, cte);
}

/// Moves the capability in `from`, with flags, owner and sharers, to the empty slot `to`.
///
/// What else names the slot (a VNode's shadow names a Mapping's, the long-operation
/// record those on its lists) is the caller's to change.
pub fn move_to(mem: &mut impl PhysMap, kcb: Kcb, from: Cte, to: Cte) {
    remove(mem, kcb, from);
    for i in 0..8 {
        let word = mem.load_at(from.0, 8 * i);
        let at = to.0.add(8 * i);
        if mem.load(at) != word {
            mem.store(at, word);
        }
    }
    empty(mem, from);
    insert(mem, kcb, to);
}

/// Makes the capability in `cte` another one (of any type), keeping flags, owner and sharers.
pub fn replace(mem: &mut impl PhysMap, kcb: Kcb, cte: Cte, cap: &Cap) {
    remove(mem, kcb, cte);
    cte.set_cap(mem, cap);
    insert(mem, kcb, cte);
}

fn empty(mem: &mut impl PhysMap, cte: Cte) {
    for i in 0..8 {
        let at = cte.0.add(8 * i);
        if mem.load(at) != 0 {
            mem.store(at, 0);
        }
    }
}
