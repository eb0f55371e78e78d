//! Capabilities: raw words and their meaning (`two-faces`).

use crate::PhysAddr;

/// Kinds of capability. The numbers are part of the format and never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum CapType {
    /// An empty slot.
    Null = 0,
    /// Any physical range, memory or device.
    PhysAddr = 1,
    /// Untyped memory.
    Ram = 2,
    /// Memory that can be mapped.
    Frame = 3,
    /// Device registers that can be mapped.
    DevFrame = 4,
    /// A table of capability slots.
    CNode = 5,
    /// A dispatcher (its DCB).
    Dispatcher = 6,
    /// A local message endpoint of a dispatcher. `param` = endpoint index, `extra` = badge.
    Endpoint = 7,
    /// The shared memory of a UMP channel.
    UmpEndpoint = 8,
    /// A page table. `param` = level (0 = leaf table), `extra` = ISA.
    VNode = 9,
    /// What ties a mapped Frame, DevFrame, UmpEndpoint or VNode to VNode entries.
    /// base/size = the mapped bytes; `extra` = VNode address | first index; `param` = entry count.
    Mapping = 10,
    /// A whole OSnode: base/size = its memory region, `extra` = address of its KCB.
    Kcb = 11,
    /// A core's control object.
    Core = 12,
    /// The notification page of an OSnode.
    Notification = 13,
    /// Kernel-wide rights (log, identify the running kernel, OSnode-wide queries).
    Kernel = 14,
    /// A range of interrupt sources: base = first number, size = count.
    IrqSource = 15,
    /// One interrupt bound to an endpoint: base = source number.
    IrqDest = 16,
    /// The right to set one bit: base = Notification page, `param` = channel, `extra` = OSnode id.
    Notify = 17,
    /// The right to command a core: base = its Core object.
    CoreControl = 18,
    /// x86 I/O ports: base = first port, size = count.
    IoPort = 19,
    /// Performance counters of the core.
    PerfMon = 20,
    /// Reserved for IOMMU domains.
    IommuDomain = 21,
    /// Names a process: `extra` = its id.
    Domain = 22,
    /// A unique number: `extra`.
    Id = 23,
}

impl CapType {
    /// The type with this number, if there is one.
    #[must_use]
    pub const fn from_u8(n: u8) -> Option<CapType> {
        use CapType::*;
        const ALL: [CapType; 24] = [
            Null,
            PhysAddr,
            Ram,
            Frame,
            DevFrame,
            CNode,
            Dispatcher,
            Endpoint,
            UmpEndpoint,
            VNode,
            Mapping,
            Kcb,
            Core,
            Notification,
            Kernel,
            IrqSource,
            IrqDest,
            Notify,
            CoreControl,
            IoPort,
            PerfMon,
            IommuDomain,
            Domain,
            Id,
        ];
        if (n as usize) < ALL.len() {
            Some(ALL[n as usize])
        } else {
            None
        }
    }
}

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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
    /// Every right.
    pub const ALL: Rights = Rights(15);

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
            Some(end) if end <= 1 << PhysAddr::BITS => {}
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
