//! VNodes and Mappings.
//!
//! A VNode is a table that hardware walks and a shadow behind it: word i holds the
//! CTE of the Mapping that filled entry i. The entries of one Mapping ascend by
//! the page size, so one entry of the undo log restores them all.

use abi::SysError;
use capfmt::undo::{Step, Transaction};
use capfmt::{
    CTE_BYTES, Cap, CapType, Cte, Kcb, MdbFlags, PhysAddr, PhysMap, Rights, VNODE_BYTES, mdb,
};

use super::{Invoked, derive};
use crate::entry::{Caller, Entry, Res, commit, refuse};
use crate::{Effect, Machine, PageRights, Policy, decode, share, shootdown};

/// Entries of a VNode.
pub(crate) const ENTRIES: u64 = 512;
/// Bytes that an entry of a leaf table maps.
const PAGE: u64 = 4096;
/// Bytes that an entry one level up maps as a block.
const BLOCK: u64 = PAGE * ENTRIES;
/// Bit of a Mapping's `param`: device memory. The count stands below.
const DEVICE: u32 = 1 << 16;

/// Address of shadow word `index`.
pub(crate) fn shadow(vnode: PhysAddr, index: u64) -> PhysAddr {
    vnode.add(VNODE_BYTES / 2 + 8 * index)
}

fn entry(vnode: PhysAddr, index: u64) -> PhysAddr {
    vnode.add(8 * index)
}

/// Whether entry `index` of the table at `vnode` was filled here: its shadow names a Mapping of this OSnode, not
/// one of the table's owner elsewhere.
pub(crate) fn is_filled_here(m: &impl PhysMap, kcb: Kcb, vnode: PhysAddr, index: u64) -> bool {
    let named = Cte(PhysAddr(m.load(shadow(vnode, index))));
    if named.0.is_null() || !named.0.is_aligned(CTE_BYTES) || !m.covers(named.0, CTE_BYTES) {
        return false;
    }
    let Some(cap) = named.raw(m).parse() else {
        return false;
    };
    let ours = cap.kind == CapType::Mapping && cap.extra & !(VNODE_BYTES - 1) == vnode.0;
    ours && mdb::holds(m, kcb, named)
}

/// A checked request to map.
struct Plan {
    vnode: PhysAddr,
    first: u64,
    /// Level of the entries: of the table for leaves, `None` for a link to a lower table.
    leaf: Option<u32>,
    rights: PageRights,
    mapping: Cap,
    what: Cte,
    slot: Cte,
}

/// `Map`: entries of a VNode for pages or blocks of memory, or for a lower VNode.
///
/// # Rights
/// WRITE on the VNode; on the memory those that the mapping gets.
pub(crate) fn map<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    let plan = decode_map(e, c, i)?;
    let kcb = e.kcb();
    let mut t = e.begin();
    let count = count_of(&plan.mapping);
    let free = Step::Same;
    t.log_restore(entry(plan.vnode, plan.first), count, 0, free);
    t.log_restore(shadow(plan.vnode, plan.first), count, 0, free);
    let m = t.inner_mut();
    for k in 0..count {
        let word = match plan.leaf {
            Some(level) => {
                let page = plan.mapping.base.add(k * page_bytes(level));
                m.leaf_entry(level, page, plan.rights)
            }
            None => m.table_entry(plan.mapping.base),
        };
        m.store(shadow(plan.vnode, plan.first + k), plan.slot.0.0);
        m.store(entry(plan.vnode, plan.first + k), word);
    }
    derive(&mut t, kcb, plan.what, plan.slot, &plan.mapping);
    commit(t, c, &[]);
    Ok(())
}

const fn page_bytes(level: u32) -> u64 {
    if level == 0 { PAGE } else { BLOCK }
}

fn count_of(mapping: &Cap) -> u64 {
    u64::from(mapping.param & (DEVICE - 1))
}

