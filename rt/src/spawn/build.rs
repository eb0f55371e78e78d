//! The making of a process, step by step.

use abi::{CapAddr, SysError, disp, slots, vaddr};
use capfmt::{CapType, Rights, VNODE_BYTES};
use genesis::UserImage;
use proto::Name;
use proto::start::StartInfo;

use super::{Program, SpawnError};
use crate::cap::{self, Capability};
use crate::invoke::{self, Map, Retype};
use crate::plan::block::{self, Block, CNODE_BYTES, CNODE_LOG2};
use crate::plan::tables::{LEAF_SPAN, PAGE, index, pieces};
use crate::vspace::{self, Access, Mapped};
use crate::{isa, time};

/// Ring slots that endpoint 0 is opened with.
const RING: u64 = 32;
/// Level of a root VNode.
const ROOT_LEVEL: u32 = 3;

/// What stays with the starter.
pub struct Made {
    pub dispatcher: Capability,
    pub endpoint: Capability,
    pub memory: u64,
}

/// A CNode of the process put into a slot of one's own root CNode, so that its slots can be addressed.
struct Mount(u32);

impl Mount {
    fn new() -> Result<Mount, SysError> {
        cap::alloc_root_slot().map(Mount)
    }
    /// The slot of the CNode itself.
    fn cnode(&self) -> CapAddr {
        CapAddr::root(self.0)
    }
    /// A slot in it, by its address in the process.
    fn at(&self, slot: CapAddr) -> CapAddr {
        CapAddr::new(self.0, slot.0 & 0xff)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        match invoke::delete(self.cnode()) {
            Ok(()) | Err(SysError::NoCapability) => cap::free_root_slot(self.0),
            // The slot stays in use for ever; nothing else is lost.
            Err(_) => {}
        }
    }
}

/// Says what was being done when a system call failed.
trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T, SpawnError>;
}

impl<T> Doing<T> for Result<T, SysError> {
    fn doing(self, what: &'static str) -> Result<T, SpawnError> {
        self.map_err(|e| SpawnError::Sys(what, e))
    }
}

struct Builder<'a> {
    program: &'a Program<'a>,
    image: UserImage<'a>,
    ram: CapAddr,
    bytes: u64,
    plan: Block,
    /// The process's root CNode.
    root: Capability,
    task: Mount,
    page: Mount,
    /// Next slot of the page CNode without a fixed meaning.
    next_page: u32,
}

/// Makes everything in `ram`.
pub fn build(program: &Program<'_>, ram: &Capability) -> Result<Made, SpawnError> {
    let image = super::parse(program.image)?;
    let region = invoke::identify(ram.addr()).doing("look at the memory block")?;
    let plan = block::plan(region.cap.base.0, image.bytes());
    if plan.rest > region.cap.size {
        return Err(SpawnError::TooBig { needed: plan.rest });
    }
    let doing = "make CNodes";
    let task = Mount::new().doing(doing)?;
    let page = Mount::new().doing(doing)?;
    let root = cap::retype(
        ram.addr(),
        Retype {
            offset: plan.cnodes,
            kind: CapType::CNode,
            param: CNODE_LOG2,
            bytes: CNODE_BYTES,
            count: 1,
        },
    );
    let mut b = Builder {
        program,
        image,
        ram: ram.addr(),
        bytes: region.cap.size,
        plan,
        root: root.doing(doing)?,
        task,
        page,
        next_page: slots::VNODE_LEVEL0.0 & 0xff,
    };
    b.make_cspace().doing(doing)?;
    b.make_objects().doing("make page tables and frames")?;
    b.link_tables().doing("link page tables")?;
    b.map_memory().doing("map memory")?;
    b.load().doing("load the program")?;
    let given = b.give().doing("give capabilities")?;
    b.write_start_block(&given)?;
    b.make_dispatcher().doing("make the dispatcher")
}

