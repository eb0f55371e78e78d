//! The Kernel capability, and facts about KCBs.

use abi::SysError;
use capfmt::{Cap, CapType, Core, Kcb, MdbNode, PhysAddr, PhysMap, Rights};

use super::Invoked;
use crate::entry::{Caller, Entry, Res, commit, refuse};
use crate::{Effect, Machine, Policy, decode};

/// Bytes of text that one `KernelLog` takes.
const LOG_BYTES: u64 = 40;
/// Bytes of the log ring of a Core object.
const RING_BYTES: u64 = 4032;

/// `KernelIdentify`: what runs here and now.
pub(crate) fn identify<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::Kernel, Rights(0))?;
    let id = e.os.identity;
    let core = Core(e.m.core_object()).core_id(e.m);
    let [a, b, d] = id.build_id;
    e.reply(c, &[a, b, d, id.name[0], id.name[1], id.formats, core]);
    Ok(())
}

/// `KernelLog`: text into the core's log ring.
pub(crate) fn log<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    i.ensure(CapType::Kernel, Rights(0))?;
    let bytes = c.reg(e.m, 2);
    if bytes > LOG_BYTES {
        return refuse(SysError::BadArgument);
    }
    let core = Core(e.m.core_object());
    for k in 0..bytes {
        let word = c.reg(e.m, 3 + (k / 8) as usize);
        log_byte(e.m, core, (word >> (8 * (k % 8))) as u8);
    }
    e.reply(c, &[]);
    Ok(())
}

/// Appends a byte to a log ring. The ring belongs to the core, not to the OSnode: it is not logged.
fn log_byte(m: &mut impl PhysMap, core: Core, byte: u8) {
    let written = core.log_written(m);
    let at = written % RING_BYTES;
    let shift = 8 * (at % 8);
    let word = core.log_text(m, at / 8) & !(0xff << shift) | u64::from(byte) << shift;
    core.set_log_text(m, at / 8, word);
    core.set_log_written(m, written + 1);
}

/// `KernelHalt`: exit code r2.
///
/// # Rights
/// Every one.
pub(crate) fn halt<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    i.ensure(CapType::Kernel, Rights::ALL)?;
    let code = c.reg(e.m, 2);
    e.reply_with_effect(c, Effect::Halt(code), &[]);
    Ok(())
}

/// `OsnodeInfo`.
pub(crate) fn osnode_info<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::Kernel, Rights(0))?;
    let kcb = e.kcb();
    let results = [
        kcb.osnode(e.m),
        kcb.0.0,
        kcb.state(e.m) >> 32,
        kcb.rollbacks(e.m),
        kcb.op_adopted(e.m),
        kcb.notification(e.m),
        e.os.visited.into(),
    ];
    e.reply(c, &results);
    Ok(())
}

/// `ClockInfo`.
pub(crate) fn clock_info<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::Kernel, Rights(0))?;
    let core = Core(e.m.core_object());
    let results = [core.counter_hz(e.m), core.mult(e.m), core.shift(e.m)];
    e.reply(c, &results);
    Ok(())
}

/// `IdCreate`: an Id or Domain with a number that this OSnode never gave before, into slot r3.
///
/// # Rights
/// WRITE.
pub(crate) fn id_create<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::Kernel, Rights::WRITE)?;
    let kind = match c.reg(e.m, 2) {
        k if k == CapType::Id as u64 => CapType::Id,
        k if k == CapType::Domain as u64 => CapType::Domain,
        _ => return refuse(SysError::BadArgument),
    };
    let slot = decode::empty_slot(e, c, c.reg(e.m, 3))?;
    let kcb = e.kcb();
    let id = kcb.next_id(e.m);
    let cap = Cap {
        kind,
        rights: Rights::ALL,
        extra: id,
        ..Cap::NULL
    };
    let mut t = e.begin();
    kcb.set_next_id(&mut t, id + 1);
    decode::place(&mut t, kcb, &MdbNode::default(), slot, &cap);
    commit(t, c, &[id]);
    Ok(())
}

/// `KcbInfo`.
///
/// # Rights
/// READ.
pub(crate) fn kcb_info<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::Kcb, Rights::READ)?;
    let kcb = Kcb(PhysAddr(i.cap.extra));
    let results = [
        kcb.osnode(e.m),
        kcb.state(e.m),
        kcb.format(e.m),
        kcb.isa(e.m),
        kcb.features(e.m),
        kcb.0.0,
        kcb.last_core(e.m) | u64::from(kcb.ended(e.m) != 0) << 32,
    ];
    e.reply(c, &results);
    Ok(())
}
