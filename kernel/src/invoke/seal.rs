//! Objects made elsewhere: sealing a written Frame, and capabilities that cross OSnodes.

use abi::SysError;
use capfmt::undo::Transaction;
use capfmt::{
    Attachment, CORE_OBJECT_BYTES, Cap, CapType, Core, CoreStatus, Cte, FORMAT_VERSION, KCB_BYTES,
    Kcb, MdbFlags, MdbNode, RawCap, Rights, kcb_check, mdb, schema,
};

use super::Invoked;
use crate::entry::{Caller, Entry, Res, Stop, commit, refuse};
use crate::{Machine, Policy, decode, peers, share, shootdown};

/// `Seal`: the Frame in r2, without copies or mappings, becomes the Kcb or Core that its holder wrote.
///
/// # Rights
/// Every one on the Kernel capability, WRITE on the Frame.
pub(crate) fn seal<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    i.ensure(CapType::Kernel, Rights::ALL)?;
    let address = c.reg(e.m, 2);
    let (cte, frame) = decode::lookup_as(e, c, address, CapType::Frame, Rights::WRITE)?;
    decode::ensure_not_target(e, cte)?;
    decode::ensure_derivable(e, cte, &frame)?;
    if share::is_shared(e.m, cte) {
        return refuse(SysError::SharedRemote);
    }
    if mdb::copies_exist(e.m, e.os.kcb, cte) || mdb::descendants_exist(e.m, e.os.kcb, cte) {
        return refuse(SysError::StillInUse);
    }
    let offset = c.reg(e.m, 4);
    let sealed = match c.reg(e.m, 3) {
        k if k == CapType::Kcb as u64 => sealed_kcb(e.m, &frame, offset)?,
        k if k == CapType::Core as u64 => sealed_core(e.m, &frame, offset)?,
        _ => return refuse(SysError::BadArgument),
    };
    let kcb = e.kcb();
    let mut t = e.begin();
    mdb::replace(&mut t, kcb, cte, &sealed);
    commit(t, c, &[]);
    Ok(())
}

fn sealed_kcb<M: Machine>(m: &M, frame: &Cap, offset: u64) -> Res<Cap> {
    let fits = offset <= frame.size && KCB_BYTES <= frame.size - offset;
    let kcb = Kcb(frame.base.add(offset));
    if !fits || !kcb.0.is_aligned(4096) || !m.covers(frame.base, frame.size) {
        return refuse(SysError::BadArgument);
    }
    let within = |at: u64| at >= frame.base.0 && at <= frame.last();
    let sound = kcb_check(m, kcb, M::ISA, u64::MAX).is_ok()
        && kcb.format(m) == FORMAT_VERSION
        && kcb.mem_base(m) == frame.base.0
        && kcb.mem_size(m) == frame.size
        && within(kcb.notification(m))
        && within(kcb.time_page(m))
        && kcb.osnode(m) != 0
        && matches!(kcb.attachment(m), Some(Attachment::Detached { .. }));
    if !sound {
        return refuse(SysError::BadObject);
    }
    let mut cap = Cap::region(CapType::Kcb, frame.base, frame.size);
    cap.extra = kcb.0.0;
    Ok(cap)
}

fn sealed_core<M: Machine>(m: &M, frame: &Cap, offset: u64) -> Res<Cap> {
    if offset != 0 || frame.size != CORE_OBJECT_BYTES || !frame.base.is_aligned(CORE_OBJECT_BYTES) {
        return refuse(SysError::BadArgument);
    }
    if !m.covers(frame.base, frame.size) {
        return refuse(SysError::BadArgument);
    }
    let core = Core(frame.base);
    let sound = core.magic(m) == Core::MAGIC
        && core.format(m) == FORMAT_VERSION
        && core.isa(m) == M::ISA as u64
        && core.target_status(m) == CoreStatus::Off as u64;
    if !sound {
        return refuse(SysError::BadObject);
    }
    Ok(Cap::region(CapType::Core, frame.base, frame.size))
}

