//! The capabilities of this OSnode, as the agreement machine asks for them: system calls.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use abi::slots;
use capfmt::schema::Class;
use capfmt::{Cap, CapType, MdbFlags, OsnodeId, PhysAddr};
use monitor::agree::{Gift, Kernel, Nodes, Object, OpId, Refusal, Remote};
use rt::invoke::{self, Answer, Keep};
use rt::{Capability, SysError, cap, env};

/// What an operation concerns here besides capabilities of clients.
#[derive(Default)]
pub struct OsKernel {
    /// Dispatchers whose calls wait for operations.
    pub calls: BTreeMap<OpId, u64>,
    /// Capabilities that came, until their receivers ask for them.
    pub arrived: BTreeMap<OpId, (Gift, Capability)>,
    /// Which of them came in this step.
    pub fresh: Vec<(OpId, Object)>,
    /// Copies that operations move away.
    pub leaving: BTreeMap<OpId, Capability>,
    /// Sweeps that have ended but for flushes, and the removal that everybody must have flushed.
    pub sweeping: BTreeMap<OpId, u64>,
    /// Whether others may still use what was taken out of tables here.
    pub unflushed: bool,
    /// OSnodes whose page tables were taken out here, because they are dead: none comes back.
    pub fenced: Nodes,
    /// Whether a table of this OSnode got another owner, while copies of it may have stayed.
    gave_tables_away: bool,
    marked: BTreeMap<OpId, Object>,
    locked: BTreeMap<OpId, Object>,
}

impl OsKernel {
    /// Whether what this OSnode maps can stand in tables that belong to others.
    pub fn gave_tables_away(&self) -> bool {
        self.gave_tables_away
    }
}

/// A system call's refusal as the machines know it.
fn refusal(e: SysError) -> Refusal {
    match e {
        SysError::Overlaps => Refusal::Overlaps,
        SysError::StillInUse => Refusal::StillInUse,
        SysError::TableFull | SysError::SlotInUse => Refusal::NoSpace,
        SysError::NoCapability | SysError::InDelete => Refusal::NoSuch,
        _ => Refusal::BadArgument,
    }
}

/// What a call that one must be able to make did; if it fails, the log says so.
fn must(what: &str, done: Result<(), SysError>) {
    if let Err(e) = done {
        let why = e.message();
        rt::io::log(format_args!("monitor: {what} a shared object: {why}\n"));
    }
}

/// The objects held here that have numbers in common with a range. Rights to objects are none.
pub fn walk(class: Class, base: u64, end: u64) -> Vec<(Object, OsnodeId)> {
    let mut all = Vec::new();
    let mut after: Option<Cap> = None;
    loop {
        match invoke::cap_next(slots::KERNEL, class, base, end, after.as_ref()) {
            Ok(Some(found)) => {
                if !found.object.kind.info().reference {
                    all.push((Object::of(&found.object), OsnodeId(found.owner)));
                }
                after = Some(found.cursor);
            }
            Ok(None) => return all,
            Err(e) => {
                must("looking for", Err(e));
                return all;
            }
        }
    }
}

/// Every object held here that could have come from another OSnode, with its owner.
pub fn everything() -> Vec<(Object, OsnodeId)> {
    let mut all = walk(Class::Physical, 0, 1 << PhysAddr::BITS);
    all.retain(|(o, _)| o.cap().kind.info().crosses);
    all
}

/// Deletes every capability here to an object and to what is derived from it, whoever has marked it.
pub fn delete(object: &Object) {
    let words = object.cap().emit();
    let marked = invoke::cap_mark(slots::KERNEL, words, Keep::Nothing);
    let swept = marked.and_then(|()| invoke::cap_sweep(slots::KERNEL, words));
    // It may have been deleted meanwhile.
    if swept != Err(SysError::NoCapability) {
        must("deleting", swept);
    }
}

