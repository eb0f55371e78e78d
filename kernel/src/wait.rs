//! `Wait` and `Poll`.

use abi::{SysError, WaitResult};
use capfmt::DcbState;

use crate::entry::{Caller, Entry, Res, commit, refuse};
use crate::lmp::{HEAD, RING, TAIL, record, take};
use crate::{Machine, Policy, dispatch, time};

/// What `Wait` and `Poll` accept: an endpoint, or anything.
fn decode_wanted<M: Machine>(m: &M, c: &Caller) -> Res<Option<u64>> {
    match c.reg(m, 2) {
        0 => Ok(None),
        n if n <= capfmt::DCB_ENDPOINTS => Ok(Some(n - 1)),
        _ => refuse(SysError::BadArgument),
    }
}

/// Takes what is there: a message, or notification bits. `false`: nothing is there, nothing was done.
fn take_any<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    wanted: Option<u64>,
) -> bool {
    let index = match wanted {
        Some(index) => index,
        None => match c.dcb.pending(e.m) {
            0 => return take_notification(e, c),
            pending => u64::from(pending.trailing_zeros()),
        },
    };
    let ring = e.m.load(record(c.dcb, index, RING));
    let (head, tail) = (
        e.m.load(record(c.dcb, index, HEAD)),
        e.m.load(record(c.dcb, index, TAIL)),
    );
    if head == tail {
        return false;
    }
    let kcb = e.kcb();
    let mut t = e.begin();
    if !take(&mut t, c, index) {
        return false;
    }
    kcb.set_current_dcb(&mut t, c.dcb.0.0);
    t.commit();
    let was_full = tail.wrapping_sub(head) >= ring >> 32;
    e.os.attention |= was_full && e.os.undelivered != 0;
    true
}

fn take_notification<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller) -> bool {
    let bits = c.dcb.notify_pending(e.m);
    if bits == 0 {
        return false;
    }
    let mut t = e.begin();
    c.dcb.set_notify_pending(&mut t, 0);
    commit(t, c, &[WaitResult::NOTIFICATION, bits]);
    true
}

/// `Poll`.
pub(crate) fn poll<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller) -> Res {
    let wanted = decode_wanted(e.m, c)?;
    if take_any(e, c, wanted) {
        return Ok(());
    }
    nothing(e, c)
}

/// Refuses with `TimedOut` and an empty result.
fn nothing<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller) -> Res {
    e.m.store_at(c.area, M::SYSCALL_REGS[1], WaitResult::NOTHING);
    refuse(SysError::TimedOut)
}

/// `Wait`.
pub(crate) fn wait<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller) -> Res {
    let wanted = decode_wanted(e.m, c)?;
    if take_any(e, c, wanted) {
        return Ok(());
    }
    let give_up = c.reg(e.m, 1);
    if give_up != u64::MAX && give_up <= e.now_ns() {
        return nothing(e, c);
    }
    c.dcb.set_wait_for(e.m, wanted.map_or(0, |i| i + 1));
    c.dcb.set_state(e.m, DcbState::Waiting as u64);
    c.dcb.set_wake_at_ns(e.m, give_up);
    let kcb = e.kcb();
    kcb.set_current_dcb(e.m, 0);
    if give_up != u64::MAX {
        time::wait_until(e, c.dcb);
    }
    dispatch::rest(e);
    Ok(())
}
