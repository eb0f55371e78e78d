//! Core objects and the right to command them.

use abi::SysError;
use capfmt::{
    Attachment, CORE_OBJECT_BYTES, Cap, CapType, Core, CoreCommand, CoreStatus, Kcb, PhysAddr,
    Rights, kcb_check,
};

use super::{Invoked, derive};
use crate::entry::{Caller, Entry, Res, commit, refuse};
use crate::{Effect, Machine, Policy, Signal, decode};

/// Words of an image record.
const IMAGE_WORDS: u64 = 16;

/// `CoreMint`: a CoreControl into slot r2.
///
/// # Rights
/// WRITE on the Core.
pub(crate) fn mint<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    i.ensure(CapType::Core, Rights::WRITE)?;
    let slot = decode::empty_slot(e, c, c.reg(e.m, 2))?;
    decode::ensure_derivable(e, i.cte, &i.cap)?;
    let cap = Cap::region(CapType::CoreControl, i.cap.base, i.cap.size);
    let kcb = e.kcb();
    let mut t = e.begin();
    derive(&mut t, kcb, i.cte, slot, &cap);
    commit(t, c, &[]);
    Ok(())
}

/// The Core object of the invoked CoreControl.
fn decode_core(i: &Invoked, rights: Rights) -> Res<Core> {
    i.ensure(CapType::CoreControl, rights)?;
    Ok(Core(i.cap.base))
}

/// As [`decode_core`], for what only the holder may do, and not to its own core.
fn decode_held<M: Machine, P: Policy>(e: &Entry<'_, M, P>, i: &Invoked) -> Res<Core> {
    let core = decode_core(i, Rights::WRITE)?;
    if core.holder(e.m) != e.kcb().osnode(e.m) {
        return refuse(SysError::NotHolder);
    }
    Ok(core)
}

fn refuse_own<M: Machine, P: Policy>(e: &Entry<'_, M, P>, core: Core) -> Res {
    if core.0 == e.m.core_object() {
        return refuse(SysError::OwnCore);
    }
    Ok(())
}

/// `CoreHandOver`: OSnode r2 commands the core from now on. A core that nobody holds may be taken, and so may one
/// whose kernel crashed with the OSnode that holds it.
///
/// # Rights
/// WRITE.
pub(crate) fn hand_over<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let core = decode_core(i, Rights::WRITE)?;
    let holder = core.holder(e.m);
    let own = e.kcb().osnode(e.m);
    if holder != 0 && holder != own {
        // Of two that take it from a dead holder, one gets it.
        let at = core.0.add(Core::HOLDER_OFFSET);
        if !died_with(e.m, core, holder) || e.m.compare_exchange(at, holder, own).is_err() {
            return refuse(SysError::NotHolder);
        }
    }
    let heir = c.reg(e.m, 2);
    let mut t = e.begin();
    core.set_holder(&mut t, heir);
    commit(t, c, &[]);
    Ok(())
}

/// Whether the core's kernel crashed with the OSnode that holds the core: it cannot hand it on.
fn died_with<M: Machine>(m: &M, core: Core, holder: u64) -> bool {
    let kcb = core.target_kcb(m);
    status(m, core) == Some(CoreStatus::Crashed)
        && kcb != 0
        && Kcb(PhysAddr(kcb)).osnode(m) == holder
}

/// What the core reports.
fn status(m: &impl capfmt::PhysMap, core: Core) -> Option<CoreStatus> {
    const ALL: [CoreStatus; 6] = [
        CoreStatus::Off,
        CoreStatus::Detached,
        CoreStatus::Penned,
        CoreStatus::Starting,
        CoreStatus::Running,
        CoreStatus::Crashed,
    ];
    let word = core.target_status(m);
    ALL.into_iter().find(|s| *s as u64 == word)
}

