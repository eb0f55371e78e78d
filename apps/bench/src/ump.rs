//! Over UMP: 64 bytes one way from a core to another that polls; there and back while both sleep.

use abi::marker;
use alloc::format;
use alloc::string::{String, ToString};

use proto::iface::spawn::Place;
use proto::ump::Line;
use rt::chan::{Attach, Client, Server};
use rt::time::spin_pause;
use rt::ump::UmpChannel;
use rt::{env, task, time};

use crate::peer::Peer;

/// Core of the peer: its OSnode must run there.
const CORE: u64 = 1;
/// Rest before a wake-up is measured: longer than both sides need to go to sleep.
const REST_NS: u64 = 2_000_000;
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
proto::messages! {
    /// The answer, for those who want one.
    pub enum BenchReply: 101 {
        /// The other side is ready.
        Begun = 0x8001 {},
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
    with_peer("ump-peer", n, |channel| {
        for i in 0..n as u64 {
            next(channel)?;
            rt::marker::<{ marker::UMP_SEND }>();
            send(channel, i)?;
        }
        Ok(())
    })
    .await
}

/// Sends `n` messages to a peer on another core, each when both sides sleep; the answer wakes the
/// sender.
pub async fn measure_wakeup(n: usize) -> Result<(), String> {
    with_peer("wake-peer", n, |channel| {
        for i in 0..n as u64 {
            task::block_on(time::sleep(REST_NS));
            rt::marker::<{ marker::WAKE_BEGIN }>();
            send(channel, i)?;
            let answer = channel.receive_blocking();
            rt::marker::<{ marker::WAKE_END }>();
            match answer {
                Ok(line) if line.words[0] == i => {}
                other => return Err(format!("{other:?} was answered to {i}")),
            }
        }
        Ok(())
    })
    .await
}

/// Has `exchange` done with a peer that plays `role`.
async fn with_peer(
    role: &str,
    n: usize,
    exchange: impl Fn(&UmpChannel) -> Result<(), String>,
) -> Result<(), String> {
    let name = format!("bench{}", env::pid());
    let count = n.to_string();
    let peer = Peer::start(Place::Core, CORE, &["bench", role, &name, &count]).await?;
    let result = begin(&peer, &name, n).await.and_then(|client| {
        let channel = client.channel().ok_or("the peer is on the same OSnode")?;
        exchange(&channel)
    });
    peer.end().await;
    result
}

async fn begin(peer: &Peer, name: &str, n: usize) -> Result<Client, String> {
    let client = Client::lookup_on(peer.pid.osnode, name)
        .await
        .map_err(|e| e.to_string())?;
    let begin = BenchRequest::Begin { count: n as u64 };
    client
        .notice(&begin, Attach::NONE)
        .await
        .map_err(|e| e.to_string())?;
    Ok(client)
}

/// Registers under `name`; says ready and takes a message, `n` times.
pub async fn serve(name: &str, n: usize) -> Result<(), String> {
    let (channel, _) = accept(name, n).await?;
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

/// Registers under `name`; sleeps until a message comes and sends it back, `n` times.
pub async fn serve_wakeup(name: &str, n: usize) -> Result<(), String> {
    let (channel, _) = accept(name, n).await?;
    for _ in 0..n {
        let line = channel.receive_blocking();
        let line = line.map_err(|e| format!("the channel failed: {e:?}"))?;
        send(&channel, line.words[0])?;
    }
    Ok(())
}

/// The channel of the one client that says how many messages come, and what it sent along.
pub async fn accept(name: &str, n: usize) -> Result<(UmpChannel, Option<rt::Capability>), String> {
    let server = Server::open().map_err(|e| e.message().to_string())?;
    server.register(name).await.map_err(|e| e.to_string())?;
    let mut request = server.next().await;
    match request.decode() {
        Ok(BenchRequest::Begin { count }) if count == n as u64 => {}
        _ => return Err("a wrong request came".to_string()),
    }
    let channel = server.channels().pop();
    let channel = channel.ok_or("the asker is on the same OSnode")?;
    let begun = request.answer(&BenchReply::Begun {}, Attach::NONE);
    begun.map_err(|e| e.to_string())?;
    Ok((channel, request.cap.take()))
}
