//! What channels say to each other: binding, liveness, blobs.

crate::messages! {
    /// Messages of the channel layer itself; never seen by a service.
    pub enum Transport: 0 {
        /// Client → server over LMP, with a capability of the client's reply endpoint:
        /// make a connection. Answer: `Bound` on that endpoint, with a capability of the
        /// server's endpoint badged with the connection, to be used from then on.
        Bind = 1 {
            /// Interface wanted (0 = any that the server has).
            interface: u8,
        },
        /// The connection stands.
        Bound = 0x8001 {},
        /// The connection is refused: the server's table is full.
        BindRefused = 0x8002 {},
        /// Are you there? Needs no answer: a send that succeeds is the answer.
        Ping = 3 {},
        /// The sender closes the connection.
        Close = 4 {},
        /// 32 bytes of the blob of the message that follows with the same tag.
        Fragment = 5 {
            /// Position of the first byte | bytes of the whole blob << 32.
            place: u64,
            /// Bytes, little-endian words.
            low: (u64, u64),
            /// Bytes, going on.
            high: (u64, u64),
        },
    }
}
