//! Interrupts: sources, destinations, bindings.

use abi::SysError;
use capfmt::undo::Transaction;
use capfmt::{Cap, CapType, Dcb, IrqBinding, Kcb, PhysAddr, PhysMap, Rights};

use super::{Invoked, derive};
use crate::entry::{Caller, Entry, Res, Stop, commit, refuse};
use crate::{Effect, Machine, Policy, decode, dispatch, lmp};

/// Interrupt bindings of an OSnode.
pub(crate) const BINDINGS: u64 = 64;
/// Bit of a binding's target: the interrupt came, and the ring had no room yet.
const UNDELIVERED: u64 = 1 << 10;
/// The endpoint index in a binding's target.
const INDEX: u64 = 31;

/// `IrqMint`: an IrqDest for source r2 into slot r3.
///
/// # Rights
/// WRITE on the IrqSource.
pub(crate) fn mint<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    i.ensure(CapType::IrqSource, Rights::WRITE)?;
    let source = c.reg(e.m, 2);
    if source < i.cap.base.0 || source > i.cap.last() {
        return refuse(SysError::BadArgument);
    }
    let slot = decode::empty_slot(e, c, c.reg(e.m, 3))?;
    decode::ensure_derivable(e, i.cte, &i.cap)?;
    let cap = Cap::region(CapType::IrqDest, PhysAddr(source), 1);
    let kcb = e.kcb();
    let mut t = e.begin();
    derive(&mut t, kcb, i.cte, slot, &cap);
    commit(t, c, &[]);
    Ok(())
}

/// The binding of `source`: its index and words.
fn find(m: &impl PhysMap, kcb: Kcb, source: u64) -> Option<(u64, IrqBinding)> {
    let wanted = source + 1;
    (0..BINDINGS)
        .find(|&k| kcb.irq_word(m, 2 * k) == wanted)
        .map(|k| (k, kcb.irq(m, k)))
}

fn write(m: &mut impl PhysMap, kcb: Kcb, index: u64, binding: IrqBinding) {
    kcb.set_irq_word(m, 2 * index, binding.source1);
    kcb.set_irq_word(m, 2 * index + 1, binding.target);
}

/// `IrqBind`: interrupts of the source become messages [source] on the endpoint r2.
///
/// # Rights
/// WRITE on both.
pub(crate) fn bind<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    i.ensure(CapType::IrqDest, Rights::WRITE)?;
    let address = c.reg(e.m, 2);
    let (_, endpoint) = decode::lookup_as(e, c, address, CapType::Endpoint, Rights::WRITE)?;
    let to = lmp::To::of(&endpoint);
    if lmp::is_closed(e.m, &to) {
        return refuse(SysError::EndpointClosed);
    }
    let source = i.cap.base.0;
    let kcb = e.kcb();
    let place = find(e.m, kcb, source)
        .map(|(k, _)| k)
        .or_else(|| (0..BINDINGS).find(|&k| kcb.irq_word(e.m, 2 * k) == 0));
    let Some(place) = place else {
        return refuse(SysError::TableFull);
    };
    let binding = IrqBinding {
        source1: source + 1,
        target: to.dcb.0.0 | to.index,
    };
    let mut t = e.begin();
    write(&mut t, kcb, place, binding);
    commit(t, c, &[]);
    e.os.effects.push(Effect::IrqUnmask(source));
    Ok(())
}

/// `IrqAck`: the source may interrupt again.
///
/// # Rights
/// WRITE.
pub(crate) fn acknowledge<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::IrqDest, Rights::WRITE)?;
    let source = i.cap.base.0;
    if find(e.m, e.os.kcb, source).is_none() {
        return refuse(SysError::BadArgument);
    }
    e.reply(c, &[]);
    e.os.effects.push(Effect::IrqUnmask(source));
    Ok(())
}

/// Frees the binding of `source`, if there is one; then the source is to be masked.
pub(crate) fn unbind<M: Machine>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    source: u64,
) -> Option<Effect> {
    let (index, _) = find(t, kcb, source)?;
    write(t, kcb, index, IrqBinding::default());
    Some(Effect::IrqMask(source))
}

/// Frees one binding to `dcb`, if there is one left.
pub(crate) fn unbind_target<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    dcb: Dcb,
) -> Option<Effect> {
    let kcb = e.kcb();
    for k in 0..BINDINGS {
        let binding = kcb.irq(e.m, k);
        if binding.source1 != 0 && binding.target & !(capfmt::DCB_BYTES - 1) == dcb.0.0 {
            let mut t = e.begin();
            write(&mut t, kcb, k, IrqBinding::default());
            t.commit();
            return Some(Effect::IrqMask(binding.source1 - 1));
        }
    }
    None
}

/// A source fired (and was masked): its message.
pub(crate) fn interrupt<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, source: u64) {
    if let Some((index, binding)) = find(e.m, e.os.kcb, source)
        && !deliver(e, index, binding)
    {
        e.os.undelivered += 1;
    }
}

/// Delivers the message of a binding, or notes that it is still to be delivered (`false`).
fn deliver<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    index: u64,
    binding: IrqBinding,
) -> bool {
    let kcb = e.kcb();
    let to = lmp::To {
        dcb: Dcb(PhysAddr(binding.target & !(capfmt::DCB_BYTES - 1))),
        index: binding.target & INDEX,
        badge: 0,
    };
    let words = [binding.source1 - 1, 0, 0, 0, 0, 0];
    let at = 2 * index + 1;
    let mut t = e.begin();
    match lmp::put(&mut t, &to, &words, false) {
        Ok(woke) => {
            if binding.target & UNDELIVERED != 0 {
                kcb.set_irq_word(&mut t, at, binding.target & !UNDELIVERED);
            }
            t.commit();
            if woke {
                dispatch::wake_from_outside(e, to.dcb);
            }
            true
        }
        Err(Stop::Refused(SysError::EndpointFull)) => {
            kcb.set_irq_word(e.m, at, binding.target | UNDELIVERED);
            false
        }
        // Nobody is there to hear it; the source stays masked.
        Err(_) => true,
    }
}

/// Tries all undelivered interrupts again; returns how many are left.
pub(crate) fn retry<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) -> u64 {
    let mut left = 0;
    for k in 0..BINDINGS {
        let binding = e.kcb().irq(e.m, k);
        let pending = binding.source1 != 0 && binding.target & UNDELIVERED != 0;
        if pending && !deliver(e, k, binding) {
            left += 1;
        }
    }
    left
}

/// One synthetic interrupt per binding: what came while no kernel was there is not lost.
pub(crate) fn synthesize<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    for k in 0..BINDINGS {
        let binding = e.kcb().irq(e.m, k);
        if binding.source1 != 0 && !deliver(e, k, binding) {
            e.os.undelivered += 1;
        }
    }
}
