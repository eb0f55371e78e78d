//! Notification pages and the rights to their bits.

use abi::SysError;
use capfmt::{Cap, CapType, Core, NOTIFICATION_CHANNELS, Notification, PhysAddr, Rights};

use super::dispatcher::decode_dcb;
use super::{Invoked, derive};
use crate::entry::{Caller, Entry, Res, commit, refuse};
use crate::{Effect, Machine, Policy, Signal, decode, notify};

/// Words of channels in a page.
const WORDS: u64 = 64;

/// `NotifyBind`: binds a free word of the OSnode's notification page to the dispatcher, or finds the one bound;
/// r1 = its first channel.
///
/// # Rights
/// WRITE on the Dispatcher.
pub(crate) fn bind<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    let dcb = decode_dcb(e.m, i, Rights::WRITE)?;
    let kcb = e.kcb();
    let bound = dcb.notify_word(e.m);
    if bound != 0 {
        e.reply(c, &[(bound - 1) * WORDS]);
        return Ok(());
    }
    let Some(word) = (0..WORDS).find(|&w| kcb.notify_binding(e.m, w) == 0) else {
        return refuse(SysError::TableFull);
    };
    let mut t = e.begin();
    kcb.set_notify_binding(&mut t, word, dcb.0.0);
    dcb.set_notify_word(&mut t, word + 1);
    commit(t, c, &[word * WORDS]);
    // Bits that came before.
    notify::scan_word(e, word);
    Ok(())
}

/// `NotifyMint`: a Notify for channel r2 into slot r3.
///
/// # Rights
/// WRITE on the Notification.
pub(crate) fn mint<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    i.ensure(CapType::Notification, Rights::WRITE)?;
    let channel = c.reg(e.m, 2);
    if channel >= NOTIFICATION_CHANNELS {
        return refuse(SysError::BadArgument);
    }
    let slot = decode::empty_slot(e, c, c.reg(e.m, 3))?;
    decode::ensure_derivable(e, i.cte, &i.cap)?;
    let mut cap = Cap::region(CapType::Notify, i.cap.base, i.cap.size);
    cap.rights = i.cap.rights;
    cap.param = channel as u32;
    cap.extra = Notification(i.cap.base).osnode(e.m);
    let kcb = e.kcb();
    let mut t = e.begin();
    derive(&mut t, kcb, i.cte, slot, &cap);
    commit(t, c, &[]);
    Ok(())
}

/// `Signal`: sets the channel's bit and interrupts the core where its OSnode runs, if that runs.
///
/// # Rights
/// WRITE.
pub(crate) fn signal<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::Notify, Rights::WRITE)?;
    let target = notify::signal(e.m, i.cap.base, u64::from(i.cap.param));
    let own = i.cap.base == PhysAddr(e.kcb().notification(e.m));
    let here = Core(e.m.core_object()).hw_id(e.m);
    match target {
        Some(_) if own => {
            e.reply(c, &[]);
            notify::notified(e);
        }
        // Who is cared for is where its caretaker is.
        Some(hw) if hw != here || e.os.cares || e.os.visited => {
            e.reply_with_effect(c, Effect::Signal(hw, Signal::Notify, None), &[]);
        }
        _ => e.reply(c, &[]),
    }
    Ok(())
}
