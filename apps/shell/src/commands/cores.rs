//! `cores`, `core …`, `osnodes`, `log`: asked of the device manager; `members`: of the monitor.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::iface::cores::{CoreOp, CoreState, CoresClient, Done};
use proto::iface::system::MemberStatus;
use proto::{CallError, list};
use rt::chan::Client;
use rt::time;
use shell::{Args, parse_core_list, parse_ms};

use super::{time_unit, usage};
use crate::session::{Session, at_index, of_cores};

/// `cores`.
pub async fn list(session: &mut Session, args: Args) -> Result<(), String> {
    args.finish().map_err(usage)?;
    let mut text = format!(
        "{:<5} {:<9} {:<14} {:<10} {:<48} {}\n",
        "core", "state", "place", "kernel", "build", "OSnode"
    );
    let mut crashes = String::new();
    let cores = session.cores().await?;
    for index in 0.. {
        let Some(found) = at_index(cores.core_at(index).await)? else {
            break;
        };
        let (core, state, osnode) = (found.core, found.state, found.osnode);
        let blob = String::from_utf8_lossy(&found.text);
        let (place, words) = blob.split_once('\n').unwrap_or((&blob, ""));
        if state == CoreState::Crashed {
            crashes += &format!("core {core} crashed: {words}\n");
        }
        let (kernel, build) = match state {
            CoreState::Running => running_kernel(&cores, index).await?,
            _ => ("-".to_string(), "-".to_string()),
        };
        let osnode = match osnode {
            0 => "-".to_string(),
            o if state == CoreState::Running => format!("o{o}"),
            o => format!("o{o} (not running)"),
        };
        let state = state.word();
        text += &format!("{core:<5} {state:<9} {place:<14} {kernel:<10} {build:<48} {osnode}\n");
    }
    text += &crashes;
    session.say(&text).await;
    Ok(())
}

/// Name and build id that the kernel running on a core gives itself.
async fn running_kernel(
    cores: &CoresClient<Client>,
    index: u32,
) -> Result<(String, String), String> {
    let kernel = cores.kernel_at(index).await.map_err(of_cores)?;
    let build = String::from_utf8_lossy(&kernel.build).into_owned();
    Ok((kernel.name.to_string(), build))
}

/// `core start|stop|update|recover LIST`.
pub async fn operate(session: &mut Session, mut args: Args) -> Result<(), String> {
    let word = args
        .next("start, stop, update, recover, move or destroy")
        .map_err(usage)?;
    match word.as_str() {
        "move" => return move_osnode(session, args).await,
        "destroy" => return destroy(session, args).await,
        _ => {}
    }
    let op = match word.as_str() {
        "start" => CoreOp::Start,
        "stop" => CoreOp::Stop,
        "update" => CoreOp::Update,
        "recover" => CoreOp::Recover,
        _ => {
            return Err(format!(
                "\"{word}\" is not start, stop, update, recover, move or destroy"
            ));
        }
    };
    let (fresh, together) = (args.flag("--fresh"), args.flag("--together"));
    let kernel = args.option("--kernel", "a kernel's name").map_err(usage)?;
    let pause = args.option("--for", "milliseconds").map_err(usage)?;
    if let Some(pause) = pause {
        if op != CoreOp::Stop || fresh || together || kernel.is_some() {
            return Err(format!("--for goes with stop alone, not with {word}"));
        }
        return pause_core(session, args, &pause).await;
    }
    let list = args.next("a core's number").map_err(usage)?;
    args.finish().map_err(usage)?;
    if fresh && op != CoreOp::Start {
        return Err(format!("--fresh goes with start, not with {word}"));
    }
    if kernel.is_some() && op == CoreOp::Stop {
        return Err("--kernel does not go with stop".into());
    }
    let cores = parse_core_list(&list).map_err(usage)?;
    let mut kernel = kernel.unwrap_or_default().into_bytes();
    let manager = session.cores().await?;
    let done = match cores.as_slice() {
        [_] if together => return Err("--together goes with several cores".into()),
        [core] => manager.operate(op, *core, fresh, &kernel).await,
        several => {
            kernel.push(0);
            kernel.extend(several.iter().flat_map(|c| c.to_le_bytes()));
            manager.operate_all(op, fresh, &kernel).await
        }
    };
    let together_ns = say_done(session, done).await?;
    if together && together_ns == 0 {
        return Err("the cores were not between two kernels at the same time".into());
    }
    Ok(())
}

/// `core destroy N`.
async fn destroy(session: &mut Session, mut args: Args) -> Result<(), String> {
    let core = core_number(&mut args, "a core's number")?;
    args.finish().map_err(usage)?;
    let done = session.cores().await?.destroy(core).await;
    say_done(session, done).await.map(drop)
}

/// `core stop N --for MS`.
async fn pause_core(session: &mut Session, mut args: Args, pause: &str) -> Result<(), String> {
    let core = core_number(&mut args, "a core's number")?;
    args.finish().map_err(usage)?;
    let for_ns = match parse_ms(pause, u64::MAX / 1_000_000).map_err(usage)? {
        0 => return Err("--for needs 1 millisecond at least".into()),
        ms => ms * 1_000_000,
    };
    let done = session.cores().await?.pause(core, for_ns).await;
    say_done(session, done).await.map(drop)
}

fn core_number(args: &mut Args, what: &'static str) -> Result<u32, String> {
    let word = args.next(what).map_err(usage)?;
    let not = |_| format!("\"{word}\" is not a core's number");
    word.parse().map_err(not)
}

