//! What the workers of `t-random` are told.

use abi::SysError;
use tests::pool::{Number, Outcome, Step, WORDS, Who};

proto::messages! {
    /// What a worker is asked.
    pub enum WorkerRequest: 104 {
        /// Another worker, whose name comes as a blob.
        Meet = 1 {
            /// Its number.
            peer: u64,
            /// Its OSnode.
            osnode: u64,
        },
        /// Do this step.
        Act = 2 {
            /// Which | peer << 8 | Ram << 16.
            what: u64,
            /// Number of the capability | number of the new one << 32.
            numbers: u64,
            /// First page, or the page.
            page: u64,
            /// Pages, or a value.
            value: u64,
            /// The worker's own number.
            who: u64,
        },
        /// Keep the capability that comes along.
        Take = 3 {
            /// Under this number.
            number: u64,
        },
        /// What is held? As a blob of [`ENTRY`]s.
        Report = 4 {},
        /// Revoke and delete everything.
        Clear = 5 {},
    }
}
proto::messages! {
    /// Its answers.
    pub enum WorkerReply: 104 {
        /// It is done.
        Done = 0x8001 {
            /// Words of [`Outcome::Done`].
            a: u64,
            /// As before.
            b: u64,
            /// As before.
            c: u64,
        },
        /// It is refused.
        Refused = 0x8002 {
            /// `SysError`; 0 = something else, said in the blob.
            error: u64,
        },
    }
}

/// Bytes of an entry of a report: number | kind << 32, first byte, bytes.
pub const ENTRY: usize = 24;
/// Kinds of an entry.
pub const FRAME: u64 = 0;
pub const RAM: u64 = 1;
pub const MAPPING: u64 = 2;
pub const OTHER: u64 = 3;

/// The words of a step.
pub fn act(who: Who, step: &Step) -> WorkerRequest {
    let (what, from, to, page, value) = match *step {
        Step::Alloc { to, pages } => (1, 0, to, 0, pages),
        Step::Copy { from, to } => (2, from, to, 0, 0),
        Step::Send { from, peer, to } => (3 | (peer as u64) << 8, from, to, 0, 0),
        Step::Give { from, peer, to } => (4 | (peer as u64) << 8, from, to, 0, 0),
        Step::Retype {
            from,
            to,
            ram,
            first,
            pages,
        } => (5 | u64::from(ram) << 16, from, to, first, pages),
        Step::Delete { from } => (6, from, 0, 0, 0),
        Step::Revoke { from } => (7, from, 0, 0, 0),
        Step::Map { from } => (8, from, 0, 0, 0),
        Step::Unmap { from } => (9, from, 0, 0, 0),
        Step::Write { from, page, value } => (10, from, 0, page, value),
        Step::Read { from, page } => (11, from, 0, page, 0),
    };
    WorkerRequest::Act {
        what,
        numbers: u64::from(from) | u64::from(to) << 32,
        page,
        value,
        who: who as u64,
    }
}

/// The step of such words.
pub fn step(what: u64, numbers: u64, page: u64, value: u64) -> Option<Step> {
    let (from, to) = (numbers as Number, (numbers >> 32) as Number);
    let peer = (what >> 8 & 0xff) as Who;
    Some(match what & 0xff {
        1 => Step::Alloc { to, pages: value },
        2 => Step::Copy { from, to },
        3 => Step::Send { from, peer, to },
        4 => Step::Give { from, peer, to },
        5 => Step::Retype {
            from,
            to,
            ram: what >> 16 & 1 != 0,
            first: page,
            pages: value,
        },
        6 => Step::Delete { from },
        7 => Step::Revoke { from },
        8 => Step::Map { from },
        9 => Step::Unmap { from },
        10 => Step::Write { from, page, value },
        11 => Step::Read { from, page },
        _ => return None,
    })
}

/// An outcome as a message.
pub fn reply(outcome: Result<[u64; WORDS], SysError>) -> WorkerReply {
    match outcome {
        Ok([a, b, c]) => WorkerReply::Done { a, b, c },
        Err(why) => WorkerReply::Refused { error: why as u64 },
    }
}

/// What such a message says; `None`: no refusal that the model knows.
pub fn outcome(reply: &WorkerReply) -> Option<Outcome> {
    match *reply {
        WorkerReply::Done { a, b, c } => Some(Outcome::Done([a, b, c])),
        WorkerReply::Refused { error } => SysError::from_code(error as u16).map(Outcome::Refused),
    }
}
