//! Adopting a KCB, and letting it go: the one place where an OSnode comes to a kernel and leaves it.

use abi::disp::{self, Upcall};
use abi::{SysError, vaddr};
use capfmt::convert::{self, ConvertError};
use capfmt::undo::{self, UndoError};
use capfmt::{
    Attachment, Core, CoreCommand, CoreId, CoreStatus, Dcb, DcbState, FORMAT_VERSION, Kcb,
    KcbError, LongOpKind, Notification, PhysAddr, kcb_check,
};

use crate::entry::{Entry, live_area};
use crate::invoke::irq;
use crate::osnode::KernelIdentity;
use crate::time::Clock;
use crate::{
    Arrival, Effects, Machine, Osnode, Policy, Resume, care, dispatch, ending, invoke, lmp, notify,
    report_status, shootdown, time, upcall,
};

/// Why a KCB was not adopted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttachError {
    /// It is none that this kernel, on this core, can run.
    Kcb(KcbError),
    /// The state word is none that a kernel writes.
    BadState(u64),
    /// Another kernel runs it, or won the race for it.
    Attached {
        /// On this core.
        core: CoreId,
        /// In this epoch.
        epoch: u32,
    },
    /// Its undo log cannot be rolled back.
    Undo(UndoError),
    /// It cannot be brought into the current format.
    Convert(ConvertError),
    /// The notification or time page is not memory, or not one of this OSnode.
    BadPage(PhysAddr),
    /// The Core object's or KCB's clock words cannot be used (mult 0, or shift above 63).
    BadClock,
    /// Its monitor has ended, and the OSnode with it.
    Ended,
}

/// Checks the KCB at `kcb` and wins its state word, so that this kernel runs the OSnode.
///
/// Rolls back what a kernel that died left half done, converts an older format,
/// tells the caller of its lost system call (`KernelRestarted`), and rebuilds
/// everything that is scratch. A KCB that is still marked as attached to *this*
/// core may be adopted: its kernel is gone, since this one runs here. To be
/// followed by `step(…, Event::Idle)`, which says what runs first.
///
/// # Errors
/// Why it was refused; no dispatcher and no capability of the OSnode has changed, and it is detached unless
/// another kernel runs it.
pub fn attach<M: Machine, P: Policy>(
    m: &mut M,
    kcb: PhysAddr,
    identity: KernelIdentity,
) -> Result<Osnode<P>, AttachError> {
    attach_as(m, kcb, identity, false)
}

/// As [`attach`]; `visited`: only to let those run who answer other OSnodes ([`crate::care`]).
pub(crate) fn attach_as<M: Machine, P: Policy>(
    m: &mut M,
    kcb: PhysAddr,
    identity: KernelIdentity,
    visited: bool,
) -> Result<Osnode<P>, AttachError> {
    let kcb = Kcb(kcb);
    let core = Core(m.core_object());
    kcb_check(m, kcb, M::ISA, m.features()).map_err(AttachError::Kcb)?;
    if Clock::new(0, 0, core.mult(m), core.shift(m)).is_none() {
        return Err(AttachError::BadClock);
    }
    let epoch = win(m, kcb, CoreId(core.core_id(m) as u32))?;
    let clock = match prepare(m, kcb, core) {
        Ok(clock) => clock,
        Err(error) => {
            release(m, kcb);
            return Err(error);
        }
    };
    let os = Osnode {
        kcb,
        identity,
        policy: P::new(),
        clock,
        current: None,
        calls: 0,
        charged_at: clock.start,
        picked_at: clock.start,
        slice_end: u64::MAX,
        strict: false,
        wake_head: 0,
        wake_at: u64::MAX,
        op_active: kcb.op_kind(m) != LongOpKind::None as u64,
        guarded: kcb.op_kind(m) != LongOpKind::None as u64 || kcb.marked(m) != 0,
        monitor: kcb.monitor_channel(m),
        // What the last kernel may not have told.
        dropped: true,
        reclaimed: true,
        visited,
        cares: !visited && kcb.care_head(m) != 0,
        op_paused: false,
        attention: true,
        ended: false,
        undelivered: 0,
        // Its devices stay quiet until it is started.
        unmask_next: if visited { irq::BINDINGS } else { 0 },
        in_effects: false,
        effects: Effects::NONE,
        resume: Resume::PEN,
    };
    Ok(adopt(m, os, core, epoch))
}

/// Wins the state word; returns the new epoch.
fn win<M: Machine>(m: &mut M, kcb: Kcb, own: CoreId) -> Result<u32, AttachError> {
    let word = kcb.state(m);
    let epoch = match Attachment::unpack(word) {
        None => return Err(AttachError::BadState(word)),
        Some(Attachment::Attached { core, epoch }) if core != own => {
            return Err(AttachError::Attached { core, epoch });
        }
        Some(Attachment::Detached { epoch } | Attachment::Attached { epoch, .. }) => {
            epoch.wrapping_add(1)
        }
    };
    let mine = Attachment::Attached { core: own, epoch }.pack();
    let at = kcb.0.add(Kcb::STATE_OFFSET);
    match m.compare_exchange(at, word, mine) {
        Ok(()) => Ok(epoch),
        Err(word) => Err(match Attachment::unpack(word) {
            Some(Attachment::Attached { core, epoch }) => AttachError::Attached { core, epoch },
            _ => AttachError::BadState(word),
        }),
    }
}

