//! Serves the files of the boot archive, read only.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::vec::Vec;
use core::convert::Infallible;

use abi::{CapAddr, slots};
use archive::Archive;
use proto::iface::files::{Data, Entry, Files, FilesServer, Opened};
use proto::{PeerError, Refusal, ServiceError};
use rt::chan::{self, Request};
use rt::{env, task};

rt::entry!(main);

/// Most bytes of one `Read`.
const MAX_READ: usize = 4096;

fn main() {
    rt::process::exit(start())
}

fn start() -> i32 {
    let Some(bytes) = env::archive() else {
        rt::println!("ramfs: started without the boot archive");
        return 1;
    };
    let archive = match Archive::open(bytes) {
        Ok(a) => a,
        Err(e) => {
            rt::println!("ramfs: the boot archive is damaged: {e}");
            return 1;
        }
    };
    let files = Ramfs { archive, bytes };
    let served = task::block_on(chan::serve::<Files, _>("files", &files));
    let Err(e): Result<Infallible, PeerError> = served;
    rt::println!("ramfs: cannot register the service: {e}");
    1
}

/// The archive, opened and as it stands in memory.
struct Ramfs {
    archive: Archive<'static>,
    bytes: &'static [u8],
}

impl Ramfs {
    /// A file's contents, verified against the manifest.
    fn file(&self, name: &[u8]) -> Result<&'static [u8], Refusal> {
        let name = text(name)?;
        let mut entries = self.archive.entries().flatten();
        let wanted = ramfs::normal(name);
        let Some(entry) = entries.find(|e| e.name == wanted) else {
            let text = format!("there is no file \"{wanted}\"");
            return Err(Refusal::new(ServiceError::NotFound, text));
        };
        if entry.name == archive::MANIFEST {
            return Ok(entry.data);
        }
        let verified = self.archive.verified(entry.name);
        verified.map_err(|e| Refusal::new(ServiceError::BadProgram, format!("{e}")))
    }
}

fn text(name: &[u8]) -> Result<&str, Refusal> {
    let not_text = |_| Refusal::new(ServiceError::BadArgument, "a file's name is UTF-8 text");
    core::str::from_utf8(name).map_err(not_text)
}

impl FilesServer<Request> for Ramfs {
    async fn open(&self, _: &Request, name: Vec<u8>) -> Result<Opened<CapAddr>, Refusal> {
        let data = self.file(&name)?;
        let offset = data.as_ptr().addr() - self.bytes.as_ptr().addr();
        Ok(Opened {
            offset: offset as u64,
            bytes: data.len() as u64,
            frame_bytes: self.bytes.len() as u64,
            frame: slots::ARCHIVE,
        })
    }

    async fn read(
        &self,
        _: &Request,
        offset: u64,
        len: u32,
        name: Vec<u8>,
    ) -> Result<Data, Refusal> {
        let data = self.file(&name)?;
        let bytes = data.len() as u64;
        let from = offset.min(bytes) as usize;
        let to = data.len().min(from + MAX_READ.min(len as usize));
        let data = data[from..to].to_vec();
        Ok(Data { bytes, data })
    }

    async fn list(&self, _: &Request, index: u32, directory: Vec<u8>) -> Result<Entry, Refusal> {
        let files: Vec<_> = self.archive.entries().flatten().collect();
        let paths = files.iter().map(|e| e.name);
        let entry = ramfs::nth_entry(text(&directory)?, index, paths);
        let (name, path) = entry.ok_or(ServiceError::End)?;
        let found = files.iter().find(|e| e.name == path);
        let bytes = found.map_or(0, |e| e.data.len() as u64);
        let name = name.as_bytes().to_vec();
        Ok(Entry { bytes, name })
    }
}
