//! `registry`: records, watches and locks, as `docs/book/registry.md` describes them.
//!
//! Watches and locks belong to the shell's connection: a registry that was started anew knows
//! nothing of them.

use alloc::format;
use alloc::string::{String, ToString};

use proto::ServiceError;
use proto::iface::registry::{EventKind, RegistryReply, RegistryRequest, SetMode, WatchOn};
use rt::chan::{Answer, Attach, Client};
use rt::time;
use shell::{ArgError, Args};

use super::usage;
use crate::session::{Session, ask, ask_client, text_of};

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
            request(session, &RegistryRequest::Unlock {}, &name).await?;
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

/// Asks; a refusal is an error.
async fn request(
    session: &Session,
    request: &RegistryRequest,
    text: &str,
) -> Result<Answer<RegistryReply>, String> {
    let a = ask::<RegistryReply>(&session.registry, request, text.as_bytes()).await?;
    accepted(a)
}

fn accepted(a: Answer<RegistryReply>) -> Result<Answer<RegistryReply>, String> {
    match a.message {
        RegistryReply::Refused { error } => Err(text_of(&a.blob, error)),
        _ => Ok(a),
    }
}

fn text(a: &Answer<RegistryReply>) -> String {
    String::from_utf8_lossy(&a.blob).into_owned()
}

fn strange() -> String {
    "the registry's answer is not understood".into()
}

async fn get(session: &mut Session, args: Args) -> Result<(), String> {
    let name = last(args, "a record's name")?;
    let a = request(session, &RegistryRequest::Get {}, &name).await?;
    let RegistryReply::Record { version } = a.message else {
        return Err(strange());
    };
    session
        .say(&format!("{} (version {version})\n", text(&a)))
        .await;
    Ok(())
}

async fn set(session: &mut Session, mut args: Args) -> Result<(), String> {
    let mode = match (args.flag("--new"), args.flag("--merge")) {
        (false, false) => SetMode::Replace,
        (true, false) => SetMode::Create,
        (false, true) => SetMode::Merge,
        (true, true) => return Err("--new and --merge do not go together".into()),
    };
    let set = RegistryRequest::Set {
        mode,
        ephemeral: args.flag("--ephemeral"),
        sequential: args.flag("--sequential"),
        version: number(&mut args, "--version")?.unwrap_or(0),
    };
    let record = last(args, "a record in quotes, as in 'job.1 { state: ready }'")?;
    let a = request(session, &set, &record).await?;
    let RegistryReply::Stored { version } = a.message else {
        return Err(strange());
    };
    session
        .say(&format!("{} has version {version}\n", text(&a)))
        .await;
    Ok(())
}

async fn delete(session: &mut Session, args: Args) -> Result<(), String> {
    let query = last(args, "a name or a query in quotes")?;
    let a = request(session, &RegistryRequest::Delete {}, &query).await?;
    let RegistryReply::Deleted { count } = a.message else {
        return Err(strange());
    };
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
        let a = request(session, &RegistryRequest::Query {}, &page).await?;
        let RegistryReply::Records { count, more } = a.message else {
            return Err(strange());
        };
        let lines = text(&a);
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
    let watch = RegistryRequest::Watch {
        on,
        once: args.flag("--once"),
        present: args.flag("--present"),
    };
    let query = last(args, "a name or a query in quotes")?;
    let a = request(session, &watch, &query).await?;
    let RegistryReply::Watching { watch } = a.message else {
        return Err(strange());
    };
    session.say(&format!("watch {watch}\n")).await;
    Ok(())
}

async fn unwatch(session: &mut Session, args: Args) -> Result<(), String> {
    let text = last(args, "a watch's number")?;
    let watch = text.parse();
    let watch = watch.map_err(|_| format!("\"{text}\" is not a watch's number"))?;
    let unwatch = RegistryRequest::Unwatch { watch };
    request(session, &unwatch, "").await?;
    Ok(())
}

fn line(a: &Answer<RegistryReply>) -> Result<String, String> {
    let RegistryReply::Event {
        watch,
        kind,
        version,
    } = a.message
    else {
        return Err(strange());
    };
    let record = text(a);
    Ok(match kind {
        EventKind::Set => format!("watch {watch}: set {record}\n"),
        EventKind::Delete => format!("watch {watch}: deleted {record}\n"),
        EventKind::Leave => format!("watch {watch}: fits no longer {record}\n"),
        EventKind::Lost => format!("{version} events were lost: query what is there\n"),
    })
}

/// Prints what came; waits for the first event only.
async fn events(session: &mut Session, mut args: Args) -> Result<(), String> {
    let until = within(&mut args, 0)?;
    args.finish().map_err(usage)?;
    let mut found = 0u64;
    loop {
        let next = RegistryRequest::Next { at_once: true };
        let a = ask::<RegistryReply>(&session.registry, &next, &[]).await?;
        match a.message {
            RegistryReply::Refused {
                error: ServiceError::NotFound,
            } if found == 0 && time::system_ns() < until => time::sleep(LOOK_NS).await,
            RegistryReply::Refused {
                error: ServiceError::NotFound,
            } => break,
            // A watch that told once was the last one.
            RegistryReply::Refused {
                error: ServiceError::End,
            } if found > 0 => break,
            _ => {
                let shown = line(&accepted(a)?)?;
                session.say(&shown).await;
                found += 1;
            }
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
    let Ok(client) = Client::lookup("registry").await else {
        return Ok(None);
    };
    let watch = RegistryRequest::Watch {
        on: WatchOn::Set,
        once: true,
        present: true,
    };
    let with = Attach::blob(query.as_bytes());
    let Ok(a) = client.request::<_, RegistryReply>(&watch, with).await else {
        return Ok(None);
    };
    accepted(a)?;
    let next = RegistryRequest::Next { at_once: false };
    match ask_client::<RegistryReply>(&client, &next, &[]).await {
        Ok(a) => accepted(a).map(|a| Some(text(&a))),
        Err(_) => Ok(None),
    }
}

async fn lock(session: &mut Session, mut args: Args) -> Result<(), String> {
    let until = within(&mut args, PATIENCE_MS)?;
    let places = number(&mut args, "--places")?.unwrap_or(1);
    let lock = RegistryRequest::Lock {
        places: u32::try_from(places).unwrap_or(u32::MAX),
        at_once: args.flag("--at-once"),
    };
    let name = last(args, "a lock's name")?;
    match time::system_timeout(until, request(session, &lock, &name)).await {
        Some(done) => {
            done?;
            session.say(&format!("lock {name} is held\n")).await;
            Ok(())
        }
        None => {
            // Else its turn would come when nobody looks for it any more.
            request(session, &RegistryRequest::Unlock {}, &name).await?;
            Err(format!("lock {name} was not free in time"))
        }
    }
}
