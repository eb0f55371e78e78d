//! Who is told of what the kernel does: the monitor, and whoever takes memory back.

use abi::SysError;
use capfmt::{CapType, NOTIFICATION_CHANNELS, Rights};

use super::Invoked;
use crate::entry::{Caller, Entry, Res, commit, refuse};
use crate::{Machine, Policy, decode, share};

/// `MonitorBind`.
///
/// # Rights
/// Every one.
pub(crate) fn bind<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    i.ensure(CapType::Kernel, Rights::ALL)?;
    let channel1 = decode_channel(c.reg(e.m, 2))?;
    if channel1 == 0 {
        share::end_all(e);
    }
    let kcb = e.kcb();
    let mut t = e.begin();
    kcb.set_monitor_channel(&mut t, channel1);
    commit(t, c, &[]);
    e.os.monitor = channel1;
    share::tell(e, channel1);
    Ok(())
}

/// `ReclaimBind`: whoever binds last is bound.
///
/// # Rights
/// Every one; WRITE on the CNode.
pub(crate) fn reclaim<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::Kernel, Rights::ALL)?;
    let (mut base, mut channel1) = (0, 0);
    if c.reg(e.m, 2) != 0 {
        let address = c.reg(e.m, 2);
        let (_, cnode) = decode::lookup_as(e, c, address, CapType::CNode, Rights::WRITE)?;
        if cnode.size != crate::reclaim::SLOTS * capfmt::CTE_BYTES {
            return refuse(SysError::BadArgument);
        }
        base = cnode.base.0;
        channel1 = decode_channel(c.reg(e.m, 3))?;
    }
    let kcb = e.kcb();
    let mut t = e.begin();
    kcb.set_reclaim_cnode(&mut t, base);
    kcb.set_reclaim_channel(&mut t, channel1);
    commit(t, c, &[]);
    e.os.attention = true;
    Ok(())
}

/// A channel of the own notification page plus one; all bits set is none, 0.
fn decode_channel(word: u64) -> Res<u64> {
    match word {
        u64::MAX => Ok(0),
        n if n < NOTIFICATION_CHANNELS => Ok(n + 1),
        _ => refuse(SysError::BadArgument),
    }
}
