//! What invocations take and give.

use capfmt::{Cap, CapType, MdbFlags, Rights};
use proto::Name;

/// What [`super::identify`] says.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The capability.
    pub cap: Cap,
    /// Flags of its MDB part.
    pub flags: MdbFlags,
    /// Owner index in the peer table.
    pub owner: u16,
}

/// A retype: what to make of a region.
#[derive(Clone, Copy, Debug)]
pub struct Retype {
    /// First byte, from the start of the source.
    pub offset: u64,
    /// Type to make.
    pub kind: CapType,
    /// VNode level, CNode log2 of slots, else 0.
    pub param: u32,
    /// Bytes of each object (sized types).
    pub bytes: u64,
    /// How many.
    pub count: u64,
}

/// What to map where in a VNode.
#[derive(Clone, Copy, Debug)]
pub struct Map {
    /// First entry.
    pub index: u64,
    /// First byte of the region.
    pub offset: u64,
    /// Entries.
    pub count: u64,
    /// Access.
    pub rights: Rights,
    /// Device memory.
    pub uncached: bool,
}

impl Map {
    /// A lower table at this entry.
    #[must_use]
    pub const fn table(index: u64) -> Map {
        Map {
            index,
            offset: 0,
            count: 1,
            rights: Rights::ALL,
            uncached: false,
        }
    }
}

/// State of a dispatcher.
#[derive(Clone, Copy, Debug)]
pub struct DispInfo {
    /// `capfmt::DcbState` as a number.
    pub state: u64,
    /// Core time used, ns.
    pub used_ns: u64,
    /// System calls made.
    pub syscalls: u64,
    /// Times preempted.
    pub preemptions: u64,
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: Name,
}

/// Identity of the running kernel.
#[derive(Clone, Copy, Debug)]
pub struct KernelIdentity {
    /// Build id.
    pub build_id: [u64; 3],
    /// Name.
    pub name: Name,
    /// Newest KCB format that it reads.
    pub newest_format: u16,
    /// Oldest KCB format that it reads.
    pub oldest_format: u16,
    /// Core.
    pub core: u64,
}

/// OSnode facts.
#[derive(Clone, Copy, Debug)]
pub struct OsnodeInfo {
    /// OSnode id.
    pub osnode: u64,
    /// KCB (physical address).
    pub kcb: u64,
    /// Attaches so far.
    pub epoch: u64,
    /// Attaches that rolled back a transaction.
    pub rollbacks: u64,
    /// Attaches that found a long operation in progress.
    pub adopted_ops: u64,
    /// Notification page (physical address).
    pub notification: u64,
    /// It is stopped, and another OSnode's kernel cares for it.
    pub visited: bool,
}

/// State of a core as its Core object says.
#[derive(Clone, Copy, Debug)]
pub struct CoreInfo {
    /// `capfmt::CoreStatus` as a number.
    pub status: u64,
    /// Sequence of the command last answered.
    pub target_seq: u64,
    /// Sequence of the last command.
    pub home_seq: u64,
    /// KCB being run, or 0.
    pub kcb: u64,
    /// Image record in use.
    pub image: u64,
    /// Epitaph kind, 0 = none.
    pub epitaph_kind: u64,
    /// Epitaph program counter.
    pub epitaph_pc: u64,
}

/// KCB facts.
#[derive(Clone, Copy, Debug)]
pub struct KcbInfo {
    /// OSnode id.
    pub osnode: u64,
    /// State word (`capfmt::Attachment`).
    pub state: u64,
    /// Format.
    pub format: u64,
    /// Instruction set.
    pub isa: u64,
    /// Features needed.
    pub features: u64,
    /// Address of the KCB.
    pub kcb: u64,
    /// Core that ran it last, if one did.
    pub last_core: Option<u32>,
    /// Its monitor has ended, and the OSnode with it.
    pub ended: bool,
}
