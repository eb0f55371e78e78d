//! Taking one capability away, and what goes with it.

use abi::SysError;
use capfmt::schema::LastDelete;
use capfmt::undo::Transaction;
use capfmt::{
    Attachment, Cap, CapType, Core, CoreStatus, Cte, Kcb, MdbFlags, PhysAddr, PhysMap, mdb,
};

use crate::invoke::{irq, vnode};
use crate::{Effect, Machine, decode};

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

/// Decides how the capability in `cte` can go.
pub(crate) fn decide(m: &impl PhysMap, kcb: Kcb, cte: Cte, cap: &Cap) -> Removal {
    let remote = decode::is_remote(m, cte);
    let last = cap.kind.info().last_delete;
    if !remote && matches!(last, LastDelete::Nothing | LastDelete::Unmap) {
        return Removal::Simple;
    }
    if mdb::copies_exist(m, kcb, cte) {
        return Removal::Simple;
    }
    if remote {
        return Removal::Refused(SysError::SharedRemote);
    }
    match last {
        LastDelete::Nothing | LastDelete::Unmap | LastDelete::Unbind => Removal::Simple,
        LastDelete::Slots | LastDelete::Mappings => Removal::Contents,
        LastDelete::Guarded if is_busy(m, cap) => Removal::Refused(SysError::StillInUse),
        LastDelete::Guarded => Removal::Simple,
    }
}

/// Whether a kernel runs the KCB, or the core is not off.
fn is_busy(m: &impl PhysMap, cap: &Cap) -> bool {
    match cap.kind {
        CapType::Kcb => !matches!(
            Kcb(PhysAddr(cap.extra)).attachment(m),
            Some(Attachment::Detached { .. })
        ),
        CapType::Core => Core(cap.base).target_status(m) != CoreStatus::Off as u64,
        _ => false,
    }
}

/// Removes a capability that [`decide`] calls simple. The effect, if any, is to be carried out after the commit.
pub(crate) fn remove<M: Machine>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    cte: Cte,
    cap: &Cap,
) -> Option<Effect> {
    let effect = match cap.kind {
        CapType::Mapping => vnode::clear_mapping(t, cap, cte),
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
        node.flags =
            MdbFlags(node.flags.0 | flags.0 & !MdbFlags::IN_DELETE.0 & !MdbFlags::LISTED.0);
        heir.set_node(t, &node);
    }
}
