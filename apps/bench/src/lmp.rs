//! One way over LMP: the sender's stub to the receiver's handler in another address space.

use abi::{MessageTag, marker};
use alloc::format;
use alloc::string::{String, ToString};

use proto::Name;
use proto::iface::names::NamesClient;
use proto::iface::spawn::Place;
use rt::chan::Client;
use rt::{Capability, SysError, cap, env, lmp};

use crate::peer::Peer;

const RING_SLOTS: u64 = 8;

fn name_of(text: &str) -> Result<Name, String> {
    Name::new(text).ok_or_else(|| format!("\"{text}\" is too long a name"))
}

fn failed(what: &str, e: SysError) -> String {
    format!("{what}: {}", e.message())
}

/// Registers `own` under `name` with the name service.
async fn register(name: &str, own: &Capability) -> Result<(), String> {
    let names = NamesClient(Client::names().await.map_err(|e| e.to_string())?);
    let own = cap::copy(own.addr()).map_err(|e| failed("its endpoint", e))?;
    let registered = names.register(name_of(name)?, own).await;
    registered.map_err(|e| format!("cannot register {name}: {e}"))?;
    Ok(())
}

/// Waits until `name` is registered; its endpoint.
async fn lookup(name: &str) -> Result<Capability, String> {
    let names = NamesClient(Client::names().await.map_err(|e| e.to_string())?);
    let found = names.lookup(name_of(name)?, true).await;
    Ok(found.map_err(|e| format!("{name}: {e}"))?.cap)
}

/// Name under which the caller's own endpoint is found.
fn back(name: &str) -> String {
    format!("{name}r")
}

/// Calls a peer `n` times; the figure ends when its handler runs, before it answers.
pub async fn measure(n: usize) -> Result<(), String> {
    let text = format!("bench{}", env::pid());
    let (index, own) = lmp::open(RING_SLOTS).map_err(|e| failed("no endpoint", e))?;
    register(&back(&text), &own).await?;
    let peer = Peer::start(Place::Here, 0, &["bench", "lmp-peer", &text]).await?;
    let endpoint = lookup(&text).await?;
    let tag = MessageTag {
        reply: index,
        ..MessageTag::default()
    };
    let mut result = Ok(());
    for i in 0..n {
        // The peer is let in first, so that it waits when the message comes.
        lmp::yield_core();
        rt::marker::<{ marker::LMP_SEND }>();
        let answer = lmp::call(endpoint.addr(), tag, [i as u64, 1, 2, 3, 4, 5]);
        match answer.map(|event| event.words[0]) {
            Ok(word) if word == i as u64 => {}
            Ok(word) => result = Err(format!("{word} was answered to {i}")),
            Err(e) => result = Err(failed("cannot call", e)),
        }
    }
    peer.end().await;
    result
}

/// Registers an endpoint under `name` and answers messages for ever.
pub async fn serve(name: &str) -> Result<(), String> {
    let (index, own) = lmp::open(RING_SLOTS).map_err(|e| failed("no endpoint", e))?;
    let caller = lookup(&back(name)).await?;
    register(name, &own).await?;
    let tag = MessageTag {
        yield_to: true,
        ..MessageTag::default()
    };
    loop {
        match lmp::wait(u64::MAX, Some(index)) {
            Ok(event) => {
                rt::marker::<{ marker::LMP_RECEIVE }>();
                let sent = lmp::send(caller.addr(), tag, event.words);
                sent.map_err(|e| failed("cannot answer", e))?;
            }
            Err(SysError::KernelRestarted) => {}
            Err(e) => return Err(failed("cannot wait", e)),
        }
    }
}
