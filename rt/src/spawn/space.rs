//! What every dispatcher is made of: its CNodes, its root VNode and the private part of its address
//! space, its frame and its start block.

use abi::{CapAddr, SysError, disp, slots, vaddr};
use capfmt::{CapType, Rights, VNODE_BYTES};
use proto::Name;
use proto::start::StartInfo;

use super::{Program, SpawnError};
use crate::cap::{self, Capability, Mount};
use crate::invoke::{self, Map, Retype};
use crate::plan::block::{Block, CNODE_BYTES, CNODE_LOG2};
use crate::plan::tables::{PAGE, index};
use crate::vspace::{self, Access, Mapped};
use crate::{isa, time};

/// Ring slots that endpoint 0 is opened with.
const RING: u64 = 32;
/// Level of a root VNode.
const ROOT_LEVEL: u32 = 3;

/// What stays with the starter.
pub struct Made {
    /// The first CNode.
    pub task: Capability,
    pub dispatcher: Capability,
    pub endpoint: Capability,
    pub memory: u64,
}

/// Says what was being done when a system call failed.
pub trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T, SpawnError>;
}

impl<T> Doing<T> for Result<T, SysError> {
    fn doing(self, what: &'static str) -> Result<T, SpawnError> {
        self.map_err(|e| SpawnError::Sys(what, e))
    }
}

/// The context that a dispatcher starts with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    /// First instruction.
    pub entry: u64,
    /// End of the stack.
    pub stack: u64,
    /// TLS base.
    pub tls: u64,
    /// First argument.
    pub argument: u64,
}

/// A dispatcher being made in `ram`.
pub struct Space<'a> {
    pub program: &'a Program<'a>,
    pub ram: CapAddr,
    pub bytes: u64,
    pub plan: Block,
    /// The dispatcher's root CNode.
    root: Capability,
    pub task: Mount,
    pub page: Mount,
    /// Next slot of the page CNode without a fixed meaning.
    pub next_page: u32,
}

