//! Taking one capability away, and what goes with it.

use abi::SysError;
use capfmt::schema::LastDelete;
use capfmt::undo::Transaction;
use capfmt::{
    Attachment, Cap, CapType, Core, CoreStatus, Cte, Kcb, MdbFlags, PhysAddr, PhysMap, mdb,
};

use crate::invoke::{irq, vnode};
use crate::reclaim::{self, Left};
use crate::{Effect, Machine, decode, family, share};

/// How a capability can go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Removal {
    /// At once.
    Simple,
    /// Its object's contents must go first: a long operation.
    Contents,
    /// Not now.
    Refused(SysError),
}

/// Decides how the capability in `cte` can go. The last one of what other OSnodes know stays while there is no
/// monitor that would tell them.
pub(crate) fn decide(m: &impl PhysMap, kcb: Kcb, cte: Cte, cap: &Cap) -> Removal {
    let shared = decode::flags(m, cte).0 & MdbFlags::REMOTE.0 != 0;
    if shared && kcb.monitor_channel(m) == 0 && !mdb::copies_exist(m, kcb, cte) {
        return Removal::Refused(SysError::SharedRemote);
    }
    decide_here(m, kcb, cte, cap)
}

/// As [`decide`], for a monitor.
pub(crate) fn decide_here(m: &impl PhysMap, kcb: Kcb, cte: Cte, cap: &Cap) -> Removal {
    let last = cap.kind.info().last_delete;
    if matches!(last, LastDelete::Nothing | LastDelete::Unmap) || mdb::copies_exist(m, kcb, cte) {
        return Removal::Simple;
    }
    match last {
        LastDelete::Nothing | LastDelete::Unmap | LastDelete::Unbind => Removal::Simple,
        LastDelete::Slots | LastDelete::Mappings => Removal::Contents,
        LastDelete::Guarded if is_busy(m, cap) => Removal::Refused(SysError::StillInUse),
        LastDelete::Guarded => Removal::Simple,
    }
}

/// Whether a kernel runs the KCB or cares for it, or the core is not off.
pub(crate) fn is_busy(m: &impl PhysMap, cap: &Cap) -> bool {
    match cap.kind {
        CapType::Kcb => {
            let kcb = Kcb(PhysAddr(cap.extra));
            let detached = matches!(kcb.attachment(m), Some(Attachment::Detached { .. }));
            !detached || kcb.cared_by(m) != 0
        }
        CapType::Core => Core(cap.base).target_status(m) != CoreStatus::Off as u64,
        _ => false,
    }
}

/// Removes a capability that [`decide`] calls simple. The effect, if any, is to be carried out after the commit.
/// If nothing of a shared object is left here, or of one on its way to another owner, that is counted, for the
/// monitor.
pub(crate) fn remove<M: Machine>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    cte: Cte,
    cap: &Cap,
) -> Option<Effect> {
    if share::is_shared(t, cte) && is_last(t, kcb, cte, cap) {
        count_drop(t, kcb);
    }
    remove_quietly(t, kcb, cte, cap)
}

/// What comes back with a capability, all at once, and its slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Back(Option<(Cte, PhysAddr, u64)>);

impl Back {
    /// Whether anything does.
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }
    /// Makes the Ram capability, once the one that goes is out of the tree.
    pub fn give<M: Machine>(&self, t: &mut Transaction<'_, M>, kcb: Kcb) {
        if let Some((slot, base, size)) = self.0 {
            reclaim::give(t, kcb, slot, base, size);
        }
    }
}

/// What comes back when the capability in `cte`, which [`decide`] calls simple, goes; `None`: that takes several
/// steps, or there is no slot.
pub(crate) fn comes_back(m: &impl PhysMap, kcb: Kcb, cte: Cte, cap: &Cap) -> Option<Back> {
    if kcb.reclaim_cnode(m) == 0 || mdb::copies_exist(m, kcb, cte) {
        return Some(Back(None));
    }
    match reclaim::look(m, kcb, cte, cap, 0) {
        Left::Nothing => Some(Back(None)),
        Left::Last(base, size) => {
            let slot = reclaim::free_slot(m, kcb)?;
            Some(Back(Some((slot, base, size))))
        }
        Left::Part(..) | Left::Further(_) => None,
    }
}

/// Notes that the last copy of a shared object goes.
pub(crate) fn count_drop<M: PhysMap>(t: &mut Transaction<'_, M>, kcb: Kcb) {
    let drops = kcb.shared_drops(t);
    kcb.set_shared_drops(t, drops.wrapping_add(1));
}

/// Whether nothing else here has the object; of a Mapping, what it maps.
fn is_last(m: &impl PhysMap, kcb: Kcb, cte: Cte, cap: &Cap) -> bool {
    match cap.kind {
        CapType::Mapping => !family::is_mapped_object_here(m, kcb, cte),
        _ => !mdb::copies_exist(m, kcb, cte),
    }
}

/// As [`remove`], for the monitor, which keeps its books itself.
pub(crate) fn remove_quietly<M: Machine>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    cte: Cte,
    cap: &Cap,
) -> Option<Effect> {
    let mut flags = decode::flags(t, cte);
    family::unmark(t, kcb, &mut flags);
    let effect = match cap.kind {
        CapType::Mapping => vnode::remove_mapping(t, kcb, cap, cte),
        CapType::IrqDest if !mdb::copies_exist(t, kcb, cte) => irq::unbind(t, kcb, cap.base.0),
        _ => {
            pass_flags_on(t, kcb, cte);
            None
        }
    };
    mdb::clear(t, kcb, cte);
    effect
}

/// What one copy knew about other OSnodes, another must know when it is gone.
fn pass_flags_on<M: Machine>(t: &mut Transaction<'_, M>, kcb: Kcb, cte: Cte) {
    let flags = decode::flags(t, cte);
    if flags == MdbFlags::default() {
        return;
    }
    if let Some(heir) = mdb::other_copy(t, kcb, cte) {
        let mut node = heir.node(t);
        let passed = MdbFlags::REMOTE.0 | MdbFlags::LOCKED.0;
        node.flags = MdbFlags(node.flags.0 | flags.0 & passed);
        heir.set_node(t, &node);
    }
}
