//! x86 I/O ports. The instruction itself is an effect.

use abi::SysError;
use capfmt::{CapType, Rights};

use super::Invoked;
use crate::entry::{Caller, Entry, Res, refuse};
use crate::{Effect, Machine, Policy};

/// Port r2 and width r3, inside the capability's range.
fn decode<M: Machine>(m: &M, c: &Caller, i: &Invoked, rights: Rights) -> Res<(u16, u8)> {
    i.ensure(CapType::IoPort, rights)?;
    let (port, width) = (c.reg(m, 2), c.reg(m, 3));
    let sound = matches!(width, 1 | 2 | 4)
        && port >= i.cap.base.0
        && port
            .checked_add(width - 1)
            .is_some_and(|last| last <= i.cap.last() && last <= u64::from(u16::MAX));
    if !sound {
        return refuse(SysError::BadArgument);
    }
    Ok((port as u16, width as u8))
}

/// `PortIn`: r1 = what was read.
///
/// # Rights
/// READ.
pub(crate) fn input<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let (port, width) = decode(e.m, c, i, Rights::READ)?;
    let to = c.area.add(M::SYSCALL_REGS[1]);
    e.reply_with_effect(c, Effect::PortIn(port, width, to), &[0]);
    Ok(())
}

/// `PortOut`.
///
/// # Rights
/// WRITE.
pub(crate) fn output<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let (port, width) = decode(e.m, c, i, Rights::WRITE)?;
    let value = c.reg(e.m, 4) as u32;
    e.reply_with_effect(c, Effect::PortOut(port, width, value), &[]);
    Ok(())
}
