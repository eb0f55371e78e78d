//! The process on one OSnode: it answers others at once, and asks them when it is told to.

use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::convert::Infallible;

use proto::{Refusal, ServiceError};
use rt::chan::{self, Request};
use rt::time;

use crate::ROUNDS;

/// Round trips before those that count: channels, queues and code are warm then.
const WARM_UP: usize = 4;

proto::interface! {
    /// Ways between OSnodes, measured.
    pub interface Node = 102, version 1, errors ServiceError;
    messages NodeRequest, NodeReply;
    stubs NodeClient, NodeServer;
    replies {
        /// Here.
        Here = 0x8001 {};
        /// The median.
        Measured = 0x8002 {
            /// Half of a round trip.
            ns: u64,
        };
    }
    requests {
        /// Answered at once.
        Echo = 1 echo {} -> Here;
        /// Measures the way to the process with this name. Refused with a sentence.
        Measure = 2 measure {
            /// OSnode on which that process is.
            osnode: u64,
        } blob name -> Measured;
    }
}

struct Served;

impl NodeServer<Request> for Served {
    async fn echo(&self, _: &Request) -> Result<Here, Refusal> {
        Ok(Here {})
    }
    async fn measure(&self, _: &Request, osnode: u64, name: Vec<u8>) -> Result<Measured, Refusal> {
        let ns = median(osnode, &String::from_utf8_lossy(&name)).await;
        let ns = ns.map_err(|e| Refusal::new(ServiceError::NoAnswer, e))?;
        Ok(Measured { ns })
    }
}

/// Serves until it is ended.
///
/// # Errors
/// A sentence.
pub async fn serve(name: &str) -> Result<Infallible, String> {
    let served = chan::serve_side_by_side::<Node, _>(name, Rc::new(Served));
    served.await.map_err(|e| e.to_string())
}

async fn median(osnode: u64, name: &str) -> Result<u64, String> {
    let to = chan::connect_on::<Node>(osnode, name).await;
    let to = to.map_err(|e| e.to_string())?;
    let mut times = Vec::new();
    for round in 0..WARM_UP + ROUNDS {
        let start = time::system_ns();
        let asked = to.echo().await;
        let took = time::system_ns().saturating_sub(start);
        asked.map_err(|e| e.to_string())?;
        if round >= WARM_UP {
            times.push(took);
        }
    }
    times.sort_unstable();
    Ok(times[ROUNDS / 2] / 2)
}
