//! Endpoints of a dispatcher.

use abi::{SysError, disp};
use capfmt::{Cap, CapType, DCB_BYTES, DCB_ENDPOINTS, EndpointRecord, Rights};

use super::dispatcher::decode_dcb;
use super::{Invoked, derive};
use crate::entry::{Caller, Entry, Res, commit, refuse};
use crate::{Machine, Policy, decode};

/// `EndpointOpen`: endpoint r2 gets the ring slots from r3 on, r4 of them, and an Endpoint capability in r5.
///
/// # Rights
/// WRITE on the Dispatcher.
pub(crate) fn open<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    let dcb = decode_dcb(e.m, i, Rights::WRITE)?;
    let (index, first, count) = (c.reg(e.m, 2), c.reg(e.m, 3), c.reg(e.m, 4));
    let sound = index < DCB_ENDPOINTS
        && count.is_power_of_two()
        && count <= disp::RING_SLOTS
        && first <= disp::RING_SLOTS - count;
    if !sound {
        return refuse(SysError::BadArgument);
    }
    if dcb.endpoint(e.m, index).ring != 0 {
        return refuse(SysError::SlotInUse);
    }
    let slot = decode::empty_slot(e, c, c.reg(e.m, 5))?;
    decode::ensure_derivable(e, i.cte, &i.cap)?;
    let mut cap = Cap::region(CapType::Endpoint, dcb.0, DCB_BYTES);
    cap.param = index as u32;
    let record = EndpointRecord {
        ring: first | count << 32,
        ..EndpointRecord::default()
    };
    let kcb = e.kcb();
    let mut t = e.begin();
    dcb.set_endpoint(&mut t, index, &record);
    derive(&mut t, kcb, i.cte, slot, &cap);
    commit(t, c, &[]);
    Ok(())
}

/// `EndpointReceive`: the next capability that comes to endpoint r2 goes to the slot at address r3.
///
/// # Rights
/// WRITE on the Dispatcher.
pub(crate) fn receive<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let dcb = decode_dcb(e.m, i, Rights::WRITE)?;
    let (index, address) = (c.reg(e.m, 2), c.reg(e.m, 3));
    if index >= DCB_ENDPOINTS || u32::try_from(address).is_err() {
        return refuse(SysError::BadArgument);
    }
    let mut record = dcb.endpoint(e.m, index);
    if record.ring == 0 {
        return refuse(SysError::EndpointClosed);
    }
    record.recv_slot = address;
    let mut t = e.begin();
    dcb.set_endpoint(&mut t, index, &record);
    commit(t, c, &[]);
    Ok(())
}