impl<'a> Space<'a> {
    /// With its CNodes.
    pub fn new(
        program: &'a Program<'a>,
        ram: CapAddr,
        bytes: u64,
        plan: Block,
    ) -> Result<Space<'a>, SysError> {
        let (task, page) = (Mount::empty()?, Mount::empty()?);
        let root = cap::retype(ram, cnode(plan.cnodes))?;
        let space = Space {
            program,
            ram,
            bytes,
            plan,
            root,
            task,
            page,
            next_page: slots::VNODE_LEVEL0.0 & 0xff,
        };
        space.make_cspace()?;
        Ok(space)
    }

    pub fn retype(
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

    pub fn frame(&self, offset: u64, bytes: u64, dest: CapAddr) -> Result<(), SysError> {
        self.retype(CapType::Frame, 0, offset, bytes, 1, dest)
    }

    /// A copy into the root CNode.
    fn root_copy(&self, source: CapAddr, l1: u32) -> Result<(), SysError> {
        let root = self.root.addr();
        invoke::cnode_copy(root, source, CapAddr::root(l1), Rights::ALL, None)
    }

    /// A copy of one's own into the task CNode.
    fn task_copy(&self, source: CapAddr, slot: CapAddr, rights: Rights) -> Result<(), SysError> {
        let to = self.task.at(slot);
        invoke::cnode_copy(slots::ROOT_CNODE, source, to, rights, None)
    }

    pub fn next_page_slot(&mut self) -> Result<CapAddr, SysError> {
        let slot = self.next_page;
        if slot >= slots::PAGE_FREE {
            return Err(SysError::TableFull);
        }
        self.next_page += 1;
        Ok(self.page.at(CapAddr(slot)))
    }

    fn make_cspace(&self) -> Result<(), SysError> {
        let make = |n: u64, dest| {
            let what = cnode(self.plan.cnodes + n * CNODE_BYTES);
            invoke::retype(self.ram, what, slots::ROOT_CNODE, dest).map(|_| ())
        };
        make(1, self.task.cnode())?;
        make(2, self.page.cnode())?;
        let free = cap::retype(self.ram, cnode(self.plan.cnodes + 3 * CNODE_BYTES))?;
        self.root_copy(self.task.cnode(), 0)?;
        self.root_copy(free.addr(), slots::FREE_CNODE)?;
        self.root_copy(self.page.cnode(), slots::PAGE_CNODE)?;
        self.task_copy(self.root.addr(), slots::ROOT_CNODE, Rights::ALL)
    }

    /// Root VNode and private tables, linked; frame, start block, dispatcher and RAM.
    pub fn make_objects(&mut self) -> Result<(), SysError> {
        let p = self.plan;
        let vnode = |n: u64, level, dest| {
            let offset = p.private + n * VNODE_BYTES;
            self.retype(CapType::VNode, level, offset, VNODE_BYTES, 1, dest)
        };
        let root = self.task.at(slots::ROOT_VNODE);
        let lower = [
            slots::PRIVATE_LEVEL2,
            slots::PRIVATE_LEVEL1,
            slots::PRIVATE_LEVEL0,
        ]
        .map(|slot| self.page.at(slot));
        vnode(0, ROOT_LEVEL, root)?;
        for (n, (level, table)) in (1..).zip([2, 1, 0].into_iter().zip(lower)) {
            vnode(n, level, table)?;
        }
        self.frame(p.frame, disp::FRAME_BYTES, self.task.at(slots::DISP_FRAME))?;
        self.frame(p.start, PAGE, self.task.at(slots::START_BLOCK))?;
        let dcb = self.task.at(slots::DISPATCHER);
        self.retype(CapType::Dispatcher, 0, p.dcb, capfmt::DCB_BYTES, 1, dcb)?;
        let rest = (self.bytes - p.rest) & !(PAGE - 1);
        if rest > 0 {
            let dest = self.task.at(slots::START_RAM);
            self.retype(CapType::Ram, 0, p.rest, rest, 1, dest)?;
        }
        let base = vaddr::PRIVATE;
        self.link(root, lower[0], index(ROOT_LEVEL, base))?;
        self.link(lower[0], lower[1], index(2, base))?;
        self.link(lower[1], lower[2], index(1, base))
    }

    pub fn link(&mut self, table: CapAddr, lower: CapAddr, at: u64) -> Result<(), SysError> {
        let mapping = self.next_page_slot()?;
        invoke::vnode_map(table, lower, Map::table(at), mapping)
    }

    /// The level-2 table of what all dispatchers share goes into the root.
    pub fn link_shared(&mut self, level2: CapAddr) -> Result<(), SysError> {
        let root = self.task.at(slots::ROOT_VNODE);
        self.link(root, level2, index(ROOT_LEVEL, vaddr::SHARED))
    }

    /// Time page, start block and dispatcher frame.
    pub fn map_private(&mut self) -> Result<(), SysError> {
        let read = Rights::READ;
        let write = Rights(read.0 | Rights::WRITE.0);
        let fixed = [
            (slots::TIME_PAGE, vaddr::TIME_PAGE, PAGE, read),
            (
                self.task.at(slots::START_BLOCK),
                vaddr::START_BLOCK,
                PAGE,
                read,
            ),
            (
                self.task.at(slots::DISP_FRAME),
                vaddr::DISP_FRAME,
                disp::FRAME_BYTES,
                write,
            ),
        ];
        let table = self.page.at(slots::PRIVATE_LEVEL0);
        for (frame, at, bytes, rights) in fixed {
            let mapping = self.next_page_slot()?;
            let what = Map {
                index: index(0, at),
                offset: 0,
                count: bytes / PAGE,
                rights,
                uncached: false,
            };
            invoke::vnode_map(table, frame, what, mapping)?;
        }
        Ok(())
    }

    /// Copies capabilities; returns the start block's table of the given ones.
    pub fn give(&self) -> Result<alloc::vec::Vec<(Name, CapAddr)>, SysError> {
        let p = self.program;
        let fixed = [
            (p.parent, slots::PARENT),
            (p.memory_service, slots::MEMORY),
            (p.kernel, slots::KERNEL),
            (p.archive, slots::ARCHIVE),
            (p.notification, slots::NOTIFICATION),
            (slots::TIME_PAGE, slots::TIME_PAGE),
        ];
        for (source, slot) in fixed {
            if source != CapAddr::NULL {
                self.task_copy(source, slot, Rights::SHARED)?;
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

    pub fn write_start_block(&self, given: &[(Name, CapAddr)]) -> Result<(), SpawnError> {
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

    pub fn make_dispatcher(&self, start: Context) -> Result<Made, SysError> {
        let dcb = self.task.at(slots::DISPATCHER);
        let frame = self.task.at(slots::DISP_FRAME);
        let vspace = self.task.at(slots::ROOT_VNODE);
        let here = vspace::map(frame, 0, disp::FRAME_BYTES, Access::ReadWrite)?;
        write_context(&here, start);
        drop(here);
        let fault = self.program.fault;
        invoke::disp_configure(dcb, self.root.addr(), vspace, frame, fault)?;
        let endpoint = self.task.at(slots::SELF_ENDPOINT);
        invoke::endpoint_open(dcb, 0, 0, RING, endpoint)?;
        let name = self.program.args.first().copied().unwrap_or_default();
        invoke::disp_name(dcb, Name::truncated(name))?;
        Ok(Made {
            task: cap::copy(self.task.cnode())?,
            dispatcher: cap::copy(dcb)?,
            endpoint: cap::copy(endpoint)?,
            memory: self.bytes,
        })
    }
}

fn cnode(offset: u64) -> Retype {
    Retype {
        offset,
        kind: CapType::CNode,
        param: CNODE_LOG2,
        bytes: CNODE_BYTES,
        count: 1,
    }
}

/// The context that a kernel starts: at the entry point, upcalls off, stack empty.
fn write_context(frame: &Mapped, start: Context) {
    frame.store(disp::DISABLED, 1);
    let area = |at, value| frame.store(disp::DISABLED_AREA + at, value);
    area(disp::AREA_PC, start.entry);
    area(disp::AREA_SP, start.stack);
    area(disp::AREA_FLAGS, isa::USER_FLAGS);
    area(disp::AREA_TLS, start.tls);
    area(
        disp::AREA_GPR + 8 * isa::FIRST_ARGUMENT_WORD,
        start.argument,
    );
    for at in [disp::ENABLED_AREA, disp::DISABLED_AREA, disp::TRAP_AREA] {
        for (offset, word) in isa::FRESH_FPU {
            frame.store(at + disp::AREA_FPU + offset, *word);
        }
    }
}
