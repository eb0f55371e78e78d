//! The knowledge base as a process: gathers facts, answers questions, takes facts and rules.
//!
//! Everything about the machine comes from the device manager: firmware's tables, as it read
//! them, and which core runs what, which is asked for again before every question.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod gather;

use alloc::format;
use alloc::string::{String, ToString};

use proto::ServiceError;
use proto::iface::skb::{SkbReply, SkbRequest};
use rt::chan::{Attach, Client, Request, Server};
use rt::task;
use skb::datalog::{Base, Changes, Error, Limits};

rt::entry!(main);

/// Most bytes of an answer in one message.
const MAX_CHUNK: usize = 4096;

fn main() {
    rt::process::exit(task::block_on(run()))
}

async fn run() -> i32 {
    match serve().await {
        Ok(never) => match never {},
        Err(e) => {
            rt::println!("skb: {e}");
            1
        }
    }
}

async fn serve() -> Result<core::convert::Infallible, String> {
    let text = |e: proto::PeerError| e.to_string();
    let cores = Client::lookup("cores").await.map_err(text)?;
    let files = Client::lookup("files").await.map_err(text)?;
    let mut base = Base::new(Limits::default());
    base.load(skb::RULES)
        .map_err(|e| format!("its rules: {e}"))?;
    let mut facts = gather::machine(&cores).await?;
    gather::kernels(&files, &mut facts).await?;
    base.apply(&facts)
        .map_err(|e| format!("what firmware says: {e}"))?;
    let server = Server::open().map_err(|e| e.message().to_string())?;
    server.register("skb").await.map_err(text)?;
    loop {
        let request = server.next().await;
        let done = match gather::running(&cores).await {
            Ok(changes) => base.apply(&changes).map(|_| ()),
            Err(e) => Err(Error::Fact(e)),
        };
        let done = done.map_err(|e| (ServiceError::NoAnswer, e.to_string()));
        if let Err((error, why)) = done.and_then(|()| answer(&mut base, &request)) {
            let reply = SkbReply::Refused { error };
            // An asker that is gone needs no answer.
            let _ = request.answer(&reply, Attach::blob(why.as_bytes()));
        }
    }
}

/// Answers one request, or says why not.
fn answer(base: &mut Base, request: &Request) -> Result<(), (ServiceError, String)> {
    let bad = |e: Error| (ServiceError::BadArgument, e.to_string());
    let text = request.text();
    let mut changes = Changes::default();
    match request.decode::<SkbRequest>() {
        Err(_) => return Err((ServiceError::BadMessage, String::new())),
        Ok(SkbRequest::Ask { offset }) => {
            let found = base.ask(&text).map_err(bad)?;
            let whole = found.to_string();
            let from = whole
                .len()
                .min(usize::try_from(offset).unwrap_or(usize::MAX));
            let to = whole.len().min(from + MAX_CHUNK);
            let reply = SkbReply::Answer {
                rows: found.rows.len() as u64,
                bytes: whole.len() as u64,
            };
            let _ = request.answer(&reply, Attach::blob(&whole.as_bytes()[from..to]));
            return Ok(());
        }
        Ok(SkbRequest::Assert {}) => changes.assert_text(&text).map_err(bad)?,
        Ok(SkbRequest::Withdraw {}) => changes.withdraw_text(&text).map_err(bad)?,
        Ok(SkbRequest::Load {}) => base.load(&text).map(|_| ()).map_err(bad)?,
    }
    let applied = base.apply(&changes).map_err(bad)?;
    let reply = SkbReply::Changed {
        asserted: applied.asserted as u64,
        withdrawn: applied.withdrawn as u64,
    };
    let _ = request.answer(&reply, Attach::NONE);
    Ok(())
}