/// Gives the state word up.
fn release<M: Machine>(m: &mut M, kcb: Kcb) {
    let word = kcb.state(m);
    let Some(Attachment::Attached { epoch, .. }) = Attachment::unpack(word) else {
        panic!("ONE-KERNEL-PER-KCB: the state word of the running OSnode is not its kernel's");
    };
    let free = Attachment::Detached { epoch }.pack();
    m.compare_exchange(kcb.0.add(Kcb::STATE_OFFSET), word, free)
        .expect("ONE-KERNEL-PER-KCB: another kernel changed the state word");
}

/// Takes back what was left half done, brings the format up to date, and checks what depends on it.
fn prepare<M: Machine>(m: &mut M, kcb: Kcb, core: Core) -> Result<Clock, AttachError> {
    let taken_back = undo::rollback(m, kcb).map_err(AttachError::Undo)?;
    convert::resume(m, kcb).map_err(AttachError::Convert)?;
    convert::convert(m, kcb, FORMAT_VERSION).map_err(AttachError::Convert)?;
    if kcb.ended(m) != 0 {
        return Err(AttachError::Ended);
    }
    if taken_back != 0 {
        let n = kcb.rollbacks(m);
        kcb.set_rollbacks(m, n + 1);
    }
    for page in [kcb.notification(m), kcb.time_page(m)].map(PhysAddr) {
        if !page.is_aligned(4096) || !m.covers(page, 4096) {
            return Err(AttachError::BadPage(page));
        }
    }
    let page = Notification(PhysAddr(kcb.notification(m)));
    if page.magic(m) != Notification::MAGIC || page.osnode(m) != kcb.osnode(m) {
        return Err(AttachError::BadPage(page.0));
    }
    clock(m, kcb, core)
}

/// OSnode time from now on: it goes on where it stopped (§4.7).
///
/// Detach leaves the time in the KCB and `counter_start` 0. A kernel that died
/// could not: then time went on until now, by the words of its own attach, since
/// its users may have read any of it.
fn clock<M: Machine>(m: &M, kcb: Kcb, core: Core) -> Result<Clock, AttachError> {
    let now = m.counter();
    let start = kcb.counter_start(m);
    let base = kcb.time_base_ns(m);
    let base = match start {
        0 => base,
        _ => Clock::new(start, base, kcb.mult(m), kcb.shift(m))
            .ok_or(AttachError::BadClock)?
            .now_ns(now),
    };
    Clock::new(now, base, core.mult(m), core.shift(m)).ok_or(AttachError::BadClock)
}

/// Everything after the state word is won. Each part may be done again by the next kernel, should this one
/// die in it.
fn adopt<M: Machine, P: Policy>(m: &mut M, mut os: Osnode<P>, core: Core, epoch: u32) -> Osnode<P> {
    let kcb = os.kcb;
    if os.op_active && !os.visited {
        let n = kcb.op_adopted(m);
        kcb.set_op_adopted(m, n + 1);
    }
    set_time(m, &os, core);
    let mut e = Entry::new(&mut os, m);
    settle_lost_call(&mut e);
    let mut at = kcb.dcb_head(e.m);
    while at != 0 {
        let dcb = Dcb(PhysAddr(at));
        at = dcb.next(e.m);
        adopt_dispatcher(&mut e, dcb, core, epoch);
    }
    // What became due while no kernel ran the OSnode comes before whatever runs first.
    time::wake_due(&mut e);
    let page = PhysAddr(kcb.notification(e.m));
    let here = location(e.m, epoch);
    notify::set_location(e.m, page, here);
    notify::scan_all(&mut e);
    if !e.os.visited {
        let id = core.core_id(e.m);
        kcb.set_last_core(e.m, id + 1);
        invoke::irq::synthesize(&mut e);
        care::relocate(e.m, kcb, here);
    }
    os
}

/// The location word of an OSnode on this core.
pub(crate) fn location<M: Machine>(m: &M, epoch: u32) -> u64 {
    let hw = Core(m.core_object()).hw_id(m);
    (hw + 1) & 0xffff_ffff | u64::from(epoch) << 32
}

