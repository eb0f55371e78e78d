//! The capabilities of one OSnode as a plain list, and what each operation on them does.
//!
//! Slow and obvious on purpose, as [`crate::mdb`]: every rule stands here once more,
//! in other words than the kernel's. An operation is whole at once; that the
//! kernel takes many entries for a large one must not show.

mod call;
mod pages;

pub use call::Call;
pub use pages::Entries;

use std::collections::{BTreeMap, BTreeSet};

use capfmt::{Cap, CapType, Cte, PhysAddr, Rights};

use crate::mdb::{Reference, children};

/// A call was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused;

/// An OSnode as its dispatcher sees it.
#[derive(Clone, Debug)]
pub struct Space {
    caps: Reference,
    /// CSpace root of the caller.
    root: Cap,
    /// First and last byte of what is memory.
    memory: (u64, u64),
    osnode: u64,
    mapped: BTreeMap<Cte, Entries>,
    /// Endpoints that were opened: DCB and index.
    open: BTreeSet<(u64, u64)>,
}

const PAGE: u64 = 4096;
const SLOT: u64 = 64;
const VNODE: u64 = 8192;
const DCB: u64 = 2048;
const ISA: u64 = capfmt::Isa::X86 as u64;
/// Level of root tables.
const ROOT_LEVEL: u32 = 3;
const NEEDS_WRITE: Rights = Rights::WRITE;

type Done = Result<Vec<u64>, Refused>;

/// Refuses unless `sound`.
fn ensure(sound: bool) -> Result<(), Refused> {
    sound.then_some(()).ok_or(Refused)
}

/// Whether the type may be copied.
#[must_use]
pub fn copyable(kind: CapType) -> bool {
    !matches!(
        kind,
        CapType::Null | CapType::Mapping | CapType::IommuDomain
    )
}

impl Space {
    /// An OSnode with these capabilities. `root` is the CSpace of the caller, `memory` the first byte and the
    /// size of its memory.
    #[must_use]
    pub fn new(caps: &[(Cte, Cap)], root: Cap, memory: (u64, u64), osnode: u64) -> Space {
        let mut all = Reference::default();
        for (cte, cap) in caps {
            all.insert(*cte, *cap);
        }
        Space {
            caps: all,
            root,
            memory: (memory.0, memory.0 + memory.1 - 1),
            osnode,
            mapped: BTreeMap::new(),
            open: BTreeSet::new(),
        }
    }

    /// All capabilities, in the order of the tree.
    #[must_use]
    pub fn caps(&self) -> &[(Cte, Cap)] {
        self.caps.caps()
    }

    /// What each Mapping that has any has put into its table.
    pub fn entries(&self) -> impl Iterator<Item = (Cte, &Entries)> {
        self.mapped.iter().map(|(cte, e)| (*cte, e))
    }

    /// The capability at an address of the caller's CSpace.
    #[must_use]
    pub fn at(&self, address: u64) -> Option<(Cte, Cap)> {
        let cte = self.slot(&self.root, address)?;
        self.caps.get(cte).map(|cap| (cte, cap))
    }

    /// Whether the address names an empty slot.
    #[must_use]
    pub fn is_empty(&self, address: u64) -> bool {
        self.slot(&self.root, address)
            .is_some_and(|cte| self.caps.get(cte).is_none())
    }

    /// The slot that `address` names below `root`.
    fn slot(&self, root: &Cap, address: u64) -> Option<Cte> {
        let in_root = address >> 24 == 1;
        if root.kind != CapType::CNode || address == 0 || (!in_root && address >> 16 != 0) {
            return None;
        }
        let (cnode, index) = if in_root {
            (*root, address - (1 << 24))
        } else {
            let way = nth(root, address >> 8)?;
            (self.caps.get(way)?, address & 0xff)
        };
        if cnode.kind != CapType::CNode {
            return None;
        }
        nth(&cnode, index)
    }

    fn empty_below(&self, root: &Cap, address: u64) -> Result<Cte, Refused> {
        let cte = self.slot(root, address).ok_or(Refused)?;
        ensure(self.caps.get(cte).is_none())?;
        Ok(cte)
    }

    fn lookup(&self, address: u64) -> Result<(Cte, Cap), Refused> {
        self.at(address).ok_or(Refused)
    }

    fn lookup_as(
        &self,
        address: u64,
        kind: CapType,
        rights: Rights,
    ) -> Result<(Cte, Cap), Refused> {
        let (cte, cap) = self.lookup(address)?;
        ensure(cap.kind == kind && cap.rights.contains(rights))?;
        Ok((cte, cap))
    }

    fn cnode(&self, address: u64) -> Result<Cap, Refused> {
        Ok(self.lookup_as(address, CapType::CNode, NEEDS_WRITE)?.1)
    }

    /// The used slot at `address` below the CNode at `root`.
    fn used_below(&self, root: u64, address: u64) -> Result<Cte, Refused> {
        let cte = self.slot(&self.cnode(root)?, address).ok_or(Refused)?;
        ensure(self.caps.get(cte).is_some())?;
        Ok(cte)
    }