/// `CoreCommand`: writes the home line; r1 = the sequence number to wait for.
///
/// # Rights
/// WRITE, and the OSnode must hold the core; READ on the Kcb.
pub(crate) fn command<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let core = decode_held(e, i)?;
    refuse_own(e, core)?;
    let state = status(e.m, core);
    let penned = matches!(state, Some(CoreStatus::Penned | CoreStatus::Crashed));
    let (ok, signal) = match c.reg(e.m, 2) {
        k if k == CoreCommand::Stop as u64 => (
            matches!(state, Some(CoreStatus::Running | CoreStatus::Starting)),
            Signal::Stop,
        ),
        k if k == CoreCommand::Start as u64 => (penned, Signal::Wake),
        k if k == CoreCommand::Off as u64 => (penned, Signal::Wake),
        // Takes back what was not taken; only the pen answers it, so it proves that a core is there.
        k if k == CoreCommand::None as u64 => (true, Signal::Wake),
        _ => return refuse(SysError::BadArgument),
    };
    if !ok {
        return refuse(SysError::BadCoreState);
    }
    let cmd = c.reg(e.m, 2);
    let (kcb, image) = match cmd {
        n if n == CoreCommand::Start as u64 => decode_start(e, c, core)?,
        n if n == CoreCommand::Stop as u64 => (core.target_kcb(e.m), core.home_image(e.m)),
        // What it was told to run last.
        _ => (core.home_kcb(e.m), core.home_image(e.m)),
    };
    if cmd == CoreCommand::Start as u64 {
        super::care::forget(e.os, e.m, Kcb(PhysAddr(kcb)));
    }
    let seq = core.home_seq(e.m) + 1;
    let hw = core.hw_id(e.m);
    // The home line is this OSnode's to write as long as it holds the core. The
    // sequence number, which makes it valid, is written last, as an effect.
    core.set_home_cmd(e.m, cmd);
    core.set_home_kcb(e.m, kcb);
    core.set_home_image(e.m, image);
    if cmd == CoreCommand::Stop as u64 {
        core.set_last_kcb(e.m, kcb);
    }
    e.reply_with_effect(c, Effect::PublishHome(core.0, seq), &[seq]);
    e.os.effects.push(Effect::Signal(hw, signal, None));
    Ok(())
}

/// The KCB and image record of a Start, checked as far as this kernel can: the rest is the new kernel's.
fn decode_start<M: Machine, P: Policy>(
    e: &Entry<'_, M, P>,
    c: &Caller,
    core: Core,
) -> Res<(u64, u64)> {
    let address = c.reg(e.m, 3);
    let (_, cap) = decode::lookup_as(e, c, address, CapType::Kcb, Rights::READ)?;
    let image = c.reg(e.m, 4);
    if image > 1 {
        return refuse(SysError::BadArgument);
    }
    let record = core.image(e.m, image);
    if record.phys.is_null() || record.entry_va == 0 || record.root_table.is_null() {
        return refuse(SysError::BadObject);
    }
    let kcb = Kcb(PhysAddr(cap.extra));
    if core.isa(e.m) != M::ISA as u64 || kcb_check(e.m, kcb, M::ISA, u64::MAX).is_err() {
        return refuse(SysError::BadObject);
    }
    match kcb.attachment(e.m) {
        Some(Attachment::Detached { .. }) => {}
        // Left behind by a kernel of that very core, which is in the pen.
        Some(Attachment::Attached { core: on, .. }) if u64::from(on.0) == core.core_id(e.m) => {}
        _ => return refuse(SysError::Attached),
    }
    let cared_by = kcb.cared_by(e.m);
    if cared_by != 0 && cared_by != e.kcb().osnode(e.m) {
        return refuse(SysError::Attached);
    }
    Ok((kcb.0.0, image))
}

/// `CoreRelease`: a core in the pen lets go of the Kcb r2 that its dead kernel left attached.
///
/// The core writes its line in answer to commands only, and the caller's OSnode alone gives
/// them: so its status can be set from here.
///
/// # Rights
/// WRITE, and the OSnode must hold the core; WRITE on the Kcb.
pub(crate) fn release<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let core = decode_held(e, i)?;
    refuse_own(e, core)?;
    let state = status(e.m, core);
    if !matches!(state, Some(CoreStatus::Penned | CoreStatus::Crashed)) {
        return refuse(SysError::BadCoreState);
    }
    let address = c.reg(e.m, 2);
    let (_, cap) = decode::lookup_as(e, c, address, CapType::Kcb, Rights::WRITE)?;
    let kcb = Kcb(PhysAddr(cap.extra));
    let word = kcb.state(e.m);
    match Attachment::unpack(word) {
        Some(Attachment::Detached { .. }) => {}
        Some(Attachment::Attached { core: on, epoch }) if u64::from(on.0) == core.core_id(e.m) => {
            let free = Attachment::Detached { epoch }.pack();
            let at = kcb.0.add(Kcb::STATE_OFFSET);
            // Nobody else may change it now; if somebody did, it is not this core's any more.
            if e.m.compare_exchange(at, word, free).is_err() {
                return refuse(SysError::Attached);
            }
        }
        _ => return refuse(SysError::Attached),
    }
    let ran_it = core.home_kcb(e.m) == kcb.0.0;
    let mut t = e.begin();
    if state == Some(CoreStatus::Crashed) && ran_it {
        core.set_target_status(&mut t, CoreStatus::Penned as u64);
    }
    commit(t, c, &[]);
    Ok(())
}

