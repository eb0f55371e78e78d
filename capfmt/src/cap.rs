//! Capabilities: raw words and their meaning (`two-faces`).

use crate::{CapType, PhysAddr};

/// Instruction sets, as numbered in the format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Isa {
    /// x86_64.
    X86 = 1,
    /// AArch64.
    Arm = 2,
}

/// What the holder of a capability may do with it; a copy can only have fewer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Rights(pub u8);

impl Rights {
    /// Map readable; receive the state of an object.
    pub const READ: Rights = Rights(1);
    /// Map writable; change an object.
    pub const WRITE: Rights = Rights(2);
    /// Map executable.
    pub const EXECUTE: Rights = Rights(4);
    /// Pass the capability on in a message.
    pub const GRANT: Rights = Rights(8);
    /// Every right. Only with it a capability can be revoked: that takes those of others away.
    pub const ALL: Rights = Rights(15);
    /// To use something and to pass it on, but not to revoke it: for what others hold as well.
    pub const SHARED: Rights = Rights(11);

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn contains(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Four words as they stand in memory: any bytes.
///
/// word 0 = type | rights << 8 | param16 << 16 | param << 32; word 1 = base; word 2 = size; word 3 = extra.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RawCap(pub [u64; 4]);

/// Place in a Mapping's `extra`, below the VNode's address and above the index, of the code for what it maps.
const MAPPED_SHIFT: u32 = 9;

/// The meaning of a capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cap {
    /// What it is.
    pub kind: CapType,
    /// What may be done with it.
    pub rights: Rights,
    /// Type-specific small number (see [`CapType`]).
    pub param: u32,
    /// First byte of the region it covers (or first number, for numbered resources).
    pub base: PhysAddr,
    /// Bytes (or count) covered.
    pub size: u64,
    /// Type-specific word (see [`CapType`]).
    pub extra: u64,
}

impl Cap {
    /// The empty capability.
    pub const NULL: Cap = Cap {
        kind: CapType::Null,
        rights: Rights(0),
        param: 0,
        base: PhysAddr(0),
        size: 0,
        extra: 0,
    };

    /// A capability over a region, with all rights.
    #[must_use]
    pub const fn region(kind: CapType, base: PhysAddr, size: u64) -> Cap {
        Cap {
            kind,
            rights: Rights::ALL,
            param: 0,
            base,
            size,
            extra: 0,
        }
    }

    /// Slots of a CNode: `1 << log2` of them from `base` on.
    #[must_use]
    pub const fn cnode(base: PhysAddr, log2: u32) -> Cap {
        let mut cap = Cap::region(CapType::CNode, base, crate::CTE_BYTES << log2);
        cap.param = log2;
        cap
    }

    /// A page table of `level` (0 = leaf table).
    #[must_use]
    pub const fn vnode(base: PhysAddr, level: u32, isa: Isa) -> Cap {
        let mut cap = Cap::region(CapType::VNode, base, crate::VNODE_BYTES);
        cap.param = level;
        cap.extra = isa as u64;
        cap
    }

    /// Endpoint `index` of the dispatcher whose DCB stands at `dcb`.
    #[must_use]
    pub const fn endpoint(dcb: PhysAddr, index: u32, badge: u32) -> Cap {
        let mut cap = Cap::region(CapType::Endpoint, dcb, crate::DCB_BYTES);
        cap.param = index;
        cap.extra = badge as u64;
        cap
    }

    /// The right to set bit `channel` of the notification page at `page`, which belongs to `osnode`.
    #[must_use]
    pub const fn notify(page: PhysAddr, channel: u32, osnode: u64) -> Cap {
        let mut cap = Cap::region(CapType::Notify, page, crate::NOTIFICATION_BYTES);
        cap.param = channel;
        cap.extra = osnode;
        cap
    }

    /// The mapping of `size` bytes from `base` on in `count` entries of the VNode at `vnode` from `index` on.
    #[must_use]
    pub const fn mapping(
        base: PhysAddr,
        size: u64,
        vnode: PhysAddr,
        index: u64,
        count: u32,
    ) -> Cap {
        let mut cap = Cap::region(CapType::Mapping, base, size);
        cap.param = count;
        cap.extra = vnode.0 | index;
        cap
    }

    /// What a Mapping of this object adds to its `extra`, so that it is known when the object's last capability is
    /// gone; 0 for what cannot be mapped.
    #[must_use]
    pub const fn mapped_code(&self) -> u64 {
        let code = match self.kind {
            CapType::Frame => 1,
            CapType::DevFrame => 2,
            CapType::UmpEndpoint => 3,
            CapType::VNode => 4 + self.param as u64,
            _ => 0,
        };
        code << MAPPED_SHIFT
    }

    /// What a Mapping maps, as far as it knows: of memory, the mapped part. `None` for other types, and for a
    /// Mapping that does not say.
    #[must_use]
    pub const fn mapped(&self, isa: Isa) -> Option<Cap> {
        if self.kind as u8 != CapType::Mapping as u8 {
            return None;
        }
        let kind = match self.extra >> MAPPED_SHIFT & 7 {
            0 => return None,
            1 => CapType::Frame,
            2 => CapType::DevFrame,
            3 => CapType::UmpEndpoint,
            level => return Some(Cap::vnode(self.base, level as u32 - 4, isa)),
        };
        Some(Cap::region(kind, self.base, self.size))
    }

    /// The OSnode of the KCB at `kcb`, whose memory is `size` bytes from `base` on.
    #[must_use]
    pub const fn kcb(base: PhysAddr, size: u64, kcb: PhysAddr) -> Cap {
        let mut cap = Cap::region(CapType::Kcb, base, size);
        cap.extra = kcb.0;
        cap
    }

    /// A capability without a range that `extra` names (`Kernel` and `PerfMon`: 0; `Domain`, `Id`).
    #[must_use]
    pub const fn number(kind: CapType, extra: u64) -> Cap {
        let mut cap = Cap::region(kind, PhysAddr::NULL, 0);
        cap.extra = extra;
        cap
    }

    /// The last byte covered (`base` when the size is 0).
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.base.0.wrapping_add(self.size.saturating_sub(1))
    }

    /// The words that [`RawCap::parse`] reads back as this capability.
    #[must_use]
    pub const fn emit(&self) -> RawCap {
        RawCap([
            self.kind as u64 | (self.rights.0 as u64) << 8 | (self.param as u64) << 32,
            self.base.0,
            self.size,
            self.extra,
        ])
    }
}

impl RawCap {
    /// What these words mean; `None` for words that no kernel wrote.
    ///
    /// Total on any bytes: unknown types, rights outside [`Rights::ALL`], set
    /// reserved bits, regions that wrap or pass 52 bits are refused.
    #[must_use]
    pub const fn parse(&self) -> Option<Cap> {
        let w = self.0[0];
        let Some(kind) = CapType::from_u8(w as u8) else {
            return None;
        };
        let rights = (w >> 8) as u8;
        let end = self.0[1].checked_add(self.0[2]);
        if rights & !Rights::ALL.0 != 0 || (w >> 16) as u16 != 0 {
            return None;
        }
        match end {
            Some(end) if end <= 1 << PhysAddr::BITS && self.0[1] >> PhysAddr::BITS == 0 => {}
            _ => return None,
        }
        Some(Cap {
            kind,
            rights: Rights(rights),
            param: (w >> 32) as u32,
            base: PhysAddr(self.0[1]),
            size: self.0[2],
            extra: self.0[3],
        })
    }
}