/// `core move A B`.
async fn move_osnode(session: &mut Session, mut args: Args) -> Result<(), String> {
    let kernel = args.option("--kernel", "a kernel's name").map_err(usage)?;
    let from = core_number(&mut args, "the core to leave")?;
    let to = core_number(&mut args, "the core to go to")?;
    args.finish().map_err(usage)?;
    let kernel = kernel.unwrap_or_default().into_bytes();
    let done = session.cores().await?.move_osnode(from, to, &kernel).await;
    say_done(session, done).await.map(drop)
}

/// Says what came of an operation; how long several cores were between two kernels at once.
async fn say_done(session: &mut Session, done: Result<Done, CallError>) -> Result<u64, String> {
    let done = done.map_err(of_cores)?;
    let mut text = String::from_utf8_lossy(&done.text).into_owned();
    let unit = time_unit();
    let spent = |ns: u64| format!("{}.{:03} {unit}", ns / 1_000_000, ns / 1000 % 1000);
    text += &format!(" ({})\n", spent(done.took_ns));
    if done.together_ns > 0 {
        let together = spent(done.together_ns);
        text += &format!("all were between two kernels at once for {together}\n");
    }
    session.say(&text).await;
    Ok(done.together_ns)
}

/// `osnodes`.
pub async fn osnodes(session: &mut Session, args: Args) -> Result<(), String> {
    args.finish().map_err(usage)?;
    let mut text = format!("{:<8} {}\n", "OSnode", "where");
    let cores = session.cores().await?;
    for index in 0.. {
        let Some(found) = at_index(cores.osnode_at(index).await)? else {
            break;
        };
        let (osnode, core) = (found.osnode, found.core);
        let place = match found.attached {
            true => format!("runs on core {core}"),
            false => format!("does not run, was on core {core}"),
        };
        text += &format!("o{osnode:<7} {place}\n");
    }
    session.say(&text).await;
    Ok(())
}

/// `members`, `members tree`, `members tree last`.
pub async fn members(session: &mut Session, mut args: Args) -> Result<(), String> {
    match args.rest().as_slice() {
        [] => {}
        [tree] if tree == "tree" => return members_tree(session, false).await,
        [tree, last] if tree == "tree" && last == "last" => {
            return members_tree(session, true).await;
        }
        [other, ..] => return Err(format!("\"{other}\" is not understood here")),
    }
    let mut text = format!("{:<8} {:<9} changes\n", "OSnode", "is");
    let (mut last, mut number) = (0, 0);
    loop {
        let member = match session.system.member(last).await {
            Ok(member) => member,
            Err(CallError::Refused(_)) => break,
            Err(CallError::Peer(e)) => return Err(e.to_string()),
        };
        let word = match member.status {
            MemberStatus::Joining => "joining",
            MemberStatus::Running => "running",
            MemberStatus::Stopped => "stopped",
            MemberStatus::Gone => "gone",
            MemberStatus::Moving => "in motion",
        };
        let by = match member.caretaker {
            0 => String::new(),
            n => format!("; o{n} looks after it"),
        };
        let (osnode, count) = (member.osnode, member.count);
        text += &format!("o{osnode:<7} {word:<9} {count}{by}\n");
        (last, number) = (osnode, member.view);
    }
    text += &format!("view {number}\n");
    session.say(&text).await;
    Ok(())
}

/// Who passes an unmap on to whom: everybody below who tells it.
async fn members_tree(session: &mut Session, last: bool) -> Result<(), String> {
    let tree = match session.system.tree(last).await {
        Ok(tree) => tree,
        Err(CallError::Refused(_)) => return Err("no unmap had to be told to others".into()),
        Err(CallError::Peer(e)) => return Err(e.to_string()),
    };
    let mut text = match tree.version {
        0 => String::from(
            "tree of unmaps, balanced: the knowledge base has not said where OSnodes are\n",
        ),
        _ => String::from("tree of unmaps, by the knowledge base\n"),
    };
    let nodes: Vec<(u64, u32)> = list::read(&tree.nodes).map_err(|e| e.to_string())?;
    // How many are still to come below each that stands above.
    let mut open: Vec<u32> = Vec::new();
    for (osnode, below) in nodes {
        open.retain(|left| *left > 0);
        open.iter_mut().for_each(|left| *left -= 1);
        let indent = "  ".repeat(open.len());
        text += &format!("{indent}o{osnode}\n");
        open.push(below);
    }
    session.say(&text).await;
    Ok(())
}

/// How long `log --until` waits, and how often it looks (ns).
const UNTIL_NS: u64 = 60_000_000_000;
const LOOK_NS: u64 = 100_000_000;

/// `log`.
pub async fn log(session: &mut Session, mut args: Args) -> Result<(), String> {
    let wanted = args.option("--until", "a text to wait for");
    let wanted = wanted.map_err(usage)?;
    let words = args.rest();
    let core = match words.as_slice() {
        [] => 0,
        [n] => n
            .parse()
            .map_err(|_| format!("\"{n}\" is not a core's number"))?,
        [_, more, ..] => return Err(format!("\"{more}\" is not understood here")),
    };
    let until = time::now_ns().saturating_add(UNTIL_NS);
    loop {
        let mut text = read_log(session, core).await?;
        let found = wanted.as_ref().is_none_or(|w| text.contains(w.as_str()));
        if !found && time::now_ns() < until {
            time::sleep(LOOK_NS).await;
            continue;
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        session.say(&text).await;
        return match (found, wanted) {
            (false, Some(w)) => Err(format!("core {core} did not log \"{w}\" in time")),
            _ => Ok(()),
        };
    }
}

async fn read_log(session: &Session, core: u32) -> Result<String, String> {
    let log = session.cores().await?.log(core).await.map_err(of_cores)?;
    Ok(String::from_utf8_lossy(&log.text).into_owned())
}
