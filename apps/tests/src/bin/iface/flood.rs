//! A client that sends without end: what others hear of the service meanwhile is for the tests to say.

use abi::{CapAddr, MessageTag};
use proto::iface::names::NamesClient;
use proto::iface::transport::Transport;
use proto::{Name, Wire};
use rt::chan::Client;
use rt::{Capability, SysError, cap, invoke, lmp};

use super::KeeperRequest;

/// Messages of a flood: more than a service keeps answers for.
const FLOOD: u32 = 20_000;

/// Sends requests without end and never takes an answer.
pub async fn by_lmp(name: &str) -> i32 {
    let Ok(monitor) = Client::names().await else {
        return 1;
    };
    let names = NamesClient(monitor);
    let Ok(found) = names.lookup(Name::truncated(name), true).await else {
        return 2;
    };
    let service = found.cap;
    match connection(service.addr()) {
        Ok(connection) => {
            flood_by(|words| lmp::send(connection.addr(), MessageTag::default(), words).is_ok())
        }
        Err(_) => 3,
    }
}

/// Binds by hand: the answers' endpoint is this program's own, and it looks at it once.
fn connection(service: CapAddr) -> Result<Capability, SysError> {
    let (index, own) = lmp::open(4)?;
    let slot = cap::alloc_slot()?;
    invoke::endpoint_receive(abi::slots::DISPATCHER, index.into(), slot)?;
    let give = MessageTag {
        cap: cap::mint(own.addr(), capfmt::Rights::ALL, Some(1))?.leak(),
        give: true,
        ..MessageTag::default()
    };
    let bind = Transport::Bind {
        interface: 103,
        version: 1,
    };
    lmp::send(service, give, bind.to_words(1))?;
    loop {
        match lmp::wait(u64::MAX, Some(index)) {
            Ok(event) if event.what.has_cap() => break,
            Ok(_) | Err(SysError::KernelRestarted) => {}
            Err(e) => return Err(e),
        }
    }
    // Never given back: answers go on coming.
    own.leak();
    cap::copy(slot)
}

/// The same over UMP.
pub async fn by_ump(name: &str, osnode: &str) -> i32 {
    let Ok(osnode) = osnode.parse() else { return 1 };
    let Ok(client) = Client::lookup_on(osnode, name).await else {
        return 2;
    };
    let Some(channel) = client.channel() else {
        return 3;
    };
    flood_by(|words| {
        let mut line = proto::ump::Line::default();
        line.words[..6].copy_from_slice(&words);
        channel.try_send(&line).is_ok()
    })
}

/// Sends more than anybody keeps, then sleeps for ever. The runtime never runs: nothing takes what
/// is answered.
fn flood_by(send: impl Fn(lmp::Words) -> bool) -> i32 {
    let Ok((own, _)) = lmp::open(1) else { return 4 };
    let mut tag = 1;
    for _ in 0..FLOOD {
        let request = KeeperRequest::Add { amount: 0 };
        match send(request.to_words(tag)) {
            true => tag += 1,
            false => lmp::yield_core(),
        }
    }
    loop {
        // Nobody has this endpoint.
        let _ = lmp::wait(u64::MAX, Some(own));
    }
}
