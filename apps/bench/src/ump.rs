//! One way over UMP: 64 bytes from a core to another that polls.

use abi::marker;
use alloc::format;
use alloc::string::{String, ToString};

use proto::iface::spawn::Place;
use proto::ump::Line;
use rt::chan::{Attach, Client, Server};
use rt::time::spin_pause;
use rt::ump::UmpChannel;
use rt::{env, time};

use crate::peer::Peer;

/// Core of the peer: its OSnode must run there.
const CORE: u64 = 1;
/// A message that takes longer than this is lost.
const PATIENCE_NS: u64 = 2_000_000_000;

proto::messages! {
    /// What the two sides say before they measure.
    pub enum BenchRequest: 101 {
        /// From now on the channel carries plain lines.
        Begin = 1 {
            /// Number of messages to come.
            count: u64,
        },
    }
}

/// Waits for a line; the instructions of the loop count as waiting.
#[inline(always)]
fn next(channel: &UmpChannel) -> Result<Line, String> {
    rt::marker::<{ marker::WAIT_BEGIN }>();
    let late = time::system_ns() + PATIENCE_NS;
    while !channel.has_message() {
        spin_pause();
        if time::system_ns() > late {
            rt::marker::<{ marker::WAIT_END }>();
            return Err("no message came in time".to_string());
        }
    }
    rt::marker::<{ marker::WAIT_END }>();
    match channel.try_receive() {
        Ok(Some(line)) => Ok(line),
        Ok(None) => Err("a message was announced but not there".to_string()),
        Err(e) => Err(format!("the channel failed: {e:?}")),
    }
}

#[inline(always)]
fn send(channel: &UmpChannel, number: u64) -> Result<(), String> {
    let line = Line {
        words: [number, 1, 2, 3, 4, 5, 6],
        flags: 0,
    };
    channel
        .try_send(&line)
        .map_err(|e| format!("cannot send: {e:?}"))
}

/// Sends `n` messages to a peer on another core, each when the peer is ready for it.
pub async fn measure(n: usize) -> Result<(), String> {
    let name = format!("bench{}", env::pid());
    let count = n.to_string();
    let peer = Peer::start(Place::Core, CORE, &["bench", "ump-peer", &name, &count]).await?;
    let result = exchange(&peer, &name, n).await;
    peer.end().await;
    result
}

async fn exchange(peer: &Peer, name: &str, n: usize) -> Result<(), String> {
    let client = Client::lookup_on(peer.pid.osnode, name)
        .await
        .map_err(|e| e.to_string())?;
    let channel = client.channel().ok_or("the peer is on the same OSnode")?;
    let begin = BenchRequest::Begin { count: n as u64 };
    client
        .notice(&begin, Attach::NONE)
        .await
        .map_err(|e| e.to_string())?;
    for i in 0..n as u64 {
        next(&channel)?;
        rt::marker::<{ marker::UMP_SEND }>();
        send(&channel, i)?;
    }
    Ok(())
}

/// Registers under `name`; says ready and takes a message, `n` times.
pub async fn serve(name: &str, n: usize) -> Result<(), String> {
    let server = Server::open().map_err(|e| e.message().to_string())?;
    server.register(name).await.map_err(|e| e.to_string())?;
    let request = server.next().await;
    match request.decode() {
        Ok(BenchRequest::Begin { count }) if count == n as u64 => {}
        _ => return Err("a wrong request came".to_string()),
    }
    let channel = server
        .channels()
        .pop()
        .ok_or("the asker is on the same OSnode")?;
    for i in 0..n as u64 {
        send(&channel, i)?;
        let line = next(&channel)?;
        rt::marker::<{ marker::UMP_RECEIVE }>();
        if line.words[0] != i {
            return Err(format!("message {} came instead of {i}", line.words[0]));
        }
    }
    Ok(())
}
