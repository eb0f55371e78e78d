//! `skb`: questions to the knowledge base, facts and rules for it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::iface::names::{NamesReply, NamesRequest};
use proto::iface::skb::{SkbReply, SkbRequest};
use proto::{Name, PeerError};
use rt::chan::{Answer, Attach, Client};
use rt::time;
use shell::Args;

use super::usage;
use crate::session::{Session, ask_client as ask, text_of};

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
    let request = match what.as_str() {
        "query" => {
            let base = connect().await?;
            return query(session, &base, &text).await;
        }
        "assert" => SkbRequest::Assert {},
        "withdraw" => SkbRequest::Withdraw {},
        "load" => SkbRequest::Load {},
        _ => {
            return Err(format!(
                "\"{what}\" is not query, assert, withdraw, load or measure"
            ));
        }
    };
    let base = connect().await?;
    let a = ask::<SkbReply>(&base, &request, text.as_bytes()).await?;
    match a.message {
        SkbReply::Changed {
            asserted,
            withdrawn,
        } => {
            let line = format!("{asserted} facts more, {withdrawn} facts less\n");
            session.say(&line).await;
            Ok(())
        }
        SkbReply::Refused { error } => Err(text_of(&a.blob, error)),
        _ => Err("the knowledge base's answer is not understood".into()),
    }
}

/// The knowledge base, if it runs.
async fn connect() -> Result<Client, String> {
    let name = Name::new("skb").ok_or("its name is too long")?;
    let names = Client::names().await.map_err(|e| e.to_string())?;
    let until = time::now_ns().saturating_add(PATIENCE_NS);
    loop {
        let request = NamesRequest::Lookup { name, wait: false };
        let a = names.request(&request, Attach::NONE).await;
        let a: Answer<NamesReply> = a.map_err(|e| e.to_string())?;
        if let (NamesReply::Found {}, Some(endpoint)) = (a.message, a.cap) {
            match Client::bind(endpoint.addr()).await {
                Err(PeerError::Gone) => {}
                bound => return bound.map_err(|e| e.to_string()),
            }
        }
        // Nobody has the name, or one that ended: another one may be about to take it.
        if time::now_ns() >= until {
            return Err("the knowledge base does not run: spawn skb starts it".into());
        }
        time::sleep(AGAIN_NS).await;
    }
}

async fn query(session: &mut Session, base: &Client, text: &str) -> Result<(), String> {
    let mut found: Vec<u8> = Vec::new();
    let mut first = None;
    loop {
        let offset = found.len() as u64;
        let a = ask::<SkbReply>(base, &SkbRequest::Ask { offset }, text.as_bytes()).await?;
        let (rows, bytes) = match a.message {
            SkbReply::Answer { rows, bytes } => (rows, bytes),
            SkbReply::Refused { error } => return Err(text_of(&a.blob, error)),
            _ => return Err("the knowledge base's answer is not understood".into()),
        };
        if *first.get_or_insert((rows, bytes)) != (rows, bytes) {
            return Err("facts changed during the answer: ask again".into());
        }
        found.extend_from_slice(&a.blob);
        if found.len() as u64 >= bytes || a.blob.is_empty() {
            let lines = String::from_utf8_lossy(&found);
            let unit = if rows == 1 { "row" } else { "rows" };
            session.say(lines.trim_start_matches('\n')).await;
            session.say(&format!("{rows} {unit}\n")).await;
            return Ok(());
        }
    }
}
