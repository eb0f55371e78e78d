//! The first process's address space: VNodes, and Mappings that are real capabilities.

use abi::{slots, vaddr};
use capfmt::{Cap, CapType, PhysAddr, PhysMap, Rights, VNODE_BYTES};

use super::OsnodeSpec;
use super::builder::Builder;
use super::process::Frames;
use crate::error::ImageError;
use crate::isa::{EntryRights, IsaTables};
use crate::tables::{index, reach, set_entry};
use crate::user_image::UserImage;
use crate::{PAGE, WINDOW_INDEX};

/// First address that the level-0 tables of the shared part cover.
const FIRST: u64 = vaddr::SHARED;
/// First address of the private part, which has one level-0 table.
const PRIVATE: u64 = vaddr::PRIVATE;
/// VNodes above the shared level-0 tables, and all of the private part.
const OTHERS: u64 = 6;
/// Largest first process: its tables and mappings fit the page CNode's fixed part.
const IMAGE_MAX: u64 = 32 << 20;
/// Level of a root VNode.
const ROOT_LEVEL: u32 = 3;

const _: () = {
    assert!(vaddr::IMAGE == FIRST + reach(1));
    assert!(vaddr::STACK_BASE + vaddr::STACK_BYTES <= vaddr::IMAGE);
    assert!(index(ROOT_LEVEL, vaddr::IMAGE + IMAGE_MAX) == 0);
    assert!(index(2, FIRST) == index(2, vaddr::IMAGE + IMAGE_MAX));
    assert!(index(ROOT_LEVEL, PRIVATE) == 1 && PRIVATE.is_multiple_of(reach(3)));
    assert!(vaddr::BOOT_INFO + abi::bootinfo::BYTES <= PRIVATE + reach(1));
};

/// Level-0 tables that an image needs, the one before it included.
const fn leaf_tables(image_bytes: u64) -> u64 {
    1 + image_bytes.div_ceil(reach(1))
}

/// Bytes of all VNodes for an image.
pub(super) fn table_bytes(image: &UserImage<'_>) -> Result<u64, ImageError> {
    if image.bytes() > IMAGE_MAX {
        return Err(ImageError::TooLarge {
            bytes: image.bytes(),
            limit: IMAGE_MAX,
        });
    }
    Ok((OTHERS + leaf_tables(image.bytes())) * VNODE_BYTES)
}

/// Makes the address space; its root VNode stands in `slots::ROOT_VNODE`.
pub(super) fn build<T: IsaTables, M: PhysMap>(
    b: &mut Builder<'_, M>,
    spec: &OsnodeSpec<'_>,
    image: &UserImage<'_>,
    frames: &Frames,
) {
    let leaves = make_tables::<T, M>(b, spec, image);
    let shared = Leaves {
        first: leaves,
        from: FIRST,
    };
    // The table before the first shared one.
    let private = Leaves {
        first: PhysAddr(leaves.0 - VNODE_BYTES),
        from: PRIVATE,
    };
    let read = Rights::READ;
    let write = Rights(Rights::READ.0 | Rights::WRITE.0);
    let fixed = [
        (frames.time_page, vaddr::TIME_PAGE, read),
        (frames.start_block, vaddr::START_BLOCK, read),
        (frames.dispatcher, vaddr::DISP_FRAME, write),
        (frames.boot_info, vaddr::BOOT_INFO, read),
        (frames.stack, vaddr::STACK_BASE, write),
    ];
    b.place_page(&frames.stack);
    for (frame, va, rights) in fixed {
        let leaves = if va < PRIVATE { &shared } else { &private };
        map::<T, M>(b, leaves, &frame, va, rights);
    }
    let frame = load(b, image);
    b.place_page(&frame);
    for run in image.mappings() {
        let rights = Rights::READ.0
            | if run.write { Rights::WRITE.0 } else { 0 }
            | if run.execute { Rights::EXECUTE.0 } else { 0 };
        let part = Cap {
            base: frame.base.add(run.offset),
            size: run.bytes,
            ..frame
        };
        map::<T, M>(b, &shared, &part, vaddr::IMAGE + run.offset, Rights(rights));
    }
}

/// Puts the program into a frame.
fn load(b: &mut Builder<'_, impl PhysMap>, image: &UserImage<'_>) -> Cap {
    let at = b.allocate(image.bytes(), PAGE);
    let mem = &mut *b.mem;
    let mut put = |off: u64, bytes: &[u8]| mem.write_bytes(at.add(off), bytes);
    image.write(vaddr::IMAGE, &mut put);
    Cap::region(CapType::Frame, at, image.bytes())
}