/// Writes the time words of the KCB and the time page, under its generation.
fn set_time<M: Machine, P: Policy>(m: &mut M, os: &Osnode<P>, core: Core) {
    let kcb = os.kcb;
    let page = PhysAddr(kcb.time_page(m));
    let odd = kcb.time_generation(m) | 1;
    kcb.set_time_generation(m, odd);
    m.exchange(page.add(vaddr::time_page::GENERATION), odd);
    // The base first: with the old `counter_start` it would be later than it should, never earlier.
    kcb.set_time_base_ns(m, os.clock.base_ns);
    kcb.set_mult(m, os.clock.mult);
    kcb.set_shift(m, os.clock.shift);
    kcb.set_counter_start(m, os.clock.start);
    let words = [
        (vaddr::time_page::BASE_NS, os.clock.base_ns),
        (vaddr::time_page::COUNTER_START, os.clock.start),
        (vaddr::time_page::MULT, core.mult(m)),
        (vaddr::time_page::SHIFT, core.shift(m)),
        (vaddr::time_page::SYSTEM_OFFSET_NS, kcb.system_offset_ns(m)),
        (vaddr::time_page::OSNODE, kcb.osnode(m)),
    ];
    for (offset, word) in words {
        m.store_at(page, offset, word);
    }
    kcb.set_time_generation(m, odd + 1);
    // A store that no other store or load passes.
    m.exchange(page.add(vaddr::time_page::GENERATION), odd + 1);
}

/// The dispatcher that ran is runnable; was it in a system call, that is lost.
fn settle_lost_call<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    let kcb = e.kcb();
    let word = kcb.current_dcb(e.m);
    let dcb = Dcb(PhysAddr(word & !(Kcb::IN_SYSCALL | Kcb::IN_EFFECTS)));
    if dcb.0.is_null() {
        return;
    }
    dcb.set_state(e.m, DcbState::Runnable as u64);
    if dcb.0.0 != word
        && let Some(page) = dispatch::frame(e.m, dcb)
    {
        let area = live_area(e.m, page);
        e.m.store(
            area.add(M::SYSCALL_REGS[0]),
            SysError::KernelRestarted as u64,
        );
    }
    kcb.set_current_dcb(e.m, 0);
}

/// Rebuilds what is scratch about one dispatcher, and tells it where it is.
fn adopt_dispatcher<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    dcb: Dcb,
    core: Core,
    epoch: u32,
) {
    lmp::recount(e.m, dcb);
    let kcb = e.kcb();
    ending::find(e.m, kcb, dcb);
    ending::look(e);
    if dcb.flags(e.m) & Dcb::FAULT_UNTOLD != 0 {
        e.os.undelivered += 1;
    }
    if let Some(page) = dispatch::frame(e.m, dcb).filter(|_| !e.os.visited) {
        let (osnode, id) = (e.kcb().osnode(e.m), core.core_id(e.m));
        let moved = e.m.load_at(page, disp::CORE) != id;
        dispatch::tell_place(e.m, page, osnode, id, u64::from(epoch));
        if dcb.flags(e.m) & Dcb::STARTED != 0 {
            upcall::post(e.m, dcb, page, Upcall::KernelRestarted);
            if moved {
                upcall::post(e.m, dcb, page, Upcall::CoreSetChanged);
            }
        }
    }
    let state = dcb.state_of(e.m);
    if state == Some(DcbState::Runnable) {
        invoke::dispatcher::first_start(e.m, dcb);
    }
    if state == Some(DcbState::Waiting) {
        if dcb.wake_at_ns(e.m) != u64::MAX && dispatch::may_run(e, dcb) {
            if e.os.visited {
                care::shorten(e, dcb);
            }
            time::wait_until(e, dcb);
        }
        return;
    }
    dcb.set_wake_at_ns(e.m, u64::MAX);
    // A long operation that ended released those who waited for it; some may not have heard. So did the flushes.
    let ended = state == Some(DcbState::WaitingLongOp) && !e.os.op_active;
    if ended {
        dcb.set_state(e.m, DcbState::Runnable as u64);
    }
    let missed = ended || shootdown::let_go(e, dcb);
    if missed || state == Some(DcbState::Runnable) {
        dispatch::enqueue(e, dcb, Arrival::Turn(0));
    }
}

/// Detaches the OSnode if a new Stop command stands on the home line; whether it did.
///
/// The order is the protocol: time, location, state word, then the first
/// acknowledgement. After the state word nothing of the OSnode is touched.
pub(crate) fn detach<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) -> bool {
    let core = Core(e.m.core_object());
    let seq = core.home_seq(e.m);
    if seq == core.target_seq(e.m) || core.home_cmd(e.m) != CoreCommand::Stop as u64 {
        return false;
    }
    let kcb = e.kcb();
    care::relocate(e.m, kcb, 0);
    let_go(e, 0);
    report_status(e.m, CoreStatus::Detached, kcb.0, seq);
    true
}

/// Ends what [`attach`] began; signals go to `location` from now on.
pub(crate) fn let_go<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, location: u64) {
    dispatch::charge(e);
    let kcb = e.kcb();
    kcb.set_current_dcb(e.m, 0);
    let now = e.now_ns();
    // In this order a death between the two stores counts some time twice, and never goes back.
    kcb.set_time_base_ns(e.m, now);
    kcb.set_counter_start(e.m, 0);
    let page = PhysAddr(kcb.notification(e.m));
    notify::set_location(e.m, page, location);
    release(e.m, kcb);
}
