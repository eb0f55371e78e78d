//! Memory servers. The badge of the client's capability names its account.
//!
//! An OSnode's programs ask the server of their OSnode (slot `MEMORY`), which asks others when it has to. In the
//! first OSnode there is one more for each further NUMA node, registered as `.memory.N`.

use crate::ServiceError;

/// Under this name the monitor finds a server that was started again, before others find it as `.memory`.
pub const NEXT_LIFE: &str = ".memory.next";

crate::codes! {
    /// Where memory is to be.
    pub enum MemoryPlace {
        /// On the OSnode's own NUMA node if there is some, else as near to it as there is.
        Own = 0,
        /// On the OSnode's own NUMA node, or not at all.
        Local = 1,
        /// On this NUMA node, or not at all.
        OnNode = 2,
        /// On this NUMA node, else as near to it as there is.
        NearNode = 3,
        /// On the NUMA node of this core, else as near to it as there is.
        NearCore = 4,
        /// Wherever the server has it, else wherever there is.
        Anywhere = 5,
    }
}

crate::codes! {
    /// What a fact is about.
    pub enum MemoryFact {
        /// Memory from byte `a` on, `b` bytes, is on node `c`.
        Range = 0,
        /// The distance from node `a` to node `b` is `c` (10 = local).
        Distance = 1,
        /// Core `a` is on node `c`.
        Core = 2,
    }
}