/// Makes and links all VNodes; returns the first level-0 table, the others follow it.
fn make_tables<T: IsaTables, M: PhysMap>(
    b: &mut Builder<'_, M>,
    spec: &OsnodeSpec<'_>,
    image: &UserImage<'_>,
) -> PhysAddr {
    let mut vnode = |level: u32| Cap {
        param: level,
        extra: T::ISA as u64,
        ..Cap::region(
            CapType::VNode,
            b.allocate(VNODE_BYTES, VNODE_BYTES),
            VNODE_BYTES,
        )
    };
    let (root, level2, level1) = (vnode(ROOT_LEVEL), vnode(2), vnode(1));
    let private = [vnode(2), vnode(1), vnode(0)];
    let first = vnode(0);
    let count = leaf_tables(image.bytes());
    for _ in 1..count {
        vnode(0);
    }
    let leaf = |n: u64| Cap {
        base: first.base.add(n * VNODE_BYTES),
        ..first
    };
    b.place(slots::ROOT_VNODE, &root);
    // The order of `slots::VNODE_LEVEL2`, `VNODE_LEVEL1`, the private ones, `VNODE_LEVEL0` and on.
    b.place_page(&level2);
    b.place_page(&level1);
    for table in &private {
        b.place_page(table);
    }
    for n in 0..count {
        b.place_page(&leaf(n));
    }
    if T::ROOT_HOLDS_WINDOW {
        let entry = T::table(spec.window_table, false);
        set_entry(b.mem, root.base, WINDOW_INDEX, entry);
    }
    let mut link = |upper: &Cap, index: u64, lower: &Cap| {
        let entry = T::table(lower.base, true);
        bind(b, upper.base, index, lower, |_| entry);
    };
    link(&root, index(3, FIRST), &level2);
    link(&level2, index(2, FIRST), &level1);
    let [private2, private1, private0] = &private;
    link(&root, index(3, PRIVATE), private2);
    link(private2, index(2, PRIVATE), private1);
    link(private1, index(1, PRIVATE), private0);
    for n in 0..count {
        link(&level1, index(1, FIRST) + n, &leaf(n));
    }
    first.base
}

/// Level-0 tables one after the other.
struct Leaves {
    /// The first one.
    first: PhysAddr,
    /// First address that it covers.
    from: u64,
}

/// Maps the memory of `part` at `va`, one Mapping for each level-0 table that it touches.
fn map<T: IsaTables, M: PhysMap>(
    b: &mut Builder<'_, M>,
    leaves: &Leaves,
    part: &Cap,
    va: u64,
    rights: Rights,
) {
    let entry_rights = EntryRights {
        write: rights.contains(Rights::WRITE),
        execute: rights.contains(Rights::EXECUTE),
        user: true,
        ..EntryRights::default()
    };
    let mut off = 0;
    while off < part.size {
        let at = va + off;
        let bytes = (part.size - off).min(reach(1) - at % reach(1));
        let table = leaves
            .first
            .add((at - leaves.from) / reach(1) * VNODE_BYTES);
        let base = part.base.add(off);
        let piece = Cap {
            base,
            size: bytes,
            rights,
            ..*part
        };
        let entry = |i: u64| T::leaf(0, base.add(i * PAGE), entry_rights);
        bind(b, table, index(0, at), &piece, entry);
        off += bytes;
    }
}

/// Fills entries of `table` from `first` on with what `mapped` covers, and makes the Mapping
/// that ties them together: a VNode takes one entry, memory one for each page.
fn bind<M: PhysMap>(
    b: &mut Builder<'_, M>,
    table: PhysAddr,
    first: u64,
    mapped: &Cap,
    entry: impl Fn(u64) -> u64,
) {
    let count = match mapped.kind {
        CapType::VNode => 1,
        _ => mapped.size / PAGE,
    };
    let mapping = Cap {
        param: count as u32,
        extra: table.0 | first,
        rights: mapped.rights,
        ..Cap::region(CapType::Mapping, mapped.base, mapped.size)
    };
    let cte = b.place_page(&mapping);
    let shadow = table.add(PAGE);
    for i in 0..count {
        set_entry(b.mem, table, first + i, entry(i));
        set_entry(b.mem, shadow, first + i, cte.0.0);
    }
}
