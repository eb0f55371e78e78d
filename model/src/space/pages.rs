//! Tables and what is mapped in them.

use capfmt::{Cap, CapType, PhysAddr, Rights};

use super::{Call, Done, NEEDS_WRITE, PAGE, ROOT_LEVEL, Refused, Space, ensure};

/// What a Mapping has put into its table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entries {
    /// The table.
    pub vnode: u64,
    /// Index of the first.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// What the first points to.
    pub base: u64,
    /// Bytes from one to the next; 0 = a link to a lower table.
    pub step: u64,
    /// Rights, without GRANT; of a link: none.
    pub rights: Rights,
    /// Device memory.
    pub device: bool,
}

impl Space {
    pub(super) fn map(&mut self, call: Call) -> Done {
        let Call::Map {
            table,
            what,
            first,
            offset,
            how,
            to,
        } = call
        else {
            unreachable!()
        };
        let (_, table) = self.lookup_as(table, CapType::VNode, NEEDS_WRITE)?;
        let (_, what) = self.lookup(what)?;
        let (count, rights, uncached) = (how & 0xffff_ffff, (how >> 32) as u8, how >> 40);
        let room = if table.param == ROOT_LEVEL { 256 } else { 512 };
        ensure(count >= 1 && first < room && count <= room - first && uncached <= 1)?;
        let mut entries = Entries {
            vnode: table.base.0,
            first,
            count,
            base: what.base.0,
            step: 0,
            rights: Rights(0),
            device: false,
        };
        let mut mapping = Cap::region(CapType::Mapping, what.base, what.size);
        mapping.param = count as u32;
        match what.kind {
            CapType::VNode => {
                let below = what.param + 1 == table.param && what.extra == table.extra;
                let whole = count == 1 && offset == 0 && uncached == 0;
                ensure(below && whole && what.rights.contains(NEEDS_WRITE))?;
            }
            CapType::Frame | CapType::DevFrame | CapType::UmpEndpoint => {
                ensure(table.param <= 1)?;
                entries.step = if table.param == 0 { PAGE } else { 512 * PAGE };
                let size = count * entries.step;
                ensure(offset <= what.size && size <= what.size - offset)?;
                entries.base += offset;
                ensure(entries.base.is_multiple_of(entries.step))?;
                entries.device = uncached == 1 || what.kind == CapType::DevFrame;
                entries.rights = page_rights(rights, what.rights, entries.device)?;
                mapping.base = PhysAddr(entries.base);
                mapping.size = size;
                mapping.rights = what.rights;
                mapping.param |= u32::from(entries.device) << 16;
            }
            _ => return Err(Refused),
        }
        mapping.extra = table.base.0 + first + what.mapped_code();
        let taken = |e: &Entries| {
            e.vnode == table.base.0 && e.first < first + count && first < e.first + e.count
        };
        ensure(!self.mapped.values().any(taken))?;
        let to = self.empty_below(&self.root, to)?;
        self.caps.insert(to, mapping);
        self.mapped.insert(to, entries);
        Ok(vec![])
    }

    pub(super) fn unmap(&mut self, mapping: u64) -> Done {
        let (cte, mut cap) = self.lookup_as(mapping, CapType::Mapping, Rights(0))?;
        self.mapped.remove(&cte).ok_or(Refused)?;
        self.caps.remove(cte);
        cap.rights = Rights(0);
        self.caps.insert(cte, cap);
        Ok(vec![])
    }

    pub(super) fn protect(&mut self, mapping: u64, rights: u64) -> Done {
        let (cte, cap) = self.lookup_as(mapping, CapType::Mapping, Rights(0))?;
        let entries = self.mapped.get_mut(&cte).ok_or(Refused)?;
        ensure(entries.step != 0)?;
        let rights = u8::try_from(rights).map_err(|_| Refused)?;
        entries.rights = page_rights(rights, cap.rights, entries.device)?;
        Ok(vec![])
    }
}

/// Rights of mapped pages: readable, W^X, no code in device memory, no more than held.
fn page_rights(wanted: u8, held: Rights, device: bool) -> Result<Rights, Refused> {
    ensure(wanted <= 15)?;
    let wanted = Rights(wanted & 7);
    let code = wanted.contains(Rights::EXECUTE);
    let sound = wanted.contains(Rights::READ)
        && held.contains(wanted)
        && !(code && (device || wanted.contains(Rights::WRITE)));
    ensure(sound)?;
    Ok(wanted)
}
