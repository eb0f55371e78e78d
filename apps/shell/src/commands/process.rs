//! `spawn`, `ps`, `kill`, `NAME check`, `test`: asked of the spawn service.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::iface::cores::CoreState;
use proto::iface::spawn::{
    Place, ProcessState, Restart, ServiceState, USUAL_LIMIT, Usage, join_words,
};
use proto::{CallError, Pid, ServiceError};
use shell::{ArgError, Args};

use super::{time_unit, usage};
use crate::session::{Session, at_index, of_spawn};

/// A process as listed.
struct Listed {
    pid: Pid,
    state: ProcessState,
    used_ns: u64,
    /// Name and arguments.
    words: Vec<String>,
}

impl Listed {
    fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
    fn has_ended(&self) -> bool {
        matches!(self.state, ProcessState::Exited | ProcessState::Faulted)
    }
    fn is_live(&self) -> bool {
        matches!(self.state, ProcessState::Starting | ProcessState::Running)
    }
}

async fn processes(session: &Session) -> Result<Vec<Listed>, String> {
    let mut found = Vec::new();
    let mut after = Pid::default();
    loop {
        let next = session.ask_spawn(async |spawn| spawn.next(after).await);
        match next.await {
            Ok(p) => {
                let text = String::from_utf8_lossy(&p.words);
                after = p.pid;
                found.push(Listed {
                    pid: p.pid,
                    state: p.state,
                    used_ns: p.used_ns,
                    words: text.split_terminator('\0').map(String::from).collect(),
                });
            }
            Err(e) if e.is(ServiceError::End) => return Ok(found),
            Err(e) => return Err(of_spawn(e)),
        }
    }
}

/// `ps`.
pub async fn list(session: &mut Session, args: Args) -> Result<(), String> {
    args.finish().map_err(usage)?;
    let mut text = format!(
        "{:<8} {:<9} {:>10} {:>10} {:>11} {:>8}  {}\n",
        "process",
        "state",
        "memory",
        "limit",
        time_unit(),
        "restarts",
        "program"
    );
    for p in processes(session).await? {
        let state = match p.state {
            ProcessState::Starting => "starting",
            ProcessState::Running => "running",
            ProcessState::Exited => "exited",
            ProcessState::Faulted => "faulted",
            ProcessState::Killed => "killed",
        };
        let pid = p.pid.to_string();
        let ms = p.used_ns / 1_000_000;
        let words = p.words.join(" ");
        let restarts = restarts(session, &p).await?;
        let (held, limit) = usage_of(session, &p).await?;
        text += &format!(
            "{pid:<8} {state:<9} {held:>10} {limit:>10} {ms:>11} {restarts:>8}  {words}\n"
        );
    }
    // Without the device manager there is still this list.
    let absent = absent(session).await;
    for line in absent.iter().flatten() {
        text += &format!("{line}: its processes wait\n");
    }
    session.say(&text).await;
    absent.map(drop)
}

/// What a process holds and may hold at most, as text.
async fn usage_of(session: &Session, p: &Listed) -> Result<(String, String), String> {
    let none = || (String::from("0"), String::from("-"));
    if !p.is_live() {
        return Ok(none());
    }
    let asked = session.ask_spawn(async |spawn| spawn.usage(p.pid).await);
    match asked.await {
        Ok(Usage { held, limit, .. }) => {
            let limit = match limit {
                0 => String::from("-"),
                bytes => bytes.to_string(),
            };
            Ok((held.to_string(), limit))
        }
        // It ended meanwhile.
        Err(CallError::Refused(_)) => Ok(none()),
        Err(e) => Err(of_spawn(e)),
    }
}

/// How often a process was started again, and whether that was given up; of one that nobody
/// supervises a dash.
async fn restarts(session: &Session, p: &Listed) -> Result<String, String> {
    let asked = session.ask_spawn(async |spawn| spawn.supervision(p.pid).await);
    match asked.await {
        Ok(s) if s.state == ServiceState::GivenUp => Ok(format!("{}, no more", s.restarts)),
        Ok(s) => Ok(s.restarts.to_string()),
        Err(CallError::Refused(_)) => Ok("-".to_string()),
        Err(e) => Err(of_spawn(e)),
    }
}

/// OSnodes that do not run, a sentence for each.
async fn absent(session: &Session) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let cores = session.cores().await?;
    for index in 0.. {
        let Some(o) = at_index(cores.osnode_at(index).await)? else {
            break;
        };
        if !o.attached {
            let (osnode, core) = (o.osnode, o.core);
            found.push(format!("o{osnode} does not run, was on core {core}"));
        }
    }
    Ok(found)
}