impl Kernel for OsKernel {
    fn owner(&self, object: &Object) -> Option<OsnodeId> {
        let held = invoke::cap_owner(slots::KERNEL, object.cap().emit());
        held.ok().flatten().map(|h| OsnodeId(h.owner))
    }
    fn overlapping(&self, object: &Object) -> Vec<(Object, OsnodeId)> {
        walk(object.cap().kind.info().class, object.base(), object.end())
    }
    fn orphans(&self, living: &Nodes) -> Vec<Object> {
        let all = everything().into_iter();
        let orphans = all.filter(|(_, owner)| !living.contains(owner));
        orphans.map(|(o, _)| o).collect()
    }
    fn insert(
        &mut self,
        op: OpId,
        object: &Object,
        owner: OsnodeId,
        gift: &Gift,
    ) -> Result<(), Refusal> {
        let mut cap = object.cap();
        if cap.kind == CapType::VNode && self.fenced.contains(&owner) {
            return Err(Refusal::NoSuch);
        }
        cap.rights = gift.rights;
        let words = cap.emit();
        let copy = cap::in_slot(|slot| invoke::cap_import(slots::KERNEL, words, owner.0, slot));
        self.arrived.insert(op, (*gift, copy.map_err(refusal)?));
        self.fresh.push((op, *object));
        Ok(())
    }
    fn create(&mut self, op: OpId, _: &Object, _: &Object, _: u32) -> Result<(), Refusal> {
        let dispatcher = self.calls.remove(&op).ok_or(Refusal::NoSuch)?;
        let done = invoke::cap_answer(slots::KERNEL, dispatcher, Answer::CarryOut);
        done.and_then(|r| r).map_err(refusal)
    }
    fn remove(&mut self, op: OpId, object: &Object) -> bool {
        if let Some(copy) = self.leaving.remove(&op) {
            must("deleting a copy of", copy.delete());
        }
        self.owner(object).is_some()
    }
    fn set_owner(&mut self, object: &Object, owner: OsnodeId) {
        self.gave_tables_away |= object.cap().kind == CapType::VNode && owner.0 != env::osnode();
        let words = object.cap().emit();
        must(
            "changing the owner of",
            invoke::cap_set_owner(slots::KERNEL, words, owner.0),
        );
    }
    fn set_remote(&mut self, object: &Object, remote: Remote) {
        let flags = [
            (remote.copies, MdbFlags::REMOTE_COPIES),
            (remote.ancestors, MdbFlags::REMOTE_ANCESTORS),
            (remote.descendants, MdbFlags::REMOTE_DESCENDANTS),
        ];
        let flags = flags.iter().filter(|f| f.0).fold(0, |bits, f| bits | f.1.0);
        let words = object.cap().emit();
        let done = invoke::cap_set_remote(slots::KERNEL, words, MdbFlags(flags));
        // It may have been deleted meanwhile: then there is nothing to be said of it.
        if done != Err(SysError::NoCapability) {
            must("telling the kernel of", done);
        }
    }
    fn lock(&mut self, op: OpId, object: &Object) {
        self.locked.insert(op, *object);
        must(
            "locking",
            invoke::cap_lock(slots::KERNEL, object.cap().emit(), true),
        );
    }
    fn unlock(&mut self, op: OpId) {
        if let Some(object) = self.locked.remove(&op) {
            let done = invoke::cap_lock(slots::KERNEL, object.cap().emit(), false);
            must("unlocking", done);
        }
    }
    fn mark(&mut self, op: OpId, object: &Object, keep: bool) -> Result<(), Refusal> {
        let keep = match (keep, self.calls.get(&op)) {
            (false, _) => Keep::Nothing,
            (true, Some(dispatcher)) => Keep::Named(*dispatcher),
            (true, None) => Keep::Any,
        };
        match invoke::cap_mark(slots::KERNEL, object.cap().emit(), keep) {
            // Nothing of it is here any more.
            Ok(()) | Err(SysError::NoCapability) => {}
            Err(e) => return Err(refusal(e)),
        }
        self.marked.insert(op, *object);
        Ok(())
    }
    fn unmark(&mut self, op: OpId) {
        if let Some(object) = self.marked.remove(&op) {
            let done = invoke::cap_unmark(slots::KERNEL, object.cap().emit());
            // A table of a dead OSnode went with its mark.
            if done != Err(SysError::NoCapability) {
                must("unmarking", done);
            }
        }
    }
    fn sweep(&mut self, op: OpId) -> bool {
        if let Some(object) = self.marked.remove(&op) {
            match invoke::cap_sweep(slots::KERNEL, object.cap().emit()) {
                Err(SysError::NoCapability) => {}
                done => must("deleting what was marked of", done),
            }
        }
        let flushes = invoke::flushed(slots::KERNEL, 0).unwrap_or_default();
        self.unflushed = !flushes.is_settled();
        if self.unflushed {
            self.sweeping.insert(op, flushes.owed);
        }
        !self.unflushed
    }
    fn is_flushed(&self) -> bool {
        !self.unflushed
    }
}
