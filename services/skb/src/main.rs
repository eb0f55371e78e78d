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
use rt::chan::{Attach, BindError, Client, Server};
use rt::task;
use skb::service::Service;

rt::entry!(main);

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
    let lost = |e: BindError| e.to_string();
    let cores = Client::lookup("cores").await.map_err(lost)?;
    let files = Client::lookup("files").await.map_err(lost)?;
    let mut service = Service::new().map_err(|e| format!("its rules: {e}"))?;
    let mut facts = gather::machine(&cores).await?;
    gather::kernels(&files, &mut facts).await?;
    let told = service.apply(&facts);
    told.map_err(|e| format!("what firmware says: {e}"))?;
    let server = Server::open().map_err(|e| e.message().to_string())?;
    server.register("skb").await.map_err(|e| e.to_string())?;
    loop {
        let request = server.next().await;
        let refused = |error, why: String| (SkbReply::Refused { error }, why.into_bytes());
        let current = match gather::running(&cores).await {
            Ok(changes) => service.apply(&changes).map_err(|e| e.to_string()),
            Err(e) => Err(e),
        };
        let (reply, blob) = match (current, request.decode::<SkbRequest>()) {
            (Err(e), _) => refused(ServiceError::NoAnswer, e),
            (_, Err(_)) => refused(ServiceError::BadMessage, String::new()),
            (Ok(_), Ok(message)) => service.take(request.connection(), message, &request.blob),
        };
        // An asker that is gone needs no answer.
        let _ = request.answer(&reply, Attach::blob(&blob));
    }
}
