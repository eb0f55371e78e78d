//! `registry`: records, watches and locks, as `docs/book/registry.md` describes them.
//!
//! Watches and locks belong to the shell's connection: a registry that was started anew knows
//! nothing of them.

use alloc::format;
use alloc::string::{String, ToString};

use proto::iface::registry::{Event, EventKind, Registry, SetMode, WatchOn};
use proto::{CallError, ServiceError};
use rt::chan;
use rt::time;
use shell::{ArgError, Args};

use super::usage;
use crate::session::{Session, of_registry};

/// How long a command waits if it is not told (ms).
const PATIENCE_MS: u64 = 5_000;
/// How often it is looked for events (ns).
const LOOK_NS: u64 = 5_000_000;

/// The subcommands.
pub async fn command(session: &mut Session, mut args: Args) -> Result<(), String> {
    let what = args
        .next("get, set, del, query, watch, unwatch, events, wait, lock or unlock")
        .map_err(usage)?;
    match what.as_str() {
        "get" => get(session, args).await,
        "set" => set(session, args).await,
        "del" => delete(session, args).await,
        "query" => query(session, args).await,
        "watch" => watch(session, args).await,
        "unwatch" => unwatch(session, args).await,
        "events" => events(session, args).await,
        "wait" => wait(session, args).await,
        "lock" => lock(session, args).await,
        "unlock" => {
            let name = last(args, "a lock's name")?;
            let given_back = session.registry().await?.unlock(name.as_bytes()).await;
            given_back.map_err(of_registry)?;
            session.say(&format!("lock {name} is given back\n")).await;
            Ok(())
        }
        _ => Err(format!(
            "\"{what}\" is not get, set, del, query, watch, unwatch, events, wait, lock or unlock"
        )),
    }
}

/// The one argument that is left.
fn last(mut args: Args, what: &'static str) -> Result<String, String> {
    let word = args.next(what).map_err(usage)?;
    args.finish().map_err(usage)?;
    Ok(word)
}

fn number(args: &mut Args, option: &str) -> Result<Option<u64>, String> {
    let what = "a number";
    let Some(text) = args.option(option, what).map_err(usage)? else {
        return Ok(None);
    };
    let number = text.parse().map_err(|_| usage(ArgError::Bad(what, text)))?;
    Ok(Some(number))
}

/// `--within MS`, as a time from now on.
fn within(args: &mut Args, usual_ms: u64) -> Result<u64, String> {
    let ms = number(args, "--within")?.unwrap_or(usual_ms);
    Ok(time::system_ns().saturating_add(ms.saturating_mul(1_000_000)))
}

fn text(blob: &[u8]) -> String {
    String::from_utf8_lossy(blob).into_owned()
}

async fn get(session: &mut Session, args: Args) -> Result<(), String> {
    let name = last(args, "a record's name")?;
    let found = session.registry().await?.get(name.as_bytes()).await;
    let found = found.map_err(of_registry)?;
    let (record, version) = (text(&found.record), found.version);
    let line = format!("{record} (version {version})\n");
    session.say(&line).await;
    Ok(())
}

async fn set(session: &mut Session, mut args: Args) -> Result<(), String> {
    let mode = match (args.flag("--new"), args.flag("--merge")) {
        (false, false) => SetMode::Replace,
        (true, false) => SetMode::Create,
        (false, true) => SetMode::Merge,
        (true, true) => return Err("--new and --merge do not go together".into()),
    };
    let (ephemeral, sequential) = (args.flag("--ephemeral"), args.flag("--sequential"));
    let version = number(&mut args, "--version")?.unwrap_or(0);
    let record = last(args, "a record in quotes, as in 'job.1 { state: ready }'")?;
    let registry = session.registry().await?;
    let set = registry.set(mode, ephemeral, sequential, version, record.as_bytes());
    let stored = set.await.map_err(of_registry)?;
    let (name, version) = (text(&stored.name), stored.version);
    session
        .say(&format!("{name} has version {version}\n"))
        .await;
    Ok(())
}

async fn delete(session: &mut Session, args: Args) -> Result<(), String> {
    let query = last(args, "a name or a query in quotes")?;
    let deleted = session.registry().await?.delete(query.as_bytes()).await;
    let count = deleted.map_err(of_registry)?.count;
    session.say(&format!("{count} deleted\n")).await;
    match count {
        0 => Err(format!("nothing fits {query}")),
        _ => Ok(()),
    }
}

async fn query(session: &mut Session, mut args: Args) -> Result<(), String> {
    let words = args.rest();
    let query = match words.as_slice() {
        [] => "*",
        [query] => query.as_str(),
        _ => return Err("the query must stand in quotes, as in 'job.* { size > 3 }'".into()),
    };
    let (mut after, mut total) = (None::<String>, 0);
    loop {
        let page = match &after {
            Some(name) => format!("{query}\0{name}"),
            None => query.to_string(),
        };
        let found = session.registry().await?.query(page.as_bytes()).await;
        let found = found.map_err(of_registry)?;
        let (count, more) = (found.count, found.more);
        let lines = text(&found.records);
        session.say(&lines).await;
        total += count;
        let name = lines.lines().last().and_then(|l| l.split(' ').next());
        match name.filter(|_| more) {
            Some(name) => after = Some(name.to_string()),
            None => break,
        }
    }
    let unit = if total == 1 { "record" } else { "records" };
    session.say(&format!("{total} {unit}\n")).await;
    Ok(())
}