    /// Carries out a call; its results from r1 on.
    ///
    /// # Errors
    /// It is refused: nothing changed, unless it is a revoke whose target went with what it revoked.
    pub fn call(&mut self, call: Call) -> Done {
        use Call::*;
        match call {
            Identify { cap } => {
                let words = self.lookup(cap)?.1.emit().0;
                Ok([words.as_slice(), &[0]].concat())
            }
            Copy {
                root,
                from,
                to,
                how,
                badge,
            } => self.copy(root, from, to, how, badge),
            Move { root, from, to } => self.move_to(root, from, to),
            Delete { root, at } => {
                let doomed = self.used_below(root, at)?;
                self.take(doomed);
                Ok(vec![])
            }
            Revoke { root, at } => self.revoke(root, at),
            Retype { .. } => self.retype(call),
            Map { .. } => self.map(call),
            Unmap { mapping } => self.unmap(mapping),
            Protect { mapping, rights } => self.protect(mapping, rights),
            EndpointOpen {
                dispatcher,
                index,
                to,
            } => self.endpoint_open(dispatcher, index, to),
            NotifyMint { page, channel, to } => self.notify_mint(page, channel, to),
            IrqMint {
                sources,
                source,
                to,
            } => self.irq_mint(sources, source, to),
        }
    }

    fn copy(&mut self, root: u64, from: u64, to: u64, how: u64, badge: u64) -> Done {
        let root = self.cnode(root)?;
        let (_, source) = self.lookup(from)?;
        ensure(how < 0x200 && how & 0xf0 == 0 && copyable(source.kind))?;
        let mut cap = source;
        cap.rights = Rights(source.rights.0 & how as u8);
        if how >= 0x100 {
            let fresh = source.kind == CapType::Endpoint && source.extra == 0;
            ensure(fresh && badge <= u64::from(u32::MAX))?;
            cap.extra = badge;
        }
        let to = self.empty_below(&root, to)?;
        self.caps.insert(to, cap);
        Ok(vec![])
    }

    fn move_to(&mut self, root: u64, from: u64, to: u64) -> Done {
        let root = self.cnode(root)?;
        let (from, cap) = self.lookup(from)?;
        let to = self.empty_below(&root, to)?;
        self.caps.remove(from);
        self.caps.insert(to, cap);
        if let Some(entries) = self.mapped.remove(&from) {
            self.mapped.insert(to, entries);
        }
        Ok(vec![])
    }

    /// Whether it is the last capability of an object that holds others.
    fn holds_others(&self, cte: Cte) -> bool {
        let kind = self.caps.cap(cte).kind;
        matches!(kind, CapType::CNode | CapType::Dispatcher | CapType::VNode)
            && self.caps.copies(cte).next().is_none()
    }

    /// What goes with the object: what stands in it, or what is mapped in it.
    fn contents(&self, cap: &Cap) -> Vec<Cte> {
        if cap.kind == CapType::VNode {
            let here = self.mapped.iter().filter(|(_, e)| e.vnode == cap.base.0);
            return here.map(|(cte, _)| *cte).collect();
        }
        let within = |cte: &Cte| cte.0.0 >= cap.base.0 && cte.0.0 < cap.base.0 + cap.size;
        let all = self.caps().iter().map(|(cte, _)| *cte);
        all.filter(within).collect()
    }

    /// Takes a capability away, and with the last of an object all that it holds.
    fn take(&mut self, cte: Cte) {
        if !self.holds_others(cte) {
            return self.clear(cte);
        }
        let mut going = vec![cte];
        let mut done = 0;
        while done < going.len() {
            let cap = self.caps.cap(going[done]);
            done += 1;
            for inner in self.contents(&cap) {
                if going.contains(&inner) {
                    continue;
                }
                if self.holds_others(inner) {
                    going.push(inner);
                } else {
                    self.clear(inner);
                }
            }
        }
        for cte in going {
            self.clear(cte);
        }
    }

    fn clear(&mut self, cte: Cte) {
        let last = self.caps.copies(cte).next().is_none();
        let cap = self.caps.remove(cte);
        self.mapped.remove(&cte);
        if cap.kind == CapType::Dispatcher && last {
            self.open.retain(|(dcb, _)| *dcb != cap.base.0);
        }
    }

    fn revoke(&mut self, root: u64, at: u64) -> Done {
        let target = self.used_below(root, at)?;
        let cap = self.caps.get(target);
        ensure(cap.is_some_and(|cap| cap.rights.contains(Rights::ALL)))?;
        loop {
            // It may stand in a CNode that goes: then nobody knows what else was meant.
            ensure(self.caps.get(target).is_some())?;
            let descendant = self.caps.descendants(target).next();
            let next = descendant.or_else(|| self.caps.copies(target).next());
            match next {
                Some(doomed) => self.take(doomed),
                None => return Ok(vec![]),
            }
        }
    }

