//! The knowledge base: questions, facts and rules as text (`docs/book/skb.md`).

use crate::ServiceError;

crate::messages! {
    /// Requests.
    pub enum SkbRequest: 12 {
        /// The question in the blob. Answer: `Answer`, or `Refused` with what is wrong with it.
        Ask = 1 {
            /// First byte of the answer's text that is wanted; the question is answered anew.
            offset: u64,
        },
        /// Asserts the facts in the blob, all or none. Answer: `Changed`.
        Assert = 2 {},
        /// Withdraws the facts that fit the atom in the blob: `core(3, _)`. Answer: `Changed`.
        Withdraw = 3 {},
        /// Adds the rules in the blob, all or none. Answer: `Changed`.
        Load = 4 {},
    }
}

crate::messages! {
    /// Replies.
    pub enum SkbReply: 12 {
        /// The blob has text from the offset on: a line with the columns' names, then a line for
        /// each row, values separated by tabs.
        Answer = 0x8001 {
            /// Rows of the whole answer.
            rows: u64,
            /// Bytes of its whole text.
            bytes: u64,
        },
        /// Done.
        Changed = 0x8002 {
            /// Facts that were not there before.
            asserted: u64,
            /// Facts that are no longer there.
            withdrawn: u64,
        },
        /// Refused; blob: why.
        Refused = 0x80ff {
            /// Why.
            error: ServiceError,
        },
    }
}