async fn watch(session: &mut Session, mut args: Args) -> Result<(), String> {
    let what = "set, delete or both";
    let on = args.option("--on", what).map_err(usage)?;
    let on = match on.as_deref() {
        Some("set") => WatchOn::Set,
        Some("delete") => WatchOn::Delete,
        Some("both") | None => WatchOn::Both,
        Some(other) => return Err(usage(ArgError::Bad(what, other.to_string()))),
    };
    let (once, present) = (args.flag("--once"), args.flag("--present"));
    let query = last(args, "a name or a query in quotes")?;
    let registry = session.registry().await?;
    let watching = registry.watch(on, once, present, query.as_bytes()).await;
    let watch = watching.map_err(of_registry)?.watch;
    session.say(&format!("watch {watch}\n")).await;
    Ok(())
}

async fn unwatch(session: &mut Session, args: Args) -> Result<(), String> {
    let text = last(args, "a watch's number")?;
    let watch = text.parse();
    let watch = watch.map_err(|_| format!("\"{text}\" is not a watch's number"))?;
    let ended = session.registry().await?.unwatch(watch).await;
    ended.map_err(of_registry)?;
    session.say(&format!("watch {watch} is ended\n")).await;
    Ok(())
}

fn line(event: &Event) -> String {
    let (watch, version, record) = (event.watch, event.version, text(&event.record));
    match event.kind {
        EventKind::Set => format!("watch {watch}: set {record}\n"),
        EventKind::Delete => format!("watch {watch}: deleted {record}\n"),
        EventKind::Leave => format!("watch {watch}: fits no longer {record}\n"),
        EventKind::Lost => format!("{version} events were lost: query what is there\n"),
    }
}

/// Prints what came; waits for the first event only.
async fn events(session: &mut Session, mut args: Args) -> Result<(), String> {
    let until = within(&mut args, 0)?;
    args.finish().map_err(usage)?;
    let mut found = 0u64;
    loop {
        match session.registry().await?.next(true).await {
            Ok(event) => {
                session.say(&line(&event)).await;
                found += 1;
            }
            Err(e) if e.is(ServiceError::NotFound) => {
                if found > 0 || time::system_ns() >= until {
                    break;
                }
                time::sleep(LOOK_NS).await;
            }
            // A watch that told once was the last one.
            Err(e) if e.is(ServiceError::End) && found > 0 => break,
            Err(e) => return Err(of_registry(e)),
        }
    }
    if found == 0 {
        session.say("no events\n").await;
    }
    Ok(())
}

/// Waits until a record fits. A registry that ends meanwhile is asked anew when it is back.
async fn wait(session: &mut Session, mut args: Args) -> Result<(), String> {
    let until = within(&mut args, PATIENCE_MS)?;
    let query = last(args, "a name or a query in quotes")?;
    loop {
        match time::system_timeout(until, fitting(&query)).await {
            Some(Ok(Some(record))) => {
                session.say(&format!("{record}\n")).await;
                return Ok(());
            }
            Some(Ok(None)) => {}
            Some(Err(e)) => return Err(e),
            None => return Err(format!("nothing fits {query} in time")),
        }
    }
}

/// A record that fits, now or later; none when the registry ends.
async fn fitting(query: &str) -> Result<Option<String>, String> {
    // A connection of its own: its events are no others' and it goes with the wait.
    let Ok(registry) = chan::connect::<Registry>("registry").await else {
        return Ok(None);
    };
    let watched = registry.watch(WatchOn::Set, true, true, query.as_bytes());
    let event = async {
        watched.await?;
        registry.next(false).await
    };
    match event.await {
        Ok(event) => Ok(Some(text(&event.record))),
        Err(CallError::Refused(r)) => Err(r.to_string()),
        Err(CallError::Peer(_)) => Ok(None),
    }
}

async fn lock(session: &mut Session, mut args: Args) -> Result<(), String> {
    let until = within(&mut args, PATIENCE_MS)?;
    let asked = number(&mut args, "--places")?.unwrap_or(1);
    let places = u32::try_from(asked);
    let places = places.map_err(|_| format!("{asked} places are too many for a lock"))?;
    let at_once = args.flag("--at-once");
    let name = last(args, "a lock's name")?;
    let registry = session.registry().await?;
    let locked = registry.lock(places, at_once, name.as_bytes());
    match time::system_timeout(until, locked).await {
        Some(done) => {
            done.map_err(of_registry)?;
            session.say(&format!("lock {name} is held\n")).await;
            Ok(())
        }
        None => {
            // Else its turn would come when nobody looks for it any more.
            registry
                .unlock(name.as_bytes())
                .await
                .map_err(of_registry)?;
            Err(format!("lock {name} was not free in time"))
        }
    }
}
