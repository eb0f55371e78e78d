//! The schema of capability types: declared once, used by code, documentation and tests.
//!
//! [`SCHEMA`] says what each type is; [`retype_check`] what may be made from
//! what; [`is_copy`], [`is_descendant`] and [`may_overlap`] how two
//! capabilities relate. All relations are computed from the table when the
//! crate is compiled.

mod doc;
mod relation;
mod retype;
mod table;

pub use doc::write_markdown;
pub(crate) use relation::{class_of_word, extra_of, kind_key, may_have_ancestors};
pub use relation::{
    is_copy, is_descendant, is_well_formed, may_descend, may_have_descendants, may_overlap,
};
pub use retype::{RetypeError, RetypePlan, RetypeRequest, retype_check};
pub use table::{CapType, SCHEMA};

/// Bytes of a page, the grain of memory capabilities.
pub const PAGE_BYTES: u64 = 4096;
/// Bytes of a VNode object: the table, then its shadow.
pub const VNODE_BYTES: u64 = 8192;
/// Fewest slots of a CNode, as a power of two.
pub const CNODE_MIN_LOG2: u32 = 2;
/// Most slots of a CNode, as a power of two.
pub const CNODE_MAX_LOG2: u32 = 8;

/// Which number space `base` and `size` belong to: the first part of the MDB's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Class {
    /// Physical addresses, in bytes.
    Physical = 0,
    /// Interrupt source numbers.
    Irq = 1,
    /// x86 I/O port numbers.
    IoPort = 2,
    /// No range: base and size are 0, `extra` alone tells objects apart.
    Nowhere = 3,
    /// Not in the MDB (`Null`).
    Absent = 4,
}

/// How large an object of a type is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SizeRule {
    /// No object: size 0.
    None,
    /// Always this many bytes (or numbers), aligned to the same power of two.
    Fixed(u64),
    /// A multiple of [`PAGE_BYTES`], page aligned.
    Pages,
    /// `64 << param` bytes, aligned to the size.
    Slots,
    /// Any size above 0, no alignment.
    Any,
}

impl SizeRule {
    /// What the base must be a multiple of, given `param`.
    #[must_use]
    pub const fn align(self, param: u32) -> u64 {
        match self {
            SizeRule::None | SizeRule::Any => 1,
            SizeRule::Fixed(n) => n,
            SizeRule::Pages => PAGE_BYTES,
            SizeRule::Slots => crate::CTE_BYTES << (param & 31),
        }
    }
}

/// What the deletion of the last copy must do before the slot is empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LastDelete {
    /// Nothing.
    Nothing,
    /// Delete the capabilities in the slots that stand in the object.
    Slots,
    /// Delete the Mappings that the VNode's shadow names.
    Mappings,
    /// Clear the entries in the VNode and its shadow.
    Unmap,
    /// Mask and free the interrupt binding.
    Unbind,
    /// Refuse while a kernel runs it (KCB attached, core not off).
    Guarded,
}

/// Which words beside type, base and size tell two objects apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// `param` does.
    pub param: bool,
    /// `extra` does.
    pub extra: bool,
}

/// What is true of one type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TypeInfo {
    /// The type.
    pub kind: CapType,
    /// Its name.
    pub name: &'static str,
    /// Its meaning, one or two lines.
    pub meaning: &'static str,
    /// Number space of its range.
    pub class: Class,
    /// How large objects are.
    pub size: SizeRule,
    /// Whether a holder may copy it.
    pub copy: bool,
    /// Types that `Retype` makes it from.
    pub from: &'static [CapType],
    /// Types that another operation makes it from; it is their descendant.
    pub made_from: &'static [CapType],
    /// That operation ("" = only boot or `Retype` makes it).
    pub made_by: &'static str,
    /// Words beside type, base and size that tell objects apart.
    pub identity: Identity,
    /// A right to an object rather than an object: two of them over the same bytes do not conflict.
    pub reference: bool,
    /// Monitors may make copies of it on other OSnodes.
    pub crosses: bool,
    /// The object's bytes must be zero when it is made from another type.
    pub zero: bool,
    /// What deletion of the last copy must do first.
    pub last_delete: LastDelete,
}

impl TypeInfo {
    const fn plain(kind: CapType, name: &'static str, meaning: &'static str) -> TypeInfo {
        TypeInfo {
            kind,
            name,
            meaning,
            class: Class::Physical,
            size: SizeRule::None,
            copy: true,
            from: &[],
            made_from: &[],
            made_by: "",
            identity: Identity {
                param: false,
                extra: false,
            },
            reference: false,
            crosses: false,
            zero: false,
            last_delete: LastDelete::Nothing,
        }
    }

    /// Whether deletion of the last copy has work to do beyond emptying the slot.
    #[must_use]
    pub const fn has_contents(&self) -> bool {
        !matches!(self.last_delete, LastDelete::Nothing)
    }
}

impl CapType {
    /// What is true of this type.
    #[must_use]
    pub fn info(self) -> &'static TypeInfo {
        &SCHEMA[self as usize]
    }
}