/// `CapExport`: marks the capability in r2, and its copies, as having copies on other OSnodes; r1..r4 = its
/// words, for `CapImport` there.
///
/// # Rights
/// Every one on the Kernel capability, GRANT on the exported one.
pub(crate) fn export<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::Kernel, Rights::ALL)?;
    let (cte, cap) = decode::lookup(e, c, c.reg(e.m, 2))?;
    if !may_cross(&cap) {
        return refuse(SysError::WrongType);
    }
    if !cap.rights.contains(Rights::GRANT) {
        return refuse(SysError::NoRight);
    }
    decode::ensure_derivable(e, cte, &cap)?;
    // Memory that came back may have capabilities in it until the done list is empty.
    if e.os.op_active && e.kcb().op_delete_head(e.m) != 0 {
        return Err(Stop::Busy);
    }
    let kcb = e.kcb();
    let words = cap.emit().0;
    let mut t = e.begin();
    // A Notify names a page that its own OSnode holds as long as it lives.
    if cap.kind != CapType::Notify && !mark_copies(&mut t, kcb, cte, &cap) {
        t.abort();
        return refuse(SysError::TableFull);
    }
    shootdown::note_shared(&mut t, kcb, &cap);
    commit(t, c, &words);
    Ok(())
}

/// What monitors may copy to other OSnodes.
fn may_cross(cap: &Cap) -> bool {
    cap.kind.info().crosses || cap.kind == CapType::Notify
}

/// Marks all copies, which stand side by side; `false` if there are more than one transaction takes.
fn mark_copies<M: Machine>(t: &mut Transaction<'_, M>, kcb: Kcb, cte: Cte, cap: &Cap) -> bool {
    let mut first = cte;
    while let Some(before) = mdb::prev(t, kcb, first) {
        if !schema::is_copy(&before.cap(t), cap) {
            break;
        }
        first = before;
    }
    let mut at = Some(first);
    while let Some(copy) = at {
        if !schema::is_copy(&copy.cap(t), cap) {
            break;
        }
        if t.room() < 8 {
            return false;
        }
        let mut node = copy.node(t);
        node.flags = MdbFlags(node.flags.0 | MdbFlags::REMOTE_COPIES.0);
        copy.set_node(t, &node);
        at = mdb::next(t, kcb, copy);
    }
    true
}

/// `CapImport`: r2..r5 = the words that `CapExport` gave, r6 = the OSnode that owns the object, r7 = destination
/// slot. The copy is marked as remote.
///
/// # Rights
/// Every one on the Kernel capability.
pub(crate) fn import<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::Kernel, Rights::ALL)?;
    let words = [2, 3, 4, 5].map(|k| c.reg(e.m, k));
    let Some(cap) = RawCap(words).parse() else {
        return refuse(SysError::BadArgument);
    };
    if !may_cross(&cap) {
        return refuse(SysError::WrongType);
    }
    let kcb = e.kcb();
    let sound = schema::is_well_formed(&cap)
        && e.m.covers(cap.base, cap.size)
        && (cap.kind != CapType::Notify || u64::from(cap.param) < capfmt::NOTIFICATION_CHANNELS);
    if !sound {
        return refuse(SysError::BadArgument);
    }
    let clash = mdb::any_overlap(
        e.m,
        kcb,
        schema::Class::Physical,
        cap.base.0,
        cap.size,
        |_, other| !schema::may_overlap(other, &cap),
    );
    if clash.is_some() {
        return refuse(SysError::Overlaps);
    }
    ensure_unmarked(e, &cap)?;
    let owner = c.reg(e.m, 6);
    let slot = decode::empty_slot(e, c, c.reg(e.m, 7))?;
    let peer = peers::place_for(e, c, owner)?;
    let mut t = e.begin();
    peers::enter(&mut t, kcb, peer, owner);
    let mut node = MdbNode::default();
    if cap.kind != CapType::Notify {
        node.flags = MdbFlags::REMOTE_COPIES;
        node.owner = peer as u16;
        shootdown::note_shared(&mut t, kcb, &cap);
    }
    decode::place(&mut t, kcb, &node, slot, &cap);
    commit(t, c, &[]);
    Ok(())
}

/// Checks that nothing that the new capability belongs to is being revoked.
fn ensure_unmarked<M: Machine, P: Policy>(e: &Entry<'_, M, P>, cap: &Cap) -> Res {
    if !e.os.guarded {
        return Ok(());
    }
    decode::ensure_not_in_progress(e, cap)?;
    let above = |cte: Cte, other: &Cap| {
        let within = schema::is_copy(cap, other) || schema::is_descendant(cap, other);
        within && decode::flags(e.m, cte).contains(MdbFlags::MARKED)
    };
    let class = cap.kind.info().class;
    match mdb::any_overlap(e.m, e.os.kcb, class, cap.base.0, cap.size, above) {
        Some(_) => refuse(SysError::InDelete),
        None => Ok(()),
    }
}
