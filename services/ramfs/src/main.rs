//! Serves the files of the boot archive, read only.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use abi::slots;
use archive::{Archive, ArchiveError};
use proto::ServiceError;
use proto::iface::files::{FilesReply, FilesRequest};
use rt::chan::{Attach, Request, Server};
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
    task::block_on(serve(archive, bytes))
}

async fn serve(archive: Archive<'static>, bytes: &'static [u8]) -> i32 {
    let server = match Server::open() {
        Ok(s) => s,
        Err(e) => {
            rt::println!("ramfs: no endpoint for the service: {}", e.message());
            return 1;
        }
    };
    if let Err(e) = server.register("files").await {
        rt::println!("ramfs: cannot register the service: {e}");
        return 1;
    }
    loop {
        let request = server.next().await;
        let Answer { reply, blob, frame } = answer(archive, bytes, &request);
        let cap = frame.then_some(slots::ARCHIVE);
        // A client that is gone needs no answer.
        let _ = request.answer(&reply, Attach::with(&blob, cap));
    }
}

struct Answer {
    reply: FilesReply,
    blob: Vec<u8>,
    frame: bool,
}

impl Answer {
    fn of(reply: FilesReply, blob: Vec<u8>) -> Answer {
        Answer {
            reply,
            blob,
            frame: false,
        }
    }
    fn refused(error: ServiceError, text: String) -> Answer {
        Answer::of(FilesReply::Refused { error }, text.into_bytes())
    }
}

/// A file's contents, verified against the manifest.
fn file(archive: Archive<'static>, name: &str) -> Result<&'static [u8], Answer> {
    let entries = archive.entries().flatten();
    let name = ramfs::normal(name);
    let mut entries = entries.filter(|e| e.name == name);
    let Some(entry) = entries.next() else {
        let text = format!("there is no file \"{name}\"");
        return Err(Answer::refused(ServiceError::NotFound, text));
    };
    if entry.name == archive::MANIFEST {
        return Ok(entry.data);
    }
    archive.verified(entry.name).map_err(|e| damaged(&e))
}

fn damaged(e: &ArchiveError<'_>) -> Answer {
    Answer::refused(ServiceError::BadProgram, format!("{e}"))
}

fn answer(archive: Archive<'static>, whole: &'static [u8], request: &Request) -> Answer {
    let name = request.text();
    let done = match request.decode::<FilesRequest>() {
        Err(_) => Err(Answer::refused(ServiceError::BadMessage, String::new())),
        Ok(FilesRequest::Open {}) => open(archive, whole, &name),
        Ok(FilesRequest::Read { offset, len }) => read(archive, &name, offset, len),
        Ok(FilesRequest::List { index }) => Ok(list(archive, &name, index)),
    };
    done.unwrap_or_else(|refused| refused)
}

fn open(archive: Archive<'static>, whole: &'static [u8], name: &str) -> Result<Answer, Answer> {
    let data = file(archive, name)?;
    let offset = data.as_ptr().addr() - whole.as_ptr().addr();
    let reply = FilesReply::Opened {
        offset: offset as u64,
        bytes: data.len() as u64,
        frame_bytes: whole.len() as u64,
    };
    let mut answer = Answer::of(reply, Vec::new());
    answer.frame = true;
    Ok(answer)
}

fn read(archive: Archive<'static>, name: &str, offset: u64, len: u32) -> Result<Answer, Answer> {
    let data = file(archive, name)?;
    let bytes = data.len() as u64;
    let from = offset.min(bytes) as usize;
    let to = data.len().min(from + MAX_READ.min(len as usize));
    let reply = FilesReply::Data { bytes };
    Ok(Answer::of(reply, data[from..to].to_vec()))
}

fn list(archive: Archive<'static>, dir: &str, index: u32) -> Answer {
    let files: Vec<_> = archive.entries().flatten().collect();
    let paths = files.iter().map(|e| e.name);
    let Some((name, path)) = ramfs::nth_entry(dir, index, paths) else {
        return Answer::refused(ServiceError::End, String::new());
    };
    let found = files.iter().find(|e| e.name == path);
    let bytes = found.map_or(0, |e| e.data.len() as u64);
    Answer::of(FilesReply::Entry { bytes }, name.as_bytes().to_vec())
}