impl Builder<'_> {
    fn retype(
        &self,
        kind: CapType,
        param: u32,
        offset: u64,
        bytes: u64,
        count: u64,
        dest: CapAddr,
    ) -> Result<(), SysError> {
        let what = Retype {
            offset,
            kind,
            param,
            bytes,
            count,
        };
        invoke::retype(self.ram, what, slots::ROOT_CNODE, dest).map(|_| ())
    }

    fn frame(&self, offset: u64, bytes: u64, dest: CapAddr) -> Result<(), SysError> {
        self.retype(CapType::Frame, 0, offset, bytes, 1, dest)
    }

    /// A copy into the process's root CNode.
    fn root_copy(&self, source: CapAddr, l1: u32) -> Result<(), SysError> {
        let root = self.root.addr();
        invoke::cnode_copy(root, source, CapAddr::root(l1), Rights::ALL, None)
    }

    /// A copy of one's own into the task CNode.
    fn task_copy(&self, source: CapAddr, slot: CapAddr, rights: Rights) -> Result<(), SysError> {
        let to = self.task.at(slot);
        invoke::cnode_copy(slots::ROOT_CNODE, source, to, rights, None)
    }

    fn next_page_slot(&mut self) -> Result<CapAddr, SysError> {
        let slot = self.next_page;
        if slot >= slots::PAGE_FREE {
            return Err(SysError::TableFull);
        }
        self.next_page += 1;
        Ok(CapAddr::new(self.page.0, slot))
    }

    fn make_cspace(&self) -> Result<(), SysError> {
        let cnode = |n: u64, dest| {
            let offset = self.plan.cnodes + n * CNODE_BYTES;
            self.retype(CapType::CNode, CNODE_LOG2, offset, CNODE_BYTES, 1, dest)
        };
        cnode(1, self.task.cnode())?;
        cnode(2, self.page.cnode())?;
        let free = cap::retype(
            self.ram,
            Retype {
                offset: self.plan.cnodes + 3 * CNODE_BYTES,
                kind: CapType::CNode,
                param: CNODE_LOG2,
                bytes: CNODE_BYTES,
                count: 1,
            },
        )?;
        self.root_copy(self.task.cnode(), 0)?;
        self.root_copy(free.addr(), slots::FREE_CNODE)?;
        self.root_copy(self.page.cnode(), slots::PAGE_CNODE)?;
        self.task_copy(self.root.addr(), slots::ROOT_CNODE, Rights::ALL)
    }

    fn make_objects(&mut self) -> Result<(), SysError> {
        let p = self.plan;
        let vnode = |n: u64, level, count, dest| {
            let offset = p.vnodes + n * VNODE_BYTES;
            self.retype(CapType::VNode, level, offset, VNODE_BYTES, count, dest)
        };
        vnode(0, ROOT_LEVEL, 1, self.task.at(slots::ROOT_VNODE))?;
        vnode(1, 2, 1, self.page.at(slots::VNODE_LEVEL2))?;
        vnode(2, 1, 1, self.page.at(slots::VNODE_LEVEL1))?;
        vnode(3, 0, p.leaves, self.page.at(slots::VNODE_LEVEL0))?;
        self.next_page += p.leaves as u32;
        self.frame(p.frame, disp::FRAME_BYTES, self.task.at(slots::DISP_FRAME))?;
        self.frame(p.start, PAGE, self.task.at(slots::START_BLOCK))?;
        let dcb = self.task.at(slots::DISPATCHER);
        let rest = (self.bytes - p.rest) & !(PAGE - 1);
        self.retype(CapType::Dispatcher, 0, p.dcb, capfmt::DCB_BYTES, 1, dcb)?;
        if rest > 0 {
            let dest = self.task.at(slots::START_RAM);
            self.retype(CapType::Ram, 0, p.rest, rest, 1, dest)?;
        }
        Ok(())
    }

    fn link_tables(&mut self) -> Result<(), SysError> {
        let level2 = self.page.at(slots::VNODE_LEVEL2);
        let level1 = self.page.at(slots::VNODE_LEVEL1);
        let root = self.task.at(slots::ROOT_VNODE);
        let base = vaddr::TIME_PAGE;
        self.link(root, level2, index(ROOT_LEVEL, base))?;
        self.link(level2, level1, index(2, base))?;
        for n in 0..self.plan.leaves {
            let leaf = self.leaf(base + n * LEAF_SPAN);
            self.link(level1, leaf, index(1, base + n * LEAF_SPAN))?;
        }
        Ok(())
    }

    fn link(&mut self, table: CapAddr, lower: CapAddr, at: u64) -> Result<(), SysError> {
        let mapping = self.next_page_slot()?;
        invoke::vnode_map(table, lower, Map::table(at), mapping)
    }

    /// The leaf table for a user address.
    fn leaf(&self, va: u64) -> CapAddr {
        let n = (va - vaddr::TIME_PAGE) / LEAF_SPAN;
        CapAddr(self.page.at(slots::VNODE_LEVEL0).0 + n as u32)
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
            let mapping = self.next_page_slot()?;
            let table = self.leaf(p.table);
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

    fn map_memory(&mut self) -> Result<(), SysError> {
        let read = Rights::READ;
        let write = Rights(read.0 | Rights::WRITE.0);
        let start = self.task.at(slots::START_BLOCK);
        let frame = self.task.at(slots::DISP_FRAME);
        self.map(slots::TIME_PAGE, 0, vaddr::TIME_PAGE, PAGE, read)?;
        self.map(start, 0, vaddr::START_BLOCK, PAGE, read)?;
        self.map(frame, 0, vaddr::DISP_FRAME, disp::FRAME_BYTES, write)?;
        let stack = self.next_page_slot()?;
        self.frame(self.plan.stack, vaddr::STACK_BYTES, stack)?;
        self.map(stack, 0, vaddr::STACK_BASE, vaddr::STACK_BYTES, write)
    }

    /// Puts the program into its frame, then maps it run by run.
    fn load(&mut self) -> Result<(), SysError> {
        let frame = self.next_page_slot()?;
        let bytes = self.image.bytes();
        self.frame(self.plan.image, bytes, frame)?;
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

    /// Copies capabilities; returns the start block's table of the given ones.
    fn give(&self) -> Result<alloc::vec::Vec<(Name, CapAddr)>, SysError> {
        let p = self.program;
        let limited = Rights(Rights::READ.0 | Rights::WRITE.0 | Rights::GRANT.0);
        let fixed = [
            (p.parent, slots::PARENT, Rights::ALL),
            (p.memory_service, slots::MEMORY, Rights::ALL),
            (p.kernel, slots::KERNEL, limited),
            (p.archive, slots::ARCHIVE, Rights::ALL),
            (p.notification, slots::NOTIFICATION, Rights::ALL),
            (slots::TIME_PAGE, slots::TIME_PAGE, Rights::ALL),
        ];
        for (source, slot, rights) in fixed {
            if source != CapAddr::NULL {
                self.task_copy(source, slot, rights)?;
            }
        }
        if p.kernel != CapAddr::NULL {
            invoke::id_create(p.kernel, CapType::Domain, self.task.at(slots::DOMAIN))?;
        }
        let mut table = alloc::vec::Vec::new();
        for (i, (name, source)) in p.given.iter().enumerate() {
            let slot = CapAddr(slots::GIVEN.0 + i as u32);
            if slot.0 >= 1 << CNODE_LOG2 {
                return Err(SysError::TableFull);
            }
            self.task_copy(*source, slot, Rights::ALL)?;
            table.push((*name, slot));
        }
        Ok(table)
    }

    fn write_start_block(&self, given: &[(Name, CapAddr)]) -> Result<(), SpawnError> {
        let info = StartInfo {
            flags: self.program.flags,
            args: self.program.args,
            given,
            pid: self.program.pid,
            seed: time::counter(),
        };
        let bytes = info.emit().map_err(SpawnError::Start)?;
        let block = self.task.at(slots::START_BLOCK);
        let here = vspace::map(block, 0, PAGE, Access::ReadWrite);
        here.doing("write the start block")?.write(0, &bytes);
        Ok(())
    }

    fn make_dispatcher(&self) -> Result<Made, SysError> {
        let dcb = self.task.at(slots::DISPATCHER);
        let frame = self.task.at(slots::DISP_FRAME);
        let vspace = self.task.at(slots::ROOT_VNODE);
        let here = vspace::map(frame, 0, disp::FRAME_BYTES, Access::ReadWrite)?;
        write_context(&here, self.image.entry(vaddr::IMAGE));
        drop(here);
        let fault = self.program.fault;
        invoke::disp_configure(dcb, self.root.addr(), vspace, frame, fault)?;
        let endpoint = self.task.at(slots::SELF_ENDPOINT);
        invoke::endpoint_open(dcb, 0, 0, RING, endpoint)?;
        let name = self.program.args.first().copied().unwrap_or_default();
        invoke::disp_name(dcb, Name::truncated(name))?;
        Ok(Made {
            dispatcher: cap::copy(dcb)?,
            endpoint: cap::copy(endpoint)?,
            memory: self.bytes,
        })
    }
}

/// The context that a kernel starts: at the entry point, upcalls off, stack empty.
fn write_context(frame: &Mapped, entry: u64) {
    frame.store(disp::DISABLED, 1);
    let area = |at, value| frame.store(disp::DISABLED_AREA + at, value);
    area(disp::AREA_PC, entry);
    area(disp::AREA_SP, vaddr::STACK_BASE + vaddr::STACK_BYTES);
    area(disp::AREA_FLAGS, isa::USER_FLAGS);
    for at in [disp::ENABLED_AREA, disp::DISABLED_AREA, disp::TRAP_AREA] {
        for (offset, word) in isa::FRESH_FPU {
            frame.store(at + disp::AREA_FPU + offset, *word);
        }
    }
}
