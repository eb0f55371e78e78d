//! The process on one OSnode: it answers others at once, and asks them when it is told to.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::ServiceError;
use rt::chan::{Answer, Attach, Client, Request, Server};
use rt::{task, time};

use crate::ROUNDS;

/// Round trips before those that count: channels, queues and code are warm then.
const WARM_UP: usize = 4;

proto::messages! {
    /// Requests.
    pub enum NodeRequest: 102 {
        /// Answer at once: `Here`.
        Echo = 1 {},
        /// Measure the way to the process with the name in the blob. Answer: `Measured`, or
        /// `Refused` with a sentence.
        Measure = 2 {
            /// OSnode on which that process is.
            osnode: u64,
        },
    }
}

proto::messages! {
    /// Replies.
    pub enum NodeReply: 102 {
        /// Here.
        Here = 0x8001 {},
        /// The median.
        Measured = 0x8002 {
            /// Half of a round trip.
            ns: u64,
        },
        /// It failed.
        Refused = 0x80ff {
            /// Why.
            error: ServiceError,
        },
    }
}

/// Serves until it is ended.
///
/// # Errors
/// A sentence.
pub async fn serve(name: &str) -> Result<(), String> {
    let server = Server::open().map_err(|e| e.message().to_string())?;
    server.register(name).await.map_err(|e| e.to_string())?;
    loop {
        let request = server.next().await;
        match request.decode::<NodeRequest>() {
            Ok(NodeRequest::Echo {}) => answer(&request, &NodeReply::Here {}, ""),
            Ok(NodeRequest::Measure { osnode }) => task::spawn(async move {
                match median(osnode, &request.text()).await {
                    Ok(ns) => answer(&request, &NodeReply::Measured { ns }, ""),
                    Err(e) => refuse(&request, ServiceError::NoAnswer, &e),
                }
            }),
            Err(_) => refuse(&request, ServiceError::BadMessage, ""),
        }
    }
}

/// Answers; an asker that is gone needs no answer.
fn answer(request: &Request, reply: &NodeReply, text: &str) {
    let _ = request.answer(reply, Attach::blob(text.as_bytes()));
}

fn refuse(request: &Request, error: ServiceError, text: &str) {
    answer(request, &NodeReply::Refused { error }, text);
}

async fn median(osnode: u64, name: &str) -> Result<u64, String> {
    let to = Client::lookup_on(osnode, name).await;
    let to = to.map_err(|e| e.to_string())?;
    let mut times = Vec::new();
    for round in 0..WARM_UP + ROUNDS {
        let start = time::system_ns();
        let asked = to.request(&NodeRequest::Echo {}, Attach::NONE).await;
        let took = time::system_ns().saturating_sub(start);
        let _: Answer<NodeReply> = asked.map_err(|e| e.to_string())?;
        if round >= WARM_UP {
            times.push(took);
        }
    }
    times.sort_unstable();
    Ok(times[ROUNDS / 2] / 2)
}
