//! Capabilities on several OSnodes: a Frame is copied to another OSnode, and revoked by its owner
//! while so many others have a copy.
//!
//! A *holder* runs on each other core and keeps the copies that come to it. Messages of the monitors
//! are marked where they are sent (`marker::AGREE_SEND`).

use abi::marker;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::iface::spawn::Place;
use rt::chan::{Answer, Attach, Client, Server};
use rt::{Capability, env, invoke, mem, time};

use crate::peer::Peer;

/// Numbers of OSnodes that share a Frame with its owner.
pub const SHARERS: [usize; 4] = [2, 4, 8, 16];
const PAGE: u64 = 4096;
/// Rest between two measurements, in which what the last one left is done (ns).
const REST_NS: u64 = 5_000_000;

type Outcome<T = ()> = Result<T, String>;

proto::messages! {
    /// What a holder is asked.
    pub enum HolderRequest: 104 {
        /// Keep the capability that comes along, instead of the last one.
        Keep = 1 {},
        /// Is the capability there?
        Look = 2 {},
    }
}
proto::messages! {
    /// Its answers.
    pub enum HolderReply: 104 {
        /// Whether it has one.
        Holds = 0x8001 {
            /// 1 = yes.
            holds: u64,
        },
    }
}

/// Keeps what comes, for ever.
pub async fn hold(name: &str) -> Outcome {
    let server = Server::open().map_err(|e| e.message().to_string())?;
    server.register(name).await.map_err(|e| e.to_string())?;
    let mut held: Option<Capability> = None;
    loop {
        let mut request = server.next().await;
        match request.decode() {
            Ok(HolderRequest::Keep {}) => held = request.cap.take(),
            Ok(HolderRequest::Look {}) => {}
            Err(_) => return Err("a wrong request came".to_string()),
        }
        let there = |cap: &Capability| invoke::identify(cap.addr()).is_ok();
        let holds = u64::from(held.as_ref().is_some_and(there));
        // An asker that is gone needs no answer.
        let _ = request.answer(&HolderReply::Holds { holds }, Attach::NONE);
    }
}

/// The holders, by core from 1 on.
struct Holders {
    peers: Vec<Peer>,
    clients: Vec<Client>,
}

impl Holders {
    async fn start(&mut self, core: u64) -> Outcome {
        let name = format!("bench{}h{core}", env::pid());
        let peer = Peer::start(Place::Core, core, &["bench", "hold", &name]).await?;
        let osnode = peer.pid.osnode;
        self.peers.push(peer);
        if osnode == env::osnode() {
            return Err(format!("core {core} has no OSnode of its own"));
        }
        let client = Client::lookup_on(osnode, &name).await;
        self.clients.push(client.map_err(|e| e.to_string())?);
        Ok(())
    }
}

async fn ask(holder: &Client, request: HolderRequest, with: Attach<'_>) -> Outcome<u64> {
    let answer = holder.request(&request, with).await;
    let answer: Answer<HolderReply> = answer.map_err(|e| e.to_string())?;
    let HolderReply::Holds { holds } = answer.message;
    Ok(holds)
}

/// Every one of them must have, or not have, the capability.
async fn expect(holders: &[Client], holds: u64) -> Outcome {
    for (i, holder) in holders.iter().enumerate() {
        let found = ask(holder, HolderRequest::Look {}, Attach::NONE).await?;
        if found != holds {
            return Err(format!("holder {} has {found} copies, not {holds}", i + 1));
        }
    }
    time::sleep(REST_NS).await;
    Ok(())
}

/// A Frame, and the memory that it goes back to.
fn frame() -> Outcome<(Capability, Capability)> {
    let ram = mem::alloc_ram(PAGE).map_err(|e| e.to_string())?;
    let frame = mem::retype_one(ram.addr(), capfmt::CapType::Frame, 0, 0, PAGE);
    Ok((ram, frame.map_err(|e| e.message().to_string())?))
}

fn free((ram, frame): (Capability, Capability)) -> Outcome {
    frame.delete().map_err(|e| e.message().to_string())?;
    mem::free_ram(ram).map_err(|e| e.to_string())
}

fn revoke(frame: &Capability) -> Outcome {
    invoke::revoke(frame.addr()).map_err(|e| format!("revoke: {}", e.message()))
}

/// A request with a Frame, and one without, until the holder has answered.
async fn copies(holder: &Client, rounds: usize) -> Outcome {
    for _ in 0..rounds {
        let made = frame()?;
        time::sleep(REST_NS).await;
        rt::marker::<{ marker::COPY_BEGIN }>();
        let kept = ask(holder, HolderRequest::Keep {}, Attach::cap(made.1.addr())).await;
        rt::marker::<{ marker::COPY_END }>();
        if kept? != 1 {
            return Err("the copy is not there".to_string());
        }
        time::sleep(REST_NS).await;
        rt::marker::<{ marker::ASK_BEGIN }>();
        let there = ask(holder, HolderRequest::Look {}, Attach::NONE).await;
        rt::marker::<{ marker::ASK_END }>();
        there?;
        revoke(&made.1)?;
        expect(core::slice::from_ref(holder), 0).await?;
        free(made)?;
    }
    Ok(())
}

/// Revokes of a Frame that all of these have a copy of.
async fn revokes(holders: &[Client], rounds: usize) -> Outcome {
    for _ in 0..rounds {
        let made = frame()?;
        for holder in holders {
            ask(holder, HolderRequest::Keep {}, Attach::cap(made.1.addr())).await?;
        }
        expect(holders, 1).await?;
        rt::marker::<{ marker::REVOKE_BEGIN }>();
        let done = revoke(&made.1);
        rt::marker::<{ marker::REVOKE_END }>();
        done?;
        expect(holders, 0).await?;
        free(made)?;
    }
    Ok(())
}

/// Everything, with holders on cores 1 to `cores` - 1: copies, then a section for each of `SHARERS`
/// that there are cores for.
pub async fn measure(rounds: usize, cores: u64) -> Outcome {
    let mut holders = Holders {
        peers: Vec::new(),
        clients: Vec::new(),
    };
    let mut result = Ok(());
    for core in 1..cores {
        result = holders.start(core).await;
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() {
        result = sections(&holders.clients, rounds).await;
    }
    for peer in holders.peers {
        peer.end().await;
    }
    result
}

async fn sections(holders: &[Client], rounds: usize) -> Outcome {
    let first = holders.first().ok_or("no other core")?;
    copies(first, rounds).await?;
    for count in SHARERS {
        let Some(sharing) = holders.get(..count) else {
            break;
        };
        rt::marker::<{ marker::SHARERS }>();
        revokes(sharing, rounds).await?;
    }
    Ok(())
}
