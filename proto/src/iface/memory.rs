//! Memory service of an OSnode. The badge of the client's capability names its account.

use crate::ServiceError;

crate::messages! {
    /// Requests.
    pub enum MemoryRequest: 1 (Memory 1) {
        /// RAM of `bytes` (a power of two, or rounded up to one), aligned to its size
        /// (at least 4 KiB). Answer: `Allocated` with a RAM capability, or `Refused`.
        Allocate = 1 {
            /// Bytes wanted.
            bytes: u64,
        },
        /// Gives back RAM that `Allocate` gave: revoked and free again when answered.
        /// The region is named by its base (from `Identify`).
        Free = 2 {
            /// Physical address of the region.
            base: u64,
        },
        /// How much is there? Answer: `Stats`.
        Stats = 3 {},
        /// Makes an account for a child process whose memory is counted apart, with at most `limit`
        /// bytes (0 = none set). Answer: `Account` with an Endpoint capability for it.
        OpenAccount = 4 {
            /// Most bytes.
            limit: u64,
        },
        /// Closes the account: all its RAM is revoked and free again when answered.
        CloseAccount = 5 {
            /// Number from `Account`.
            account: u32,
        },
        /// Donates the RAM capability that comes along. Answer: `Freed`.
        Donate = 6 {
            /// NUMA node of the region.
            node: u8,
        },
        /// As `Allocate`, but any whole number of pages, aligned as asked, on one NUMA node.
        AllocateOn = 7 {
            /// Bytes wanted.
            bytes: u64,
            /// Alignment (a power of two).
            align: u64,
            /// NUMA node.
            node: u8,
        },
        /// Device manager: memory from `base` on is on this NUMA node. Answer: `Freed`.
        NodeRange = 8 {
            /// First byte.
            base: u64,
            /// Bytes.
            bytes: u64,
            /// NUMA node.
            node: u8,
        },
    }
}

crate::messages! {
    /// Replies.
    pub enum MemoryReply: 1 (Memory 1) {
        /// Here is the RAM.
        Allocated = 0x8001 {
            /// Physical address.
            base: u64,
            /// Bytes given.
            bytes: u64,
        },
        /// Taken back.
        Freed = 0x8002 {
            /// Bytes that became free.
            bytes: u64,
        },
        /// Figures.
        Stats = 0x8003 {
            /// Bytes managed.
            total: u64,
            /// Bytes free.
            free: u64,
            /// Bytes of the largest free block.
            largest: u64,
            /// Blocks given out.
            blocks: u64,
        },
        /// Account made.
        Account = 0x8004 {
            /// Its number.
            account: u32,
        },
        /// Refused.
        Refused = 0x80ff {
            /// Why.
            error: ServiceError,
        },
    }
}
