//! Files of the boot archive (ramfs).

use crate::ServiceError;

crate::messages! {
    /// Requests.
    pub enum FilesRequest: 7 {
        /// The file named by the blob. Answer: `Opened`, with a read-only Frame capability of
        /// the archive (whole; the file stands at `offset`).
        Open = 1 {},
        /// Bytes of the file named by the blob. Answer: `Data` (blob) of at most `len` bytes.
        Read = 2 {
            /// First byte.
            offset: u64,
            /// Most bytes (at most 4096).
            len: u32,
        },
        /// Name of the file at this index in the directory named by the blob. Answer: `Entry` or `Refused(End)`.
        List = 3 {
            /// Position.
            index: u32,
        },
    }
}

crate::messages! {
    /// Replies.
    pub enum FilesReply: 7 {
        /// Opened.
        Opened = 0x8001 {
            /// First byte in the Frame.
            offset: u64,
            /// Bytes of the file.
            bytes: u64,
            /// Bytes of the Frame.
            frame_bytes: u64,
        },
        /// The blob has the bytes; fewer than asked at the file's end.
        Data = 0x8002 {
            /// Bytes of the whole file.
            bytes: u64,
        },
        /// The blob is the name.
        Entry = 0x8003 {
            /// Bytes of the file.
            bytes: u64,
        },
        /// Refused; blob: which file.
        Refused = 0x80ff {
            /// Why.
            error: ServiceError,
        },
    }
}