/// The OSnode that runs on a core.
async fn osnode_on(session: &Session, core: u32) -> Result<u64, String> {
    let found = session.cores().await?.core_at(core).await;
    match at_index(found)? {
        Some(c) if c.state == CoreState::Running && c.osnode != 0 => Ok(c.osnode),
        Some(_) => Err(format!(
            "core {core} runs no OSnode: core start {core} gives it one"
        )),
        None => Err(format!("there is no core {core}")),
    }
}

/// The OSnode that `--on N` names, if it is there.
async fn place(session: &Session, args: &mut Args) -> Result<Option<u64>, String> {
    let Some(text) = args.option("--on", "a core's number").map_err(usage)? else {
        return Ok(None);
    };
    let core = text.parse();
    let core = core.map_err(|_| format!("\"{text}\" is not a core's number"))?;
    Ok(Some(osnode_on(session, core).await?))
}

/// `--restart POLICY`.
fn restart(args: &mut Args) -> Result<Restart, String> {
    let what = "never, on-failure or always";
    match args.option("--restart", what).map_err(usage)?.as_deref() {
        Some("never") | None => Ok(Restart::Never),
        Some("on-failure") => Ok(Restart::OnFailure),
        Some("always") => Ok(Restart::Always),
        Some(other) => Err(usage(ArgError::Bad(what, other.to_string()))),
    }
}

/// `spawn NAME [ARGS] [--on N] [--memory BYTES] [--restart POLICY]`.
pub async fn spawn(session: &mut Session, mut args: Args) -> Result<(), String> {
    let osnode = place(session, &mut args).await?;
    let restart = restart(&mut args)?;
    let limit = limit(&mut args)?;
    let name = args.next("a program's name").map_err(usage)?;
    let mut words = Vec::from([name]);
    words.extend(args.rest());
    let (pid, core) = start(session, osnode, &words, restart, limit).await?;
    let line = format!("{} is {pid} on core {core}\n", words[0]);
    session.say(&line).await;
    Ok(())
}

/// The most memory that `--memory` names; 0 = no limit.
fn limit(args: &mut Args) -> Result<u64, String> {
    let what = "a number of bytes like 4194304, 4096K or 4M";
    let text = args.option("--memory", what).map_err(usage)?;
    let Some(text) = text else { return Ok(0) };
    let bytes = shell::parse_bytes(&text).filter(|b| *b > 0);
    bytes.ok_or_else(|| usage(ArgError::Bad(what, text)))
}

/// Starts a program; its process and core.
async fn start(
    session: &Session,
    osnode: Option<u64>,
    words: &[String],
    restart: Restart,
    memory: u64,
) -> Result<(Pid, u32), String> {
    let (place, number) = match osnode {
        Some(o) => (Place::Osnode, o),
        None => (Place::Here, 0),
    };
    let (spawn, words) = (session.spawn().await?, join_words(words));
    let started = match restart {
        Restart::Never => spawn.spawn(place, number, memory, &words).await,
        restart => {
            let limit = USUAL_LIMIT;
            let started = spawn.spawn_supervised(place, number, memory, restart, limit, &words);
            started.await
        }
    };
    let s = started.map_err(of_spawn)?;
    Ok((s.pid, s.core))
}

/// Live processes that a word names: `o1.3`, or a program's name.
async fn live(session: &Session, word: &str) -> Result<Vec<Listed>, String> {
    let all = processes(session).await?;
    let is_it = |p: &Listed| p.pid.to_string() == word || p.name() == word;
    Ok(all
        .into_iter()
        .filter(|p| p.is_live() && is_it(p))
        .collect())
}

/// As [`live`], at least one.
async fn named(session: &Session, word: &str) -> Result<Vec<Listed>, String> {
    let found = live(session, word).await?;
    if found.is_empty() {
        let mut text = format!("no process \"{word}\" runs: ps lists them");
        for line in absent(session).await? {
            text += &format!("; {line}");
        }
        return Err(text);
    }
    Ok(found)
}

/// `kill PID`, `kill NAME --all`, with `--for-good` one that is supervised, too.
pub async fn kill(session: &mut Session, mut args: Args) -> Result<(), String> {
    let all = args.flag("--all");
    let for_good = args.flag("--for-good");
    let word = args.next("a process").map_err(usage)?;
    args.finish().map_err(usage)?;
    let mut found = named(session, &word).await?;
    if !all && found.len() > 1 {
        return Err(format!(
            "{} processes are called {word}: name one as o1.3, or all of them with --all",
            found.len()
        ));
    }
    let first: Vec<Pid> = found.iter().map(|p| p.pid).collect();
    // One that ends may end others of its name: the list is made anew after each. What was started
    // again meanwhile is not meant.
    while let Some(one) = found.iter().find(|p| first.contains(&p.pid)) {
        if for_good {
            // One that nobody supervises ends for good anyway.
            let asked = session.ask_spawn(async |spawn| spawn.release(one.pid).await);
            if let Err(CallError::Peer(e)) = asked.await {
                return Err(of_spawn(e.into()));
            }
        }
        end(session, one, all).await?;
        found = match all {
            true => live(session, &word).await?,
            false => Vec::new(),
        };
    }
    Ok(())
}

