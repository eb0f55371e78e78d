//! Memory and slots of an OSnode in the making.

use abi::{CapAddr, slots};
use capfmt::{
    CTE_BYTES, Cap, CapType, Cte, KCB_BYTES, Kcb, MdbNode, NOTIFICATION_BYTES, PhysAddr, PhysMap,
    mdb, schema,
};

use super::{Given, MAX_RANGES, OsnodeError, OsnodeSpec, RamRange};
use crate::PAGE;

/// log2 of the slots of each CNode made here.
const CNODE_LOG2: u32 = 8;
const CNODE_BYTES: u64 = CTE_BYTES << CNODE_LOG2;
/// Bytes of the RAM capability in `slots::START_RAM`.
const START_RAM_BYTES: u64 = 2 << 20;
/// Entries of the peer table.
const PEERS: u64 = 256;
/// Bytes of what [`Builder::new`] and the KCB's maker allocate.
pub(super) const OBJECT_BYTES: u64 = KCB_BYTES + NOTIFICATION_BYTES + 4 * CNODE_BYTES;

/// An OSnode in the making.
pub(super) struct Builder<'m, M: PhysMap> {
    pub mem: &'m mut M,
    pub kcb: Kcb,
    /// The root CNode's capability.
    pub root: Cap,
    task: Cap,
    page: Cap,
    /// Next slot of the page CNode without a fixed meaning.
    next_page_slot: u32,
    /// Which range the objects come from, what is left of it.
    range: usize,
    next: u64,
    end: u64,
}

impl<'m, M: PhysMap> Builder<'m, M> {
    /// Chooses the range for the objects (of `needed` bytes), makes KCB and CNodes.
    pub fn new(
        mem: &'m mut M,
        spec: &OsnodeSpec<'_>,
        needed: u64,
    ) -> Result<Builder<'m, M>, OsnodeError> {
        let fits = |r: &RamRange| r.bytes >= needed;
        let near = |r: &RamRange| fits(r) && r.node == spec.node;
        let range = spec.ram.iter().position(near);
        let range = range.or_else(|| spec.ram.iter().position(fits));
        let range = range.ok_or(OsnodeError::OutOfMemory { needed })?;
        let r = spec.ram[range];
        let mut b = Builder {
            mem,
            kcb: Kcb(PhysAddr::NULL),
            root: Cap::NULL,
            task: Cap::NULL,
            page: Cap::NULL,
            next_page_slot: 0,
            range,
            next: r.base.0,
            end: r.base.0 + r.bytes,
        };
        b.kcb = Kcb(b.allocate(KCB_BYTES, KCB_BYTES));
        b.make_cnodes();
        Ok(b)
    }

    /// `bytes` of zeroed memory. The range was chosen to have room for all objects.
    pub fn allocate(&mut self, bytes: u64, align: u64) -> PhysAddr {
        let at = self.next.next_multiple_of(align);
        assert!(at + bytes <= self.end, "the objects exceed their budget");
        self.next = at + bytes;
        self.mem.zero(PhysAddr(at), bytes);
        PhysAddr(at)
    }

    fn cnode(&mut self) -> Cap {
        let at = self.allocate(CNODE_BYTES, CNODE_BYTES);
        Cap {
            param: CNODE_LOG2,
            ..Cap::region(CapType::CNode, at, CNODE_BYTES)
        }
    }

    fn make_cnodes(&mut self) {
        self.root = self.cnode();
        self.task = self.cnode();
        let free = self.cnode();
        self.page = self.cnode();
        let (root, task, page) = (self.root, self.task, self.page);
        self.place_at(self.kcb.root(), &root);
        for (slot, cnode) in [
            (0, task),
            (slots::FREE_CNODE, free),
            (slots::PAGE_CNODE, page),
        ] {
            self.place_at(slot_of(&root, slot), &cnode);
        }
        self.place(slots::ROOT_CNODE, &root);
    }

    /// The slot that an address of the task or page CNode names.
    fn slot(&self, addr: CapAddr) -> Cte {
        let cnode = match addr.0 >> 8 {
            0 => &self.task,
            slots::PAGE_CNODE => &self.page,
            _ => panic!("genesis fills the task and page CNodes only"),
        };
        slot_of(cnode, addr.0 & 0xff)
    }

    /// The capability that stands at an address.
    pub fn cap(&self, addr: CapAddr) -> Cap {
        self.slot(addr).cap(self.mem)
    }

    /// Places a capability of this OSnode's own.
    pub fn place(&mut self, addr: CapAddr, cap: &Cap) {
        self.place_at(self.slot(addr), cap);
    }

    /// As [`Builder::place`], in a slot that is not in a CNode.
    pub fn place_at(&mut self, cte: Cte, cap: &Cap) {
        mdb::place(self.mem, self.kcb, cte, cap);
    }

    /// Places a capability in the next free slot of the page CNode; returns the slot.
    pub fn place_page(&mut self, cap: &Cap) -> Cte {
        let slot = CapAddr::new(slots::PAGE_CNODE, self.next_page_slot);
        assert!(slot.0 & 0xff < slots::PAGE_FREE, "too many mappings");
        self.next_page_slot += 1;
        self.place(slot, cap);
        self.slot(slot)
    }

    /// Places a capability from outside.
    pub fn give(&mut self, g: &Given) -> Result<(), OsnodeError> {
        let bad = OsnodeError::BadGiven(g.slot);
        if g.slot.0 == 0 || g.slot.0 >> CNODE_LOG2 != 0 || !schema::is_well_formed(&g.cap) {
            return Err(bad);
        }
        let cte = self.slot(g.slot);
        if cte.cap(self.mem).kind != CapType::Null || g.cap.kind == CapType::Null {
            return Err(bad);
        }
        let node = MdbNode {
            owner: self.peer(g.owner)?,
            flags: g.flags,
            ..MdbNode::default()
        };
        cte.set_cap(self.mem, &g.cap);
        cte.set_node(self.mem, &node);
        mdb::insert(self.mem, self.kcb, cte);
        Ok(())
    }

    /// Index of an OSnode in the peer table, entered if it is new; 0 is this OSnode.
    fn peer(&mut self, osnode: u64) -> Result<u16, OsnodeError> {
        if osnode == 0 {
            return Ok(0);
        }
        let count = self.kcb.peer_count(self.mem);
        if let Some(i) = (0..count).find(|i| self.kcb.peer(self.mem, *i) == osnode) {
            return Ok(i as u16);
        }
        if count == PEERS {
            return Err(OsnodeError::TooManyPeers);
        }
        self.kcb.set_peer(self.mem, count, osnode);
        self.kcb.set_peer_count(self.mem, count + 1);
        Ok(count as u16)
    }

    /// A number that was not used in this OSnode before.
    pub fn next_id(&mut self) -> u64 {
        let id = self.kcb.next_id(self.mem);
        self.kcb.set_next_id(self.mem, id + 1);
        id
    }
}

