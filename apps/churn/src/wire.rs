//! The ball as a message.

proto::messages! {
    /// Requests of a peer.
    pub enum RallyRequest: 100 {
        /// A ball. Answer: `Back`.
        Hit = 1 {
            /// Number.
            number: u64,
            /// Running hash.
            hash: u64,
            /// Filling.
            filling: u64,
        },
    }
}

proto::messages! {
    /// Replies of a peer.
    pub enum RallyReply: 100 {
        /// The ball comes back.
        Back = 0x8001 {
            /// Number.
            number: u64,
            /// Running hash.
            hash: u64,
            /// Filling.
            filling: u64,
        },
    }
}