/// Ends a process. Of several, one may have ended by itself meanwhile, because others of them did.
async fn end(session: &mut Session, one: &Listed, of_several: bool) -> Result<(), String> {
    let asked = session.ask_spawn(async |spawn| spawn.kill(one.pid).await);
    let how = match asked.await {
        Ok(_) => "ended",
        Err(e) if of_several && e.is(ServiceError::NotFound) => "had ended",
        Err(e) => return Err(of_spawn(e)),
    };
    let line = format!("{} ({}) {how}\n", one.pid, one.name());
    session.say(&line).await;
    Ok(())
}

/// `NAME check [--inside N]`: every process of that name, on every OSnode; all of them together
/// must have counted N kernel changes inside their long operations.
pub async fn check(session: &mut Session, name: &str, mut args: Args) -> Result<(), String> {
    let what = "a number of kernel changes";
    let wanted = match args.option("--inside", what).map_err(usage)? {
        Some(text) => Some(text.parse().map_err(|_| usage(ArgError::Bad(what, text)))?),
        None => None,
    };
    args.finish().map_err(usage)?;
    let (mut bad, mut counted) = (Vec::new(), 0u64);
    // One that ended by itself was not there to be asked: that is no clean bill.
    for p in processes(session)
        .await?
        .iter()
        .filter(|p| p.has_ended() && p.name() == name)
    {
        session
            .say(&format!("{name} {}: it has ended\n", p.pid))
            .await;
        bad.push(p.pid.to_string());
    }
    for p in named(session, name).await? {
        let pid = p.pid;
        let asked = session.ask_spawn(async |spawn| spawn.check(pid, b"").await);
        let (ok, text) = match asked.await {
            Ok(c) => {
                counted += c.inside;
                (c.ok, String::from_utf8_lossy(&c.text).into_owned())
            }
            Err(CallError::Refused(r)) => (false, r.to_string()),
            Err(e) => return Err(of_spawn(e)),
        };
        let line = format!("{name} {pid}: {text}\n");
        session.say(&line).await;
        if !ok {
            bad.push(pid.to_string());
        }
    }
    if !bad.is_empty() {
        return Err(format!("{name} {} is not well", bad.join(", ")));
    }
    match wanted {
        Some(least) if counted < least => Err(format!(
            "{counted} kernel changes fell inside long operations of {name}, not {least}"
        )),
        _ => Ok(()),
    }
}

/// Prefix of test programs.
const TEST: &str = "t-";

/// `test NAME [--on N]`, `test all [--on N]`.
pub async fn test(session: &mut Session, mut args: Args) -> Result<(), String> {
    let osnode = place(session, &mut args).await?;
    let name = args.next("a test's name, or all").map_err(usage)?;
    if name != "all" {
        let mut words = Vec::from([format!("{TEST}{name}")]);
        words.extend(args.rest());
        return run_test(session, osnode, &words).await;
    }
    args.finish().map_err(usage)?;
    let files = session.list_files("bin").await?;
    let names = files.into_iter().map(|(n, _)| n);
    let tests: Vec<String> = names.filter(|n| n.starts_with(TEST)).collect();
    if tests.is_empty() {
        return Err("the boot archive has no test programs".into());
    }
    let mut failed = Vec::new();
    for test in tests {
        if let Err(e) = run_test(session, osnode, core::slice::from_ref(&test)).await {
            failed.push(e);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("; "))
    }
}

/// Runs a program of the system here; fails if it does.
pub async fn run_to_end(session: &mut Session, program: &str) -> Result<(), String> {
    run_test(session, None, &[program.to_string()]).await
}

async fn run_test(
    session: &mut Session,
    osnode: Option<u64>,
    words: &[String],
) -> Result<(), String> {
    let (pid, _) = start(session, osnode, words, Restart::Never, 0).await?;
    session.foreground = Some(pid);
    let asked = session.ask_spawn(async |spawn| spawn.wait(pid).await);
    let end = asked.await.map_err(of_spawn);
    session.foreground = None;
    let end = end?;
    match (end.state, end.status) {
        (ProcessState::Exited, 0) => Ok(()),
        (ProcessState::Exited, status) => Err(format!("{} ended with status {status}", words[0])),
        _ => {
            let report = String::from_utf8_lossy(&end.report);
            Err(format!("{} did not end by itself: {report}", words[0]))
        }
    }
}
