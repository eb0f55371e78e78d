//! One way over LMP: the sender's stub to the receiver's handler in another address space.

use abi::{MessageTag, marker};
use alloc::format;
use alloc::string::{String, ToString};

use proto::Name;
use proto::iface::names::{NamesReply, NamesRequest};
use proto::iface::spawn::Place;
use rt::chan::{Attach, Client};
use rt::{SysError, env, lmp};

use crate::peer::Peer;

const RING_SLOTS: u64 = 8;

fn name_of(text: &str) -> Result<Name, String> {
    Name::new(text).ok_or_else(|| format!("\"{text}\" is too long a name"))
}

fn failed(what: &str, e: SysError) -> String {
    format!("{what}: {}", e.message())
}

/// Sends `n` messages to a peer that waits for each, one after the other.
pub async fn measure(n: usize) -> Result<(), String> {
    let text = format!("bench{}", env::pid());
    let peer = Peer::start(Place::Here, 0, &["bench", "lmp-peer", &text]).await?;
    let names = Client::names().await.map_err(|e| e.to_string())?;
    let request = NamesRequest::Lookup {
        name: name_of(&text)?,
        wait: true,
    };
    let answer = names.request::<_, NamesReply>(&request, Attach::NONE).await;
    let endpoint = answer
        .map_err(|e| e.to_string())?
        .cap
        .ok_or("the peer is not registered")?;
    let tag = MessageTag {
        yield_to: true,
        ..MessageTag::default()
    };
    let mut result = Ok(());
    for i in 0..n {
        // The peer is let in first, so that it waits when the message comes.
        lmp::yield_core();
        rt::marker::<{ marker::LMP_SEND }>();
        let sent = lmp::send(endpoint.addr(), tag, [i as u64, 1, 2, 3, 4, 5]);
        if let Err(e) = sent {
            result = Err(failed("cannot send", e));
            break;
        }
    }
    peer.end().await;
    result
}

/// Registers an endpoint under `name` and takes messages for ever.
pub async fn serve(name: &str) -> Result<(), String> {
    let (index, endpoint) = lmp::open(RING_SLOTS).map_err(|e| failed("no endpoint", e))?;
    let names = Client::names().await.map_err(|e| e.to_string())?;
    let request = NamesRequest::Register {
        name: name_of(name)?,
    };
    let answer = names
        .request::<_, NamesReply>(&request, Attach::cap(endpoint.addr()))
        .await;
    match answer.map_err(|e| e.to_string())?.message {
        NamesReply::Done {} => {}
        other => return Err(format!("cannot register {name}: {other:?}")),
    }
    loop {
        match lmp::wait(u64::MAX, Some(index)) {
            Ok(_) => rt::marker::<{ marker::LMP_RECEIVE }>(),
            Err(SysError::KernelRestarted) => {}
            Err(e) => return Err(failed("cannot wait", e)),
        }
    }
}