fn slot_of(cnode: &Cap, index: u32) -> Cte {
    Cte(cnode.base.add(u64::from(index) * CTE_BYTES))
}

/// Ranges of RAM that capabilities were made for, in the order of their slots.
pub(super) struct RamList {
    ranges: [RamRange; MAX_RANGES],
    len: usize,
}

impl RamList {
    pub fn iter(&self) -> impl Iterator<Item = &RamRange> {
        self.ranges[..self.len].iter()
    }
}

/// Places capabilities over all RAM that holds no object.
pub(super) fn place_ram(b: &mut Builder<'_, impl PhysMap>, spec: &OsnodeSpec<'_>) -> RamList {
    let mut list = RamList {
        ranges: [RamRange::default(); MAX_RANGES],
        len: 0,
    };
    for (i, r) in spec.ram.iter().enumerate() {
        let mut r = *r;
        if i == b.range {
            r.base = PhysAddr(b.next.next_multiple_of(PAGE));
            r.bytes = b.end - r.base.0;
            // What the first process lives on until it has made a memory service.
            let own = START_RAM_BYTES.min(r.bytes);
            if own != 0 {
                b.place(slots::START_RAM, &Cap::region(CapType::Ram, r.base, own));
            }
            r.base = r.base.add(own);
            r.bytes -= own;
        }
        if r.bytes != 0 {
            let slot = CapAddr(slots::RAM.0 + list.len as u32);
            b.place(slot, &Cap::region(CapType::Ram, r.base, r.bytes));
            list.ranges[list.len] = r;
            list.len += 1;
        }
    }
    list
}
