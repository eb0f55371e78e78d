//! The knowledge base (`docs/book/skb.md`): questions, facts and rules as text, and the questions
//! that other services ask as plain messages. It runs on the OSnode that the loader made.
//!
//! `rt::skb::Knowledge` asks them.

use alloc::vec::Vec;

use crate::ServiceError;

crate::codes! {
    /// What a number means.
    pub enum Subject {
        /// A core.
        Core = 0,
        /// An OSnode that runs.
        Osnode = 1,
        /// A NUMA node.
        Node = 2,
    }
}

crate::codes! {
    /// What answers are about.
    pub enum Topic {
        /// Which nodes have memory, and how far apart nodes are: `Memories` of nodes.
        Memory = 0,
        /// Which OSnodes run, where, and what messages between them cost: `Tree`.
        Tree = 1,
    }
}

crate::interface! {
    /// Questions to the knowledge base, and changes of it.
    pub interface Skb = 12, version 2, errors ServiceError;
    messages SkbRequest, SkbReply;
    stubs SkbClient, SkbServer;
    replies {
        /// The blob has text from the offset on: a line with the columns' names, then a line for
        /// each row, values separated by tabs.
        Answer = 0x8001 {
            /// Rows of the whole answer.
            rows: u64,
            /// Bytes of its whole text.
            bytes: u64,
        } blob text;
        /// Done.
        Changed = 0x8002 {
            /// Facts that were not there before.
            asserted: u64,
            /// Facts that are no longer there.
            withdrawn: u64,
        };
        /// Where something is.
        Place = 0x8003 {
            /// Its NUMA node.
            node: u32,
            /// The core itself, or the one that the OSnode runs on.
            core: u32,
            /// The OSnode itself, or the first one that the core runs; 0 = none.
            osnode: u64,
        };
        /// How far it is: 10 is local.
        Distance = 0x8004 {
            /// As in ACPI's SLIT.
            distance: u32,
        };
        /// The blob has records.
        Listed = 0x8005 {
            /// How many there are in all.
            count: u64,
        } blob records;
        /// What answers about a topic follow from has this number: as long as it stays, so do they.
        Version = 0x8006 {
            /// Never 0.
            version: u64,
        };
    }
    requests {
        /// The question in the blob. Answer: `Answer`, or `Refused` with what is wrong with it.
        Ask = 1 ask {
            /// First byte of the answer's text that is wanted; the question is answered anew.
            offset: u64,
        } blob question -> Answer;
        /// Asserts the facts in the blob, all or none.
        Assert = 2 assert {} blob facts -> Changed;
        /// Withdraws the facts that fit the atom in the blob: `core(3, _)`.
        Withdraw = 3 withdraw {} blob atom -> Changed;
        /// Adds the rules in the blob, all or none.
        Load = 4 load {} blob rules -> Changed;
        /// Withdraws facts and asserts others, all or none. Blob: an atom like `core(3, _)` on each
        /// line, a zero byte, facts.
        Change = 5 change {
            /// It goes on: nothing changes before the connection's first `Change` without this.
            more: bool,
        } blob changes -> Changed;
        /// Where a core or OSnode is. Answer: `Place`, or `Refused(NotFound)`.
        PlaceOf = 6 place_of {
            /// `Core` or `Osnode`.
            subject: Subject,
            /// Which.
            number: u64,
        } -> Place;
        /// The distance between two NUMA nodes. Answer: `Distance`, or `Refused(NotFound)` if
        /// one is not known or out of reach.
        Distance = 7 distance {
            /// From this one.
            from: u32,
            /// To this one.
            to: u32,
        } -> Distance;
        /// The NUMA nodes with memory, nearest first. Answer: `Listed` with [`MemoryAt`] records,
        /// or `Refused(NotFound)`.
        Memories = 8 memories {
            /// As seen from what.
            subject: Subject,
            /// Which.
            number: u64,
        } -> Listed;
        /// The multicast tree among the OSnodes that run. Answer: `Listed` with [`Edge`] records,
        /// or `Refused(NotFound)`.
        Tree = 9 tree {
            /// Its root: `Core` or `Osnode`.
            subject: Subject,
            /// Which.
            number: u64,
            /// First edge that is wanted.
            first: u64,
        } -> Listed;
        /// The number of what is known of a topic. Answer: `Version`, as soon as it is another one than
        /// `known`; or `Refused(Busy)` when too many others wait.
        News = 10 news {
            /// Which.
            topic: Topic,
            /// What the asker knows; 0 = nothing.
            known: u64,
        } => Version;
    }
}

/// Most bytes of records, or of text, in one answer.
pub const MAX_CHUNK: usize = 4096;

/// Something that a `Listed` answer lists.
pub trait Record: Sized {
    /// Bytes of one.
    const BYTES: usize;
    /// Appends its bytes.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads one; `None` unless there are [`Self::BYTES`] bytes.
    fn read(bytes: &[u8]) -> Option<Self>;

    /// Reads all of a blob; `None` if its end is no whole record.
    #[must_use]
    fn read_all(bytes: &[u8]) -> Option<Vec<Self>> {
        bytes.chunks(Self::BYTES).map(Self::read).collect()
    }
}

/// A NUMA node with memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MemoryAt {
    /// How far it is.
    pub distance: u32,
    /// Which.
    pub node: u32,
}

impl Record for MemoryAt {
    const BYTES: usize = 8;
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.distance.to_le_bytes());
        out.extend(self.node.to_le_bytes());
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (words, []) = bytes.as_chunks() else {
            return None;
        };
        let [distance, node] = *words else {
            return None;
        };
        Some(Self {
            distance: u32::from_le_bytes(distance),
            node: u32::from_le_bytes(node),
        })
    }
}

/// One edge of a multicast tree. A parent's children come in the order in which they are best
/// sent to, and every parent but the root stands as a child before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edge {
    /// OSnode that sends.
    pub parent: u64,
    /// OSnode that it sends to.
    pub child: u64,
    /// Core of the parent now.
    pub parent_core: u32,
    /// Core of the child now.
    pub child_core: u32,
    /// What a message costs on it: measured, in ns, or else a distance.
    pub cost: u64,
    /// Both are in the same group: a cluster, else a node, else a package.
    pub within: bool,
}

impl Record for Edge {
    const BYTES: usize = 40;
    fn write(&self, out: &mut Vec<u8>) {
        let cores = u64::from(self.parent_core) | u64::from(self.child_core) << 32;
        let within = u64::from(self.within);
        for word in [self.parent, self.child, cores, self.cost, within] {
            out.extend(word.to_le_bytes());
        }
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (words, []) = bytes.as_chunks() else {
            return None;
        };
        let [parent, child, cores, cost, within] = *words else {
            return None;
        };
        let cores = u64::from_le_bytes(cores);
        Some(Self {
            parent: u64::from_le_bytes(parent),
            child: u64::from_le_bytes(child),
            parent_core: cores as u32,
            child_core: (cores >> 32) as u32,
            cost: u64::from_le_bytes(cost),
            within: within != [0; 8],
        })
    }
}