    fn retype(&mut self, call: Call) -> Done {
        let Call::Retype {
            from,
            offset,
            what,
            size,
            count,
            root,
            to,
        } = call
        else {
            unreachable!()
        };
        let (source, cap) = self.lookup(from)?;
        let kind = CapType::from_u8(what as u8).ok_or(Refused)?;
        let param = u32::try_from(what >> 8).map_err(|_| Refused)?;
        ensure(children(cap.kind).contains(&kind) && made_by_retype(kind))?;
        let (size, align) = measure(kind, param, size)?;
        ensure((1..=256).contains(&count))?;
        let end = size.checked_mul(count).and_then(|n| n.checked_add(offset));
        ensure(end.is_some_and(|end| end <= cap.size))?;
        let base = cap.base.0 + offset;
        let total = size * count;
        ensure(base.is_multiple_of(align))?;
        ensure(kind == cap.kind || cap.rights.contains(NEEDS_WRITE))?;
        let is_memory = !matches!(
            kind,
            CapType::PhysAddr | CapType::DevFrame | CapType::IrqSource | CapType::IoPort
        );
        ensure(!is_memory || (base >= self.memory.0 && base + total - 1 <= self.memory.1))?;
        let root = self.cnode(root)?;
        let mut slots = Vec::new();
        for k in 0..count {
            slots.push(self.empty_below(&root, to.checked_add(k).ok_or(Refused)?)?);
        }
        let overlaps = |d: Cte| {
            let d = self.caps.cap(d);
            d.base.0 < base + total && base < d.base.0 + d.size.max(1)
        };
        ensure(!self.caps.descendants(source).any(overlaps))?;
        for (k, slot) in slots.into_iter().enumerate() {
            let rights = if kind == cap.kind {
                cap.rights
            } else {
                Rights::ALL
            };
            let object = Cap {
                kind,
                rights,
                param,
                base: PhysAddr(base + k as u64 * size),
                size,
                extra: if kind == CapType::VNode { ISA } else { 0 },
            };
            self.caps.insert(slot, object);
        }
        Ok(vec![count])
    }

    fn endpoint_open(&mut self, dispatcher: u64, index: u64, to: u64) -> Done {
        let (_, cap) = self.lookup_as(dispatcher, CapType::Dispatcher, NEEDS_WRITE)?;
        ensure(index < 32 && !self.open.contains(&(cap.base.0, index)))?;
        let to = self.empty_below(&self.root, to)?;
        self.open.insert((cap.base.0, index));
        self.caps
            .insert(to, Cap::endpoint(cap.base, index as u32, 0));
        Ok(vec![])
    }

    fn notify_mint(&mut self, page: u64, channel: u64, to: u64) -> Done {
        let (_, cap) = self.lookup_as(page, CapType::Notification, NEEDS_WRITE)?;
        ensure(channel < 4096)?;
        let to = self.empty_below(&self.root, to)?;
        let mut right = Cap::notify(cap.base, channel as u32, self.osnode);
        right.rights = cap.rights;
        self.caps.insert(to, right);
        Ok(vec![])
    }

    fn irq_mint(&mut self, sources: u64, source: u64, to: u64) -> Done {
        let (_, cap) = self.lookup_as(sources, CapType::IrqSource, NEEDS_WRITE)?;
        ensure(source >= cap.base.0 && source < cap.base.0 + cap.size)?;
        let to = self.empty_below(&self.root, to)?;
        self.caps
            .insert(to, Cap::region(CapType::IrqDest, PhysAddr(source), 1));
        Ok(vec![])
    }
}

/// Slot `index` of a CNode.
fn nth(cnode: &Cap, index: u64) -> Option<Cte> {
    (index < cnode.size / SLOT).then(|| Cte(cnode.base.add(index * SLOT)))
}

/// Whether `Retype` makes it; [`children`] names what other operations make, too.
fn made_by_retype(kind: CapType) -> bool {
    use CapType::*;
    !matches!(
        kind,
        Endpoint | Mapping | Kcb | Core | Notify | CoreControl | IrqDest
    )
}

/// Bytes (or numbers) of an object, and what its base must be a multiple of.
fn measure(kind: CapType, param: u32, size: u64) -> Result<(u64, u64), Refused> {
    use CapType::*;
    match kind {
        CNode => {
            ensure((2..=8).contains(&param))?;
            Ok((SLOT << param, SLOT << param))
        }
        VNode => {
            ensure(param <= ROOT_LEVEL)?;
            Ok((VNODE, VNODE))
        }
        _ if param != 0 => Err(Refused),
        Dispatcher => Ok((DCB, DCB)),
        Notification => Ok((PAGE, PAGE)),
        IrqSource | IoPort => {
            ensure(size != 0)?;
            Ok((size, 1))
        }
        _ => {
            ensure(size != 0 && size.is_multiple_of(PAGE))?;
            Ok((size, PAGE))
        }
    }
}