fn decode_map<M: Machine, P: Policy>(e: &Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res<Plan> {
    i.ensure(CapType::VNode, Rights::WRITE)?;
    if i.cap.extra != M::ISA as u64 {
        return refuse(SysError::WrongType);
    }
    // Who does not own a table that others hold leaves it to its owner to write it.
    if share::owner(e.m, i.cte) != 0 && decode::flags(e.m, i.cte).contains(MdbFlags::REMOTE_COPIES)
    {
        return refuse(SysError::SharedRemote);
    }
    let (from, what) = decode::lookup(e, c, c.reg(e.m, 2))?;
    let first = c.reg(e.m, 3);
    let how = c.reg(e.m, 5);
    let count = how & 0xffff_ffff;
    let end = if i.cap.param == M::ROOT_LEVEL {
        M::USER_ROOT_ENTRIES
    } else {
        ENTRIES
    };
    if count == 0 || count > end || first > end - count || how >> 41 != 0 {
        return refuse(SysError::BadArgument);
    }
    let request = Request {
        offset: c.reg(e.m, 4),
        count,
        rights: Rights((how >> 32) as u8),
        uncached: how >> 40 & 1 != 0,
    };
    let (leaf, rights, mut mapping) = match what.kind {
        CapType::VNode => decode_link(&i.cap, &what, &request)?,
        CapType::Frame | CapType::DevFrame | CapType::UmpEndpoint => {
            decode_leaves(&i.cap, &what, &request)?
        }
        _ => return refuse(SysError::WrongType),
    };
    mapping.extra = i.cap.base.0 | first | what.mapped_code();
    if (first..first + count).any(|k| e.m.load(shadow(i.cap.base, k)) != 0) {
        return refuse(SysError::AlreadyMapped);
    }
    let slot = decode::empty_slot(e, c, c.reg(e.m, 6))?;
    decode::ensure_derivable(e, from, &what)?;
    Ok(Plan {
        vnode: i.cap.base,
        first,
        leaf,
        rights,
        mapping,
        what: from,
        slot,
    })
}

struct Request {
    offset: u64,
    count: u64,
    rights: Rights,
    uncached: bool,
}

/// A lower table, whole.
fn decode_link(table: &Cap, lower: &Cap, r: &Request) -> Res<(Option<u32>, PageRights, Cap)> {
    if lower.extra != table.extra || lower.param + 1 != table.param {
        return refuse(SysError::WrongType);
    }
    if r.count != 1 || r.offset != 0 || r.uncached {
        return refuse(SysError::BadArgument);
    }
    if !lower.rights.contains(Rights::WRITE) {
        return refuse(SysError::NoRight);
    }
    let mut mapping = Cap::region(CapType::Mapping, lower.base, lower.size);
    mapping.param = 1;
    let none = PageRights {
        write: false,
        execute: false,
        device: false,
    };
    Ok((None, none, mapping))
}

/// Pages in a leaf table, or blocks one level up.
fn decode_leaves(table: &Cap, what: &Cap, r: &Request) -> Res<(Option<u32>, PageRights, Cap)> {
    if table.param > 1 {
        return refuse(SysError::BadArgument);
    }
    let page = page_bytes(table.param);
    let size = r.count * page;
    let fits = r.offset <= what.size && size <= what.size - r.offset;
    if !fits || !what.base.add(r.offset).is_aligned(page) {
        return refuse(SysError::BadArgument);
    }
    let device = r.uncached || what.kind == CapType::DevFrame;
    let rights = decode_rights(r.rights, what.rights, device)?;
    let mut mapping = Cap::region(CapType::Mapping, what.base.add(r.offset), size);
    mapping.rights = what.rights;
    mapping.param = r.count as u32 | if device { DEVICE } else { 0 };
    Ok((Some(table.param), rights, mapping))
}

/// Rights of a mapping: readable, never writable and executable, device memory never executable.
fn decode_rights(wanted: Rights, held: Rights, device: bool) -> Res<PageRights> {
    let mapped = Rights(wanted.0 & !Rights::GRANT.0);
    if !held.contains(mapped) {
        return refuse(SysError::NoRight);
    }
    let rights = PageRights {
        write: mapped.contains(Rights::WRITE),
        execute: mapped.contains(Rights::EXECUTE),
        device,
    };
    let sound = mapped.contains(Rights::READ) && !(rights.execute && (rights.write || device));
    if !sound || wanted.0 & !Rights::ALL.0 != 0 {
        return refuse(SysError::BadArgument);
    }
    Ok(rights)
}

/// Where a Mapping's entries stand, if it still has any.
struct Entries {
    vnode: PhysAddr,
    first: u64,
    count: u64,
    /// Level of the leaves, or `None` for a link.
    leaf: Option<u32>,
}

impl Entries {
    fn of(m: &impl PhysMap, mapping: &Cap, cte: Cte) -> Option<Entries> {
        if !mapping.rights.contains(Rights::READ) {
            return None;
        }
        let vnode = PhysAddr(mapping.extra & !(VNODE_BYTES - 1));
        let first = mapping.extra & (ENTRIES - 1);
        let count = count_of(mapping);
        let leaf = match mapping.size.checked_div(count) {
            Some(PAGE) => Some(0),
            Some(BLOCK) => Some(1),
            _ => None,
        };
        (m.load(shadow(vnode, first)) == cte.0.0).then_some(Entries {
            vnode,
            first,
            count,
            leaf,
        })
    }

    /// Logs the entries as they are.
    fn log<M: Machine>(&self, t: &mut Transaction<'_, M>) {
        let at = entry(self.vnode, self.first);
        let step = match self.leaf {
            Some(0) => Step::Page,
            Some(_) => Step::Block,
            None => Step::Same,
        };
        let word = t.load(at);
        t.log_restore(at, self.count, word, step);
    }

    fn log_shadow<M: Machine>(&self, t: &mut Transaction<'_, M>, cte: Cte) {
        let at = shadow(self.vnode, self.first);
        t.log_restore(at, self.count, cte.0.0, Step::Same);
    }
}

/// Takes away what a Mapping maps, if it does; then the TLB must forget it, and those of others who use the table.
pub(crate) fn remove_mapping<M: Machine>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    mapping: &Cap,
    cte: Cte,
) -> Option<Effect> {
    let effect = clear_mapping(t, mapping, cte);
    if effect.is_some() {
        shootdown::owe(t, kcb, PhysAddr(mapping.extra & !(VNODE_BYTES - 1)));
    }
    effect
}

