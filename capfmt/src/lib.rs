//! The format that survives kernels.
//!
//! Everything that must outlive a kernel image is laid out here: capabilities,
//! capability table entries (CTEs), CNodes, the derivation tree (MDB),
//! dispatcher control blocks (DCBs), the Kernel Control Block (KCB), the `Core`
//! object and the `Notification` object. All links are physical addresses, all
//! fields are 64-bit words (packed fields have named accessors).
//!
//! Not here: what an invocation means (`kernel`), how memory is reached (the
//! implementers of [`PhysMap`]), page-table formats (`arch`).
//!
//! Key types: [`PhysMap`], [`RawCap`] and [`Cap`], [`Cte`], [`Kcb`], [`Dcb`],
//! [`Core`], [`Notification`].

#![no_std]
#![forbid(unsafe_code)]

mod addr;
mod cap;
pub mod cnode;
pub mod convert;
mod core_object;
mod cte;
mod dcb;
mod kcb;
mod layout;
pub mod mdb;
mod notification;
pub mod schema;
pub mod undo;

pub use addr::{CoreId, OBJECT_BYTES, OsnodeId, PhysAddr, PhysMap};
pub use cap::{Cap, Isa, RawCap, Rights};
pub use convert::{KcbError, kcb_check};
pub use core_object::{
    CORE_OBJECT_BYTES, Core, CoreCommand, CoreStatus, EPITAPH_TEXT_BYTES, ImageRecord,
};
pub use cte::{CTE_BYTES, Cte, MdbFlags, MdbNode};
pub use dcb::{DCB_BYTES, DCB_ENDPOINTS, Dcb, DcbState, EndpointRecord};
pub use kcb::{Attachment, IrqBinding, KCB_BYTES, KCB_UNDO_ENTRIES, Kcb, LongOpKind};
pub use layout::Field;
pub use notification::{NOTIFICATION_BYTES, NOTIFICATION_CHANNELS, Notification};
pub use schema::{CapType, VNODE_BYTES};

/// Version of the format that this crate writes.
pub const FORMAT_VERSION: u64 = 2;
/// Oldest version that this crate reads and converts from and to.
pub const OLDEST_FORMAT: u64 = 1;
