//! The making of a process, step by step.

use abi::{CapAddr, SysError, slots, vaddr};
use capfmt::{CapType, Rights, VNODE_BYTES};
use genesis::UserImage;

use super::space::{Context, Doing, Made, Space};
use super::{Program, SpawnError};
use crate::cap::Capability;
use crate::invoke::{self, Map};
use crate::plan::block;
use crate::plan::tables::{LEAF_SPAN, index, pieces};
use crate::vspace::{self, Access};

struct Builder<'a> {
    space: Space<'a>,
    image: UserImage<'a>,
}

/// Makes everything in `ram`.
pub fn build(program: &Program<'_>, ram: &Capability) -> Result<Made, SpawnError> {
    let image = super::parse(program.image)?;
    let region = invoke::identify(ram.addr()).doing("look at the memory block")?;
    let plan = block::plan(region.cap.base.0, image.bytes());
    if plan.rest > region.cap.size {
        return Err(SpawnError::TooBig { needed: plan.rest });
    }
    let space = Space::new(program, ram.addr(), region.cap.size, plan);
    let mut b = Builder {
        space: space.doing("make CNodes")?,
        image,
    };
    b.make_tables().doing("make page tables")?;
    b.space
        .make_objects()
        .doing("make private tables and frames")?;
    b.map_stack().doing("map memory")?;
    b.space.map_private().doing("map memory")?;
    b.load().doing("load the program")?;
    let given = b.space.give().doing("give capabilities")?;
    b.space.write_start_block(&given)?;
    let start = Context {
        entry: b.image.entry(vaddr::IMAGE),
        stack: vaddr::STACK_BASE + vaddr::STACK_BYTES,
        tls: 0,
        argument: 0,
    };
    b.space.make_dispatcher(start).doing("make the dispatcher")
}

impl Builder<'_> {
    /// The shared part's tables below level 2, linked.
    fn make_tables(&mut self) -> Result<(), SysError> {
        let s = &mut self.space;
        let p = s.plan;
        let vnode = |n: u64, level, count, dest| {
            let offset = p.shared + n * VNODE_BYTES;
            s.retype(CapType::VNode, level, offset, VNODE_BYTES, count, dest)
        };
        let level2 = s.page.at(slots::VNODE_LEVEL2);
        let level1 = s.page.at(slots::VNODE_LEVEL1);
        vnode(0, 2, 1, level2)?;
        vnode(1, 1, 1, level1)?;
        vnode(2, 0, p.leaves, s.page.at(slots::VNODE_LEVEL0))?;
        s.next_page += p.leaves as u32;
        let base = vaddr::SHARED;
        s.link(level2, level1, index(2, base))?;
        for n in 0..p.leaves {
            let at = base + n * LEAF_SPAN;
            let leaf = leaf(s, at);
            s.link(level1, leaf, index(1, at))?;
        }
        Ok(())
    }

    fn map(
        &mut self,
        region: CapAddr,
        offset: u64,
        va: u64,
        bytes: u64,
        rights: Rights,
    ) -> Result<(), SysError> {
        for p in pieces(va, bytes) {
            let mapping = self.space.next_page_slot()?;
            let table = leaf(&self.space, p.table);
            let what = Map {
                index: p.index,
                offset: offset + p.offset,
                count: p.count,
                rights,
                uncached: false,
            };
            invoke::vnode_map(table, region, what, mapping)?;
        }
        Ok(())
    }

    /// The first stack, and the shared part in the root.
    fn map_stack(&mut self) -> Result<(), SysError> {
        let s = &mut self.space;
        s.link_shared(s.page.at(slots::VNODE_LEVEL2))?;
        let stack = s.next_page_slot()?;
        s.frame(s.plan.stack, vaddr::STACK_BYTES, stack)?;
        let write = Rights(Rights::READ.0 | Rights::WRITE.0);
        self.map(stack, 0, vaddr::STACK_BASE, vaddr::STACK_BYTES, write)
    }

    /// Puts the program into its frame, then maps it run by run.
    fn load(&mut self) -> Result<(), SysError> {
        let frame = self.space.next_page_slot()?;
        let bytes = self.image.bytes();
        self.space.frame(self.space.plan.image, bytes, frame)?;
        let here = vspace::map(frame, 0, bytes, Access::ReadWrite)?;
        let mut put = |offset: u64, contents: &[u8]| here.write(offset, contents);
        self.image.write(vaddr::IMAGE, &mut put);
        let image = self.image;
        for run in image.mappings() {
            if run.execute {
                here.sync_code(run.offset, run.bytes);
            }
            let rights = Rights::READ.0
                | if run.write { Rights::WRITE.0 } else { 0 }
                | if run.execute { Rights::EXECUTE.0 } else { 0 };
            let va = vaddr::IMAGE + run.offset;
            self.map(frame, run.offset, va, run.bytes, Rights(rights))?;
        }
        Ok(())
    }
}

/// The leaf table for a shared address.
fn leaf(s: &Space<'_>, va: u64) -> CapAddr {
    let n = (va - vaddr::SHARED) / LEAF_SPAN;
    CapAddr(s.page.at(slots::VNODE_LEVEL0).0 + n as u32)
}