/// Clears the entries of a Mapping, if it has any; then the TLB must forget them.
fn clear_mapping<M: Machine>(
    t: &mut Transaction<'_, M>,
    mapping: &Cap,
    cte: Cte,
) -> Option<Effect> {
    let entries = Entries::of(t, mapping, cte)?;
    entries.log(t);
    entries.log_shadow(t, cte);
    for k in entries.first..entries.first + entries.count {
        t.inner_mut().store(entry(entries.vnode, k), 0);
        t.inner_mut().store(shadow(entries.vnode, k), 0);
    }
    Some(Effect::TlbAll)
}

/// The Mapping in `from` goes to `to`: its shadow must name the new slot.
pub(crate) fn mapping_moves<M: Machine>(
    t: &mut Transaction<'_, M>,
    mapping: &Cap,
    from: Cte,
    to: Cte,
) {
    let Some(entries) = Entries::of(t, mapping, from) else {
        return;
    };
    entries.log_shadow(t, from);
    for k in entries.first..entries.first + entries.count {
        t.inner_mut().store(shadow(entries.vnode, k), to.0.0);
    }
}

/// The entries of the invoked Mapping.
fn decode_mapped<M: Machine, P: Policy>(e: &Entry<'_, M, P>, i: &Invoked) -> Res<Entries> {
    i.ensure(CapType::Mapping, Rights(0))?;
    match Entries::of(e.m, &i.cap, i.cte) {
        Some(entries) => Ok(entries),
        None => refuse(SysError::NotMapped),
    }
}

/// `Unmap`: the Mapping stays, empty, and without rights: every mapping is readable, so that
/// says that it has no entries. Its table may go before it, and where that stood its shadow
/// must not be looked for.
pub(crate) fn unmap<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let entries = decode_mapped(e, i)?;
    let waits = must_tell(e, &entries);
    let mut t = e.begin();
    let effect = clear_mapping(&mut t, &i.cap, i.cte);
    let empty = Cap {
        rights: Rights(0),
        ..i.cap
    };
    t.store(i.cte.0, empty.emit().0[0]);
    if waits {
        share::wait(&mut t, c, &i.cap);
    } else {
        commit(t, c, &[]);
    }
    super::cnode::push(e, effect);
    if waits {
        share::after_wait(e);
    }
    Ok(())
}

/// Whether others may have loaded these entries, and a monitor is there to have them flushed.
fn must_tell<M: Machine, P: Policy>(e: &Entry<'_, M, P>, entries: &Entries) -> bool {
    e.os.monitor != 0 && share::shared_table(e.m, e.os.kcb, entries.vnode).is_some()
}

/// `Protect`: other rights, at most those of the capability that was mapped.
pub(crate) fn protect<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let entries = decode_mapped(e, i)?;
    let Some(level) = entries.leaf else {
        return refuse(SysError::WrongType);
    };
    let Ok(wanted) = u8::try_from(c.reg(e.m, 2)) else {
        return refuse(SysError::BadArgument);
    };
    let device = i.cap.param & DEVICE != 0;
    let rights = decode_rights(Rights(wanted), i.cap.rights, device)?;
    let first = e.m.load(entry(entries.vnode, entries.first));
    let waits = takes_rights(e.m, first, level, i.cap.base, rights) && must_tell(e, &entries);
    let mut t = e.begin();
    entries.log(&mut t);
    for k in 0..entries.count {
        let page = i.cap.base.add(k * page_bytes(level));
        let m = t.inner_mut();
        let word = m.leaf_entry(level, page, rights);
        m.store(entry(entries.vnode, entries.first + k), word);
    }
    if waits {
        share::wait(&mut t, c, &i.cap);
    } else {
        commit(t, c, &[]);
    }
    e.os.effects.push(Effect::TlbAll);
    if waits {
        share::after_wait(e);
    }
    Ok(())
}

/// Whether a mapping whose first entry is `word` can do something that it cannot with `rights`.
fn takes_rights<M: Machine>(
    m: &M,
    word: u64,
    level: u32,
    page: PhysAddr,
    rights: PageRights,
) -> bool {
    let same = |write, execute| {
        let old = PageRights {
            write,
            execute,
            device: rights.device,
        };
        m.leaf_entry(level, page, old) == word
    };
    let keeps = same(rights.write, rights.execute) || same(false, false);
    !keeps
}