/// `CoreSignal`: r1 = firmware status.
///
/// # Rights
/// WRITE, and the OSnode must hold the core.
pub(crate) fn signal<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let core = decode_held(e, i)?;
    refuse_own(e, core)?;
    let signal = match c.reg(e.m, 2) {
        0 => Signal::Wake,
        1 => Signal::Stop,
        2 => Signal::Nmi,
        3 => Signal::Init,
        4 => Signal::PowerOn(c.reg(e.m, 3)),
        _ => return refuse(SysError::BadArgument),
    };
    // The boot processor would run firmware.
    let boot = core.flags(e.m) & Core::FLAG_BOOT != 0;
    if boot && matches!(signal, Signal::Init | Signal::PowerOn(_)) {
        return refuse(SysError::BadCoreState);
    }
    let to = c.area.add(M::SYSCALL_REGS[1]);
    let hw = core.hw_id(e.m);
    e.reply_with_effect(c, Effect::Signal(hw, signal, Some(to)), &[0]);
    Ok(())
}

/// `CoreInfo`.
///
/// # Rights
/// READ.
pub(crate) fn info<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    let core = decode_core(i, Rights::READ)?;
    // The sequence first: it was written last.
    let seq = core.target_seq(e.m);
    let results = [
        core.target_status(e.m),
        seq,
        core.home_seq(e.m),
        core.target_kcb(e.m),
        core.home_image(e.m),
        core.epitaph_kind(e.m),
        core.epitaph_pc(e.m),
    ];
    e.reply(c, &results);
    Ok(())
}

/// `CoreRead`: the words from byte offset r2 of the Core object on; 0 beyond its end.
///
/// # Rights
/// READ.
pub(crate) fn read<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    let core = decode_core(i, Rights::READ)?;
    let offset = c.reg(e.m, 2);
    if offset >= CORE_OBJECT_BYTES || !offset.is_multiple_of(8) {
        return refuse(SysError::BadArgument);
    }
    let words: [u64; 7] = ::core::array::from_fn(|i| match offset + 8 * i as u64 {
        at if at < CORE_OBJECT_BYTES => e.m.load_at(core.0, at),
        _ => 0,
    });
    e.reply(c, &words);
    Ok(())
}

/// `CorePhase`: writes the operation record.
///
/// # Rights
/// WRITE, and the OSnode must hold the core.
pub(crate) fn phase<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let core = decode_held(e, i)?;
    let words = [2, 3, 4].map(|k| c.reg(e.m, k));
    let mut t = e.begin();
    core.set_op(&mut t, words[0]);
    core.set_op_phase(&mut t, words[1]);
    core.set_op_kcb(&mut t, words[2]);
    commit(t, c, &[]);
    Ok(())
}

/// `CoreImage`: writes word r3 of image record r2, unless a kernel runs from it.
///
/// # Rights
/// WRITE, and the OSnode must hold the core.
pub(crate) fn image<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let core = decode_held(e, i)?;
    let (record, word, value) = (c.reg(e.m, 2), c.reg(e.m, 3), c.reg(e.m, 4));
    if record > 1 || word >= IMAGE_WORDS {
        return refuse(SysError::BadArgument);
    }
    let runs = matches!(
        status(e.m, core),
        Some(CoreStatus::Running | CoreStatus::Starting | CoreStatus::Detached)
    );
    if runs && core.home_image(e.m) == record {
        return refuse(SysError::BadCoreState);
    }
    let mut t = e.begin();
    core.set_image_word(&mut t, IMAGE_WORDS * record + word, value);
    commit(t, c, &[]);
    Ok(())
}
