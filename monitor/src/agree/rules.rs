//! The rules of the protocols, each with a name, so that a checker can take one away.
//!
//! The machines are generic over [`Rules`]. What ships is [`Shipped`], which has no
//! state and says yes to everything: the compiler leaves nothing of it. The model
//! checker runs the same code with one rule missing and must find out.

mod table;

pub use table::Rule;

/// How much there may be of what grows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Limits {
    /// Numbers of one origin's operations that may be open at a time: an older one has ended.
    pub open: u64,
    /// Entries of a family that one message tells.
    pub family: usize,
    /// Objects of an inventory in one message.
    pub inventory: usize,
}

impl Limits {
    /// What ships.
    pub const SHIPPED: Limits = Limits {
        open: 64,
        family: 128,
        inventory: 64,
    };
}

/// Which rules hold.
pub trait Rules: Copy {
    /// Whether the rule holds.
    fn hold(&self, rule: Rule) -> bool;
    /// The limits, which a checker makes small, to reach them.
    #[inline(always)]
    fn limits(&self) -> Limits {
        Limits::SHIPPED
    }
}

/// All rules hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Shipped;

impl Rules for Shipped {
    #[inline(always)]
    fn hold(&self, _: Rule) -> bool {
        true
    }
}
