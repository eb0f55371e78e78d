//! `skb`: questions to the knowledge base, facts and rules for it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::iface::names::NamesClient;
use proto::iface::skb::{Skb, SkbClient};
use proto::{CallError, Interface, Name, PeerError};
use rt::chan::Client;
use rt::time;
use shell::Args;

use super::usage;
use crate::session::Session;

/// How long a knowledge base that was just started is waited for (ns).
const PATIENCE_NS: u64 = 5_000_000_000;
/// The program that measures latencies and tells them.
const MEASURE: &str = "latency";
/// How often (ns).
const AGAIN_NS: u64 = 10_000_000;

/// `skb query TEXT`, `skb assert TEXT`, `skb withdraw TEXT`, `skb load TEXT`, `skb measure`.
pub async fn command(session: &mut Session, mut args: Args) -> Result<(), String> {
    let what = args
        .next("query, assert, withdraw, load or measure")
        .map_err(usage)?;
    if what == "measure" {
        args.finish().map_err(usage)?;
        return super::process::run_to_end(session, MEASURE).await;
    }
    let text = args.next("a text in quotes").map_err(usage)?;
    args.finish().map_err(usage)?;
    let base = connect().await?;
    let text = text.as_bytes();
    let changed = match what.as_str() {
        "query" => return query(session, &base, text).await,
        "assert" => base.assert(text).await,
        "withdraw" => base.withdraw(text).await,
        "load" => base.load(text).await,
        _ => {
            return Err(format!(
                "\"{what}\" is not query, assert, withdraw, load or measure"
            ));
        }
    };
    let changed = changed.map_err(|e| e.to_string())?;
    let (more, less) = (changed.asserted, changed.withdrawn);
    let line = format!("{more} facts more, {less} facts less\n");
    session.say(&line).await;
    Ok(())
}

/// The knowledge base, if it runs.
async fn connect() -> Result<SkbClient<Client>, String> {
    let name = Name::new("skb").ok_or("its name is too long")?;
    let names = NamesClient(Client::names().await.map_err(|e| e.to_string())?);
    let until = time::now_ns().saturating_add(PATIENCE_NS);
    loop {
        match names.lookup(name, false).await {
            Ok(found) => match Client::bind_for(found.cap.addr(), Some(Skb::ID)).await {
                Err(PeerError::Gone) => {}
                bound => return bound.map(SkbClient).map_err(|e| e.to_string()),
            },
            Err(CallError::Refused(_)) => {}
            Err(CallError::Peer(e)) => return Err(e.to_string()),
        }
        // Nobody has the name, or one that ended: another one may be about to take it.
        if time::now_ns() >= until {
            return Err("the knowledge base does not run: spawn skb starts it".into());
        }
        time::sleep(AGAIN_NS).await;
    }
}

async fn query(session: &mut Session, base: &SkbClient<Client>, text: &[u8]) -> Result<(), String> {
    let mut found: Vec<u8> = Vec::new();
    let mut first = None;
    loop {
        let offset = found.len() as u64;
        let a = base.ask(offset, text).await.map_err(|e| e.to_string())?;
        let (rows, bytes) = (a.rows, a.bytes);
        if *first.get_or_insert((rows, bytes)) != (rows, bytes) {
            return Err("facts changed during the answer: ask again".into());
        }
        found.extend_from_slice(&a.text);
        if found.len() as u64 >= bytes || a.text.is_empty() {
            let lines = String::from_utf8_lossy(&found);
            let unit = if rows == 1 { "row" } else { "rows" };
            session.say(lines.trim_start_matches('\n')).await;
            session.say(&format!("{rows} {unit}\n")).await;
            return Ok(());
        }
    }
}
