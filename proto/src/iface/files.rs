//! Files of the boot archive (ramfs).

use crate::ServiceError;

crate::interface! {
    /// Files, named by their paths, to be read.
    pub interface Files = 7, version 1, errors ServiceError;
    messages FilesRequest, FilesReply;
    stubs FilesClient, FilesServer;
    replies {
        /// Opened. The Frame is read only and has the whole archive; the file stands at `offset`.
        Opened = 0x8001 {
            /// First byte in the Frame.
            offset: u64,
            /// Bytes of the file.
            bytes: u64,
            /// Bytes of the Frame.
            frame_bytes: u64,
        } copies frame;
        /// Bytes; fewer than asked at the file's end.
        Data = 0x8002 {
            /// Bytes of the whole file.
            bytes: u64,
        } blob data;
        /// A file or directory.
        Entry = 0x8003 {
            /// Bytes of the file.
            bytes: u64,
        } blob name;
    }
    requests {
        /// A file's place in the archive.
        Open = 1 open {} blob name -> Opened;
        /// Bytes of a file.
        Read = 2 read {
            /// First byte.
            offset: u64,
            /// Most bytes (at most 4096).
            len: u32,
        } blob name -> Data;
        /// What stands at this index in a directory; refused with `End` past the last.
        List = 3 list {
            /// Position.
            index: u32,
        } blob directory -> Entry;
    }
}