crate::interface! {
    /// RAM: allocated, on accounts; between memory servers.
    pub interface Memory = 1, version 6, errors ServiceError;
    messages MemoryRequest, MemoryReply;
    stubs MemoryClient, MemoryServer;
    replies {
        /// Here is the RAM.
        Allocated = 0x8001 {
            /// Physical address.
            base: u64,
            /// Bytes given.
            bytes: u64,
        } gives ram;
        /// Taken, or taken note of.
        Freed = 0x8002 {
            /// Bytes that became free.
            bytes: u64,
        };
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
            /// NUMA node that the server is for.
            node: u32,
        };
        /// An account.
        Account = 0x8004 {
            /// Its number.
            account: u32,
            /// Bytes that came from it and did not come back, whoever has them.
            held: u64,
            /// Most bytes (0 = no limit).
            limit: u64,
            /// Bytes that it can always have.
            share: u64,
            /// Its owner has ended: what it still holds is waited for.
            closed: bool,
        };
        /// One fact.
        Fact = 0x8005 {
            /// What it is about.
            about: MemoryFact,
            /// See [`MemoryFact`].
            a: u64,
            /// See [`MemoryFact`].
            b: u64,
            /// See [`MemoryFact`].
            c: u64,
        };
        /// The books are in order.
        Checked = 0x8006 {
            /// Bytes that the server began with, and that came to it when nobody had them any more.
            donated: u64,
            /// Ever come from other servers.
            got: u64,
            /// Ever gone to other servers.
            sent: u64,
            /// Free now.
            free: u64,
            /// On accounts now.
            used: u64,
        };
        /// An account is closed.
        Closed = 0x8007 {
            /// Bytes on it that others still have; they are free again when those give them up.
            bytes: u64,
        };
        /// An account is open; its Endpoint comes along.
        Opened = 0x8008 {
            /// Its number.
            account: u32,
        } gives endpoint;
        /// Bytes that an OSnode had got from servers here.
        Bequest = 0x8009 {
            /// The first.
            base: u64,
            /// Their number.
            bytes: u64,
        };
    }
    requests {
        /// RAM of `bytes` (a power of two, or rounded up to one), aligned to its size but to no more than
        /// 64 KiB, placed as `Own` says. What comes is the only capability of it. It is
        /// given back by deleting that, and all that was made of it.
        Allocate = 1 allocate {
            /// Bytes wanted.
            bytes: u64,
        } -> Allocated;
        /// How much is there? Refused with `End` when there is no such server.
        Stats = 3 stats {
            /// 0 = this server; above that, the others of its OSnode that it knows, by index.
            server: u32,
        } -> Stats;
        /// System only. Makes an account for a process. Refused with `OutOfMemory` when so much
        /// cannot be promised.
        OpenAccount = 4 open_account {
            /// Most bytes (0 = none set).
            limit: u64,
            /// Bytes that it can always have, whatever others take.
            share: u64,
        } -> Opened;
        /// System only. The Endpoint of an account that was opened in an earlier life of the server. Refused with
        /// `NotFound` when it is not known.
        Reopen = 19 reopen {
            /// Its number.
            account: u32,
        } -> Opened;
        /// System only. Closes the account: nothing more is given on it, and it is forgotten when nothing is on
        /// it any more.
        CloseAccount = 5 close_account {
            /// Number from `Account`.
            account: u32,
        } -> Closed;
        /// System only. Donates the RAM capability that comes along: nobody else holds it.
        Donate = 6 donate {
            /// NUMA node of the region, as far as the loader knows.
            node: u8,
            /// It is part of the OSnode's own region, which no other OSnode may get.
            fixed: bool,
        } gives ram -> Freed;
        /// System only. What the server's earlier life had, or came back between the two: nobody else holds it. The rest of the
        /// books it knows from what that life wrote down.
        Restore = 20 restore {} gives ram -> Freed;
        /// System only. That was all: the server serves everybody from now on.
        Restored = 21 restored {} -> Freed;
        /// As `Allocate`, but any whole number of pages, aligned as asked, where asked.
        AllocateAt = 7 allocate_at {
            /// Bytes wanted.
            bytes: u64,
            /// Alignment (a power of two).
            align: u64,
            /// How `number` is meant.
            place: MemoryPlace,
            /// NUMA node or core.
            number: u32,
        } -> Allocated;
        /// System only. The device manager, or another server, says what it knows.
        Learn = 8 learn {
            /// What it is about.
            about: MemoryFact,
            /// See [`MemoryFact`].
            a: u64,
            /// See [`MemoryFact`].
            b: u64,
            /// See [`MemoryFact`].
            c: u64,
        } -> Freed;
        /// System only. As `Allocate`, but any whole number of pages, aligned to 64 KiB, on somebody else's account.
        AllocateFor = 9 allocate_for {
            /// Whose.
            account: u32,
            /// Bytes wanted.
            bytes: u64,
        } -> Allocated;
        /// System only. What the server knows. Refused with `End` when that is all.
        Fact = 10 fact {
            /// Position.
            index: u32,
        } -> Fact;
        /// System only. A server of the same OSnode: its Endpoint capability comes along.
        Join = 11 join {
            /// Its NUMA node.
            node: u8,
        } gives endpoint -> Freed;
        /// Another server: RAM to be given whole, so that nothing of it stays here.
        Refill = 12 refill {
            /// Bytes wanted; 0 = the largest run on that node.
            bytes: u64,
            /// Alignment (a power of two).
            align: u64,
            /// NUMA node, or 256: any.
            node: u32,
            /// Not 0: the asker says with `Receipt` and this number whether the RAM arrived; until then the giver
            /// can have it again. For servers of other OSnodes.
            ticket: u64,
            /// The asker's OSnode: the giver remembers what it has, in case that it is destroyed.
            osnode: u64,
        } -> Allocated;
        /// System only. The OSnode is gone. What had not arrived there is taken back; the next of all ranges that it
        /// had got, and that are neither back nor with somebody else, is on the system's account from now on: it comes
        /// back by itself, as RAM whose last capability goes. Refused with `End` when there is none any more.
        Bequest = 18 bequest {
            /// Its id.
            osnode: u64,
        } -> Bequest;
        /// Another server: what became of a `Refill` with a ticket.
        Receipt = 17 receipt {
            /// Its ticket.
            ticket: u64,
            /// The RAM is there.
            arrived: bool,
        };
        /// Another server gives RAM whole: the capability comes along.
        GiveBack = 13 give_back {} gives ram -> Freed;
        /// System only. What is on an account.
        Account = 14 account {
            /// Its number.
            account: u32,
        } -> Account;
        /// System only. The first account from this number on. Refused with `End` when there is none.
        Accounts = 15 accounts {
            /// Number to begin with.
            from: u32,
        } -> Account;
        /// System only. Checks the books and that every free piece is what its capability says.
        /// Refused with a sentence when something is wrong.
        Check = 16 check {
            /// As in `Stats`.
            server: u32,
        } -> Checked;
    }
}
