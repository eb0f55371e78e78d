//! The making of a further dispatcher of a process of another OSnode: its own CSpace, root VNode
//! and private part; what the dispatchers share is one foreign VNode.

use super::space::{Context, Doing, Made, Space};
use super::{Program, SpawnError};
use crate::cap::Capability;
use crate::invoke;
use crate::plan::block;

/// What makes a dispatcher one of a process that is there already.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Level-2 VNode of what the dispatchers share.
    pub shared: abi::CapAddr,
    /// Where it begins.
    pub start: Context,
}

/// Makes everything in `ram`. The program's image is not looked at.
pub fn build(program: &Program<'_>, member: &Member, ram: &Capability) -> Result<Made, SpawnError> {
    let region = invoke::identify(ram.addr()).doing("look at the memory block")?;
    let plan = block::plan_member(region.cap.base.0);
    if plan.rest > region.cap.size {
        return Err(SpawnError::TooBig { needed: plan.rest });
    }
    let space = Space::new(program, ram.addr(), region.cap.size, plan);
    let mut space = space.doing("make CNodes")?;
    space
        .make_objects()
        .doing("make private tables and frames")?;
    space
        .link_shared(member.shared)
        .doing("share the address space")?;
    space.map_private().doing("map memory")?;
    let given = space.give().doing("give capabilities")?;
    space.write_start_block(&given)?;
    space
        .make_dispatcher(member.start)
        .doing("make the dispatcher")
}
