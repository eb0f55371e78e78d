//! The Kernel Control Block: the one handle on an OSnode (paper §4.4).

use crate::layout::layout;
use crate::{CoreId, Cte, PhysMap};

/// Size of a KCB in bytes.
pub const KCB_BYTES: u64 = 0x4000;
/// Entries of the undo log.
pub const KCB_UNDO_ENTRIES: u64 = 760;

/// Kinds of long operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum LongOpKind {
    /// None in progress.
    None = 0,
    /// Delete every descendant and every other copy of the target.
    Revoke = 1,
    /// Delete the target; it was the last copy of an object with contents.
    Delete = 2,
    /// Zero a region, then complete the retype of the requester.
    Zero = 3,
    /// Walk over an object's copies and descendants and change the MDB part of each, or delete what was marked.
    Family = 4,
    /// Find the places of the peer table that no capability names.
    Peers = 5,
}

/// Where an OSnode is: the KCB's state word, unpacked.
///
/// Bits 0–1: 0 detached, 1 attached; bits 2–31: core; bits 32–63: epoch, one more at each attach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attachment {
    /// No kernel runs it: it may be adopted.
    Detached {
        /// Number of attaches so far.
        epoch: u32,
    },
    /// The kernel on `core` runs it.
    Attached {
        /// Which core.
        core: CoreId,
        /// Number of attaches so far.
        epoch: u32,
    },
}

impl Attachment {
    /// The state word.
    #[must_use]
    pub const fn pack(self) -> u64 {
        match self {
            Attachment::Detached { epoch } => (epoch as u64) << 32,
            Attachment::Attached { core, epoch } => {
                (epoch as u64) << 32 | ((core.0 as u64) & 0x3fff_ffff) << 2 | 1
            }
        }
    }
    /// Reads a state word; `None` for a tag that no kernel wrote.
    #[must_use]
    pub const fn unpack(w: u64) -> Option<Attachment> {
        let epoch = (w >> 32) as u32;
        match w & 3 {
            0 => Some(Attachment::Detached { epoch }),
            1 => Some(Attachment::Attached {
                core: CoreId((w as u32) >> 2),
                epoch,
            }),
            _ => None,
        }
    }
}

/// One interrupt binding: source number plus one (0 = free), and the DCB and endpoint it goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IrqBinding {
    /// Source number plus one; 0 = free.
    pub source1: u64,
    /// DCB address | endpoint index in the low 11 bits.
    pub target: u64,
}

