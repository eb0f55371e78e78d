//! What may be made from what by `Retype`.

use super::{CNODE_MAX_LOG2, CNODE_MIN_LOG2, CapType, Class, PAGE_BYTES, SizeRule};
use crate::{Cap, Isa, PhysAddr, Rights};

/// What a holder asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetypeRequest {
    /// Type to make.
    pub kind: CapType,
    /// VNode: level; CNode: log2 of the slots; else 0.
    pub param: u32,
    /// Bytes (or numbers) into the source.
    pub offset: u64,
    /// Bytes (or numbers) per object; ignored where the type fixes the size.
    pub size: u64,
    /// Number of objects, one after the other.
    pub count: u64,
    /// Instruction set of VNodes.
    pub isa: Isa,
}

/// Why a retype is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetypeError {
    /// The type cannot be made from the source's type.
    NotFrom,
    /// Object size or `param` is not one that the type allows.
    BadSize,
    /// The first object would not be aligned as the type needs.
    Misaligned,
    /// No objects asked for, or they pass the end of the source.
    OutOfRange,
}

/// A retype that the schema allows; overlap with existing objects is the MDB's to check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetypePlan {
    /// First byte (or number) of the first object.
    pub base: PhysAddr,
    /// Bytes (or numbers) per object.
    pub size: u64,
    /// Number of objects.
    pub count: u64,
    /// All objects' bytes must be zeroed before they exist.
    pub zero: bool,
    first: Cap,
}

impl RetypePlan {
    /// Bytes (or numbers) of all objects together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.size * self.count
    }
    /// The capability for object `index` (< `count`).
    #[must_use]
    pub const fn object(&self, index: u64) -> Cap {
        let mut cap = self.first;
        cap.base = cap.base.add(index * self.size);
        cap
    }
}

/// Checks a retype of `src` against the schema.
///
/// A part of the source's own type keeps the source's rights; a new type has all.
///
/// # Errors
/// See [`RetypeError`]; nothing is read or written.
pub fn retype_check(src: &Cap, req: &RetypeRequest) -> Result<RetypePlan, RetypeError> {
    let info = req.kind.info();
    if !info.from.contains(&src.kind) {
        return Err(RetypeError::NotFrom);
    }
    let size = object_size(req)?;
    let total = size.checked_mul(req.count).ok_or(RetypeError::OutOfRange)?;
    let end = req
        .offset
        .checked_add(total)
        .ok_or(RetypeError::OutOfRange)?;
    if req.count == 0 || end > src.size {
        return Err(RetypeError::OutOfRange);
    }
    let base = src.base.add(req.offset);
    if !base.0.is_multiple_of(info.size.align(req.param)) {
        return Err(RetypeError::Misaligned);
    }
    let same = src.kind == req.kind;
    let first = Cap {
        kind: req.kind,
        rights: if same { src.rights } else { Rights::ALL },
        param: req.param,
        base,
        size,
        extra: if req.kind == CapType::VNode {
            req.isa as u64
        } else {
            0
        },
    };
    Ok(RetypePlan {
        base,
        size,
        count: req.count,
        zero: info.zero && !same && info.class == Class::Physical,
        first,
    })
}

/// Size of one object of a request.
fn object_size(req: &RetypeRequest) -> Result<u64, RetypeError> {
    let wants_param = matches!(req.kind, CapType::CNode | CapType::VNode);
    if !wants_param && req.param != 0 {
        return Err(RetypeError::BadSize);
    }
    match req.kind.info().size {
        SizeRule::Fixed(n) => Ok(n),
        SizeRule::Slots if (CNODE_MIN_LOG2..=CNODE_MAX_LOG2).contains(&req.param) => {
            Ok(crate::CTE_BYTES << req.param)
        }
        SizeRule::Pages if req.size != 0 && req.size.is_multiple_of(PAGE_BYTES) => Ok(req.size),
        SizeRule::Any if req.size != 0 => Ok(req.size),
        _ => Err(RetypeError::BadSize),
    }
}