layout! {
    /// A Kernel Control Block.
    struct Kcb [KCB_BYTES] {
        /// [`Kcb::MAGIC`].
        magic / set_magic @ 0x000,
        /// Format version ([`crate::FORMAT_VERSION`]).
        format / set_format @ 0x008,
        /// Instruction set ([`crate::Isa`]).
        isa / set_isa @ 0x010,
        /// Feature mask that a kernel must offer, FPU layout included (`abi::feature`).
        features / set_features @ 0x018,
        /// Identity of the OSnode.
        osnode / set_osnode @ 0x020,
        /// State word (see [`Attachment`]); changed by compare-exchange only.
        state / set_state @ 0x028,
        /// Checksum of what must not change: magic to osnode, region, notification, time page.
        checksum / set_checksum @ 0x030,
        /// First byte of the OSnode's own memory region.
        mem_base / set_mem_base @ 0x038,
        /// Bytes of the region.
        mem_size / set_mem_size @ 0x040,
        /// Root of the derivation tree (a CTE address), or 0.
        mdb_root / set_mdb_root @ 0x048,
        /// First DCB, or 0.
        dcb_head / set_dcb_head @ 0x050,
        /// Entries used in the peer table (entry 0 is this OSnode).
        peer_count / set_peer_count @ 0x058,
        /// Next number for dispatchers, domains and ids.
        next_id / set_next_id @ 0x060,
        /// Notification page.
        notification / set_notification @ 0x068,
        /// Time page.
        time_page / set_time_page @ 0x070,
        /// OSnode whose kernel cares for this one while it is stopped, or 0.
        cared_by / set_cared_by @ 0x078,
        /// OSnode time at `counter_start`, in nanoseconds.
        time_base_ns / set_time_base_ns @ 0x0c0,
        /// Hardware counter at the last attach.
        counter_start / set_counter_start @ 0x0c8,
        /// Counter-to-nanosecond multiplier of the current core.
        mult / set_mult @ 0x0d0,
        /// Counter-to-nanosecond shift of the current core.
        shift / set_shift @ 0x0d8,
        /// System time minus counter time, in nanoseconds.
        system_offset_ns / set_system_offset_ns @ 0x0e0,
        /// Generation of the time page: odd while it changes.
        time_generation / set_time_generation @ 0x0e8,
        /// First KCB of the stopped OSnodes that this one's kernel cares for, or 0.
        care_head / set_care_head @ 0x0f0,
        /// Next KCB of the list that this one stands in, or 0.
        care_next / set_care_next @ 0x0f8,
        /// A [`LongOpKind`].
        op_kind / set_op_kind @ 0x100,
        /// Phase within the kind.
        op_phase / set_op_phase @ 0x108,
        /// CTE of the target.
        op_target / set_op_target @ 0x110,
        /// Position within the current object.
        op_cursor / set_op_cursor @ 0x118,
        /// First CTE of the delete list.
        op_delete_head / set_op_delete_head @ 0x120,
        /// First object of the clear list.
        op_clear_head / set_op_clear_head @ 0x128,
        /// DCB of the requester, or 0 if it is gone.
        op_requester / set_op_requester @ 0x130,
        /// First byte still to be zeroed.
        op_zero_from / set_op_zero_from @ 0x138,
        /// End of the region to be zeroed.
        op_zero_end / set_op_zero_end @ 0x140,
        /// Steps done so far.
        op_steps / set_op_steps @ 0x148,
        /// Attaches that found this operation in progress (since creation of the OSnode).
        op_adopted / set_op_adopted @ 0x150,
        /// How the operation differs from its kind's plainest: its meaning depends on the kind.
        op_how / set_op_how @ 0x158,
        /// DCB that had the requester's call carried out and waits as well, or 0.
        op_second / set_op_second @ 0x160,
        /// First slot of the CNode that memory comes back to, or 0.
        reclaim_cnode / set_reclaim_cnode @ 0x168,
        /// Channel that tells of memory that came back, plus one; 0 = none.
        reclaim_channel / set_reclaim_channel @ 0x170,
        /// How often memory came back.
        reclaimed / set_reclaimed @ 0x178,
        /// Progress of a format conversion, in objects.
        conversion_cursor / set_conversion_cursor @ 0x180,
        /// Format being converted from; 0 = none.
        conversion_from / set_conversion_from @ 0x188,
        /// DCB that runs, or 0; its low bits are [`Kcb::IN_SYSCALL`] and [`Kcb::IN_EFFECTS`].
        /// One store of this word commits a system call that logs nothing.
        current_dcb / set_current_dcb @ 0x190,
        /// Attaches so far that rolled back an open transaction.
        rollbacks / set_rollbacks @ 0x198,
        /// Channel that tells the monitor, plus one; 0 = none.
        monitor_channel / set_monitor_channel @ 0x1a0,
        /// How often the last copy of an object that other OSnodes know went away here.
        shared_drops / set_shared_drops @ 0x1a8,
        /// Capabilities with the flag `MARKED`.
        marked / set_marked @ 0x1b0,
        /// Entries of the undo log in use; 0 = no open transaction.
        undo_len / set_undo_len @ 0x1000,
        /// Hardware counter when the kernel that cares for it took it up, or last let it go.
        left_at / set_left_at @ 0x1008,
        /// How often something was taken out of a table that other OSnodes use, plus one; 0 = no table was ever shared.
        flush_owed / set_flush_owed @ 0x3fe0,
        /// Up to which of these everybody has flushed.
        flush_done / set_flush_done @ 0x3fe8,
        /// DCB of its monitor, which ended, and the OSnode with it: no kernel runs it again; 0 = it goes on.
        ended / set_ended @ 0x3ff0,
        /// Index of the core whose kernel ran it last, plus one; 0 = none did, or nobody wrote it down.
        last_core / set_last_core @ 0x3ff8,
    ;
        /// Interrupt bindings: 64 pairs of words (see [`IrqBinding`]).
        irq_word / set_irq_word @ 0x200 [128],
        /// DCB bound to each word of the notification page, or 0.
        notify_binding / set_notify_binding @ 0x600 [64],
        /// Peer table: OSnode ids; index 0 is this OSnode.
        peer / set_peer @ 0x800 [256],
        /// Words of the object that the operation is about.
        op_word / set_op_word @ 0x1b8 [4],
        /// How far the operation's walk over the tree has come (see [`crate::mdb::Position`]).
        op_position / set_op_position @ 0x1d8 [5],
        /// The undo log: pairs (address, old word).
        undo_word / set_undo_word @ 0x1010 [2 * KCB_UNDO_ENTRIES],
    }
}

impl Kcb {
    /// Offset of `state`, which is changed by compare-exchange only.
    pub const STATE_OFFSET: u64 = 0x028;
    /// Identity of the OSnode that the loader makes. Without it the machine is of no use.
    pub const BOOT_OSNODE: u64 = 1;
    /// Bit of `current_dcb`: it is in a system call, which is lost if the kernel dies now.
    pub const IN_SYSCALL: u64 = 1;
    /// Bit of `current_dcb`: the effects of its last system call may not have been carried out.
    pub const IN_EFFECTS: u64 = 2;
    /// First word of a KCB: "NKKCB" and the format family.
    pub const MAGIC: u64 = 0x0142_434b_4b4e;
    /// Slot of the root CNode of the OSnode's first dispatcher.
    #[must_use]
    pub const fn root(self) -> Cte {
        Cte(self.0.add(0x080))
    }
    /// Reads the state word.
    #[must_use]
    pub fn attachment(self, mem: &impl PhysMap) -> Option<Attachment> {
        Attachment::unpack(self.state(mem))
    }
    /// Reads interrupt binding `index` (< 64).
    #[must_use]
    pub fn irq(self, mem: &impl PhysMap, index: u64) -> IrqBinding {
        IrqBinding {
            source1: self.irq_word(mem, 2 * index),
            target: self.irq_word(mem, 2 * index + 1),
        }
    }
    /// The checksum that belongs into `checksum`: FNV-1a over the words that never change.
    #[must_use]
    pub fn compute_checksum(self, mem: &impl PhysMap) -> u64 {
        crate::convert::current_checksum(mem, self)
    }
}
