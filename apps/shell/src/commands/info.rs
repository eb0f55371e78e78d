//! `mem`, `caps`, `ls`, `cat`.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use abi::CapAddr;
use proto::iface::spawn::{Memory, MemoryChecked};
use proto::{CallError, ServiceError};
use rt::{invoke, time};
use shell::Args;

use super::usage;
use crate::session::{Session, at_index, of_spawn};

/// The OSnodes, and whether they run.
pub async fn osnodes(session: &Session) -> Result<Vec<(u64, bool)>, String> {
    let mut all = Vec::new();
    let cores = session.cores().await?;
    for index in 0.. {
        let Some(found) = at_index(cores.osnode_at(index).await)? else {
            break;
        };
        all.push((found.osnode, found.attached));
    }
    Ok(all)
}

/// The memory servers of an OSnode.
async fn servers(session: &Session, osnode: u64) -> Result<Vec<Memory>, String> {
    let mut all = Vec::new();
    for server in 0.. {
        let asked = session.ask_spawn(async |spawn| spawn.memory(osnode, server).await);
        match asked.await {
            Ok(figures) => all.push(figures),
            Err(e) if e.is(ServiceError::End) => break,
            Err(e) => return Err(format!("o{osnode}: {}", of_spawn(e))),
        }
    }
    Ok(all)
}

/// `mem`, `mem mark`, `mem check`.
pub async fn memory(session: &mut Session, mut args: Args) -> Result<(), String> {
    let word = args.rest().join(" ");
    let mut text = format!(
        "{:<8} {:>4} {:>14} {:>14} {:>14} {:>14} {:>7}\n",
        "OSnode", "node", "total", "free", "used", "largest free", "blocks"
    );
    let mut used: BTreeMap<u64, u64> = BTreeMap::new();
    for (osnode, runs) in osnodes(session).await? {
        if !runs {
            text += &format!("o{osnode:<7} {:>19}\n", "detached");
            continue;
        }
        for f in servers(session, osnode).await? {
            let out = f.total.saturating_sub(f.free);
            *used.entry(osnode).or_default() += out;
            text += &format!(
                "o{osnode:<7} {:>4} {:>14} {:>14} {out:>14} {:>14} {:>7}\n",
                f.node, f.total, f.free, f.largest, f.blocks
            );
        }
    }
    session.say(&text).await;
    match word.as_str() {
        "" => Ok(()),
        "mark" => {
            session.used_marked = used;
            Ok(())
        }
        "check" => {
            compare(&session.used_marked, &used)?;
            if session.used_marked.is_empty() {
                let note = "nothing is marked (mem mark does that): only the books are checked\n";
                session.say(note).await;
            }
            let text = check_memory(session).await?;
            session.say(&text).await;
            Ok(())
        }
        _ => Err(format!("\"{word}\" is not mark or check")),
    }
}

/// Whether every OSnode uses exactly as much memory as when it was marked, if anything was. (What
/// is free may differ: servers give each other what nobody uses.)
fn compare(marked: &BTreeMap<u64, u64>, now: &BTreeMap<u64, u64>) -> Result<(), String> {
    if marked.is_empty() {
        return Ok(());
    }
    let mut wrong: Vec<String> = Vec::new();
    for (osnode, before) in marked {
        match now.get(osnode) {
            None => wrong.push(format!("o{osnode} does not run")),
            Some(used) if used > before => {
                wrong.push(format!("o{osnode} uses {} bytes more", used - before));
            }
            Some(used) if used < before => {
                wrong.push(format!("o{osnode} uses {} bytes less", before - used));
            }
            Some(_) => {}
        }
    }
    let new = now.keys().filter(|o| !marked.contains_key(o));
    wrong.extend(new.map(|o| format!("o{o} is new")));
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("memory is not as marked: {}", wrong.join(", ")))
}

/// The leak check: every memory server's books are in order, only live processes hold memory, and what servers gave
/// each other adds up. A line for each OSnode that runs; who does not answer is said, and is no failure.
///
/// # Errors
/// What is wrong.
pub async fn check_memory(session: &Session) -> Result<String, String> {
    let mut result = check_once(session).await;
    let mut looks = 1;
    while result.is_err() && looks <= RETRIES {
        // RAM may be on its way between two servers, or a process about to end.
        time::sleep(RETRY_NS).await;
        result = check_once(session).await;
        looks += 1;
    }
    match looks {
        1 => result,
        _ => result
            .map(|text| format!("{text}(at the {looks}th look: memory was on its way before)\n")),
    }
}

/// How often the leak check is made again when it says no, and the pause before (ns).
const RETRIES: u32 = 10;
const RETRY_NS: u64 = 100_000_000;

async fn check_once(session: &Session) -> Result<String, String> {
    let mut text = String::new();
    let (mut all_got, mut all_sent, mut complete) = (0u64, 0u64, true);
    for (osnode, runs) in osnodes(session).await? {
        if !runs {
            complete = false;
            text += &format!("o{osnode} does not run: its memory is not checked\n");
            continue;
        }
        let asked = session.ask_spawn(async |spawn| spawn.check_memory(osnode).await);
        match asked.await {
            Ok(MemoryChecked {
                donated,
                got,
                sent,
                free,
                used,
            }) => {
                all_got += got;
                all_sent += sent;
                text += &format!(
                    "o{osnode}: {donated} bytes, {got} more from others, {sent} to others, {free} free, {used} used\n"
                );
                if donated + got != free + used + sent {
                    return Err(format!("o{osnode}: its bytes do not add up\n{text}"));
                }
            }
            Err(e) if e.is(ServiceError::BadBooks) => {
                return Err(format!("o{osnode}: {e}"));
            }
            Err(CallError::Peer(e)) => return Err(of_spawn(e.into())),
            Err(CallError::Refused(why)) => {
                return Err(format!(
                    "o{osnode}: its memory is not checked: {why}\n{text}"
                ));
            }
        }
    }
    if complete && all_got != all_sent {
        return Err(format!(
            "{all_sent} bytes were sent to other servers, {all_got} arrived\n{text}"
        ));
    }
    Ok(text)
}

/// Root slots that `caps` looks into.
const CAPS_L1: u32 = 2;
/// Slots of each of those CNodes.
const CAPS_L2: u32 = 256;

/// `caps`.
pub async fn capabilities(session: &mut Session, args: Args) -> Result<(), String> {
    args.finish().map_err(usage)?;
    let mut text = format!(
        "{:<7} {:<12} {:<6} {:>18} {:>14} {:>8} {}\n",
        "slot", "type", "rights", "base", "size", "param", "extra"
    );
    for l1 in 0..CAPS_L1 {
        for l2 in 0..CAPS_L2 {
            let Ok(id) = invoke::identify(CapAddr::new(l1, l2)) else {
                continue;
            };
            let c = id.cap;
            let bit = |right: u8, letter| if c.rights.0 & right != 0 { letter } else { '-' };
            let rights: String = [bit(1, 'r'), bit(2, 'w'), bit(4, 'x'), bit(8, 'g')]
                .iter()
                .collect();
            let slot = format!("{l1}:{l2}");
            let kind = format!("{:?}", c.kind);
            text += &format!(
                "{slot:<7} {kind:<12} {rights:<6} {:>#18x} {:>#14x} {:>8} {:#x}\n",
                c.base.0, c.size, c.param, c.extra
            );
        }
    }
    session.say(&text).await;
    Ok(())
}

/// `ls [DIR]`.
pub async fn list_files(session: &mut Session, mut args: Args) -> Result<(), String> {
    let dir = args.rest().join(" ");
    let files = session.list_files(&dir).await?;
    if files.is_empty() {
        return Err(format!("there is no directory \"{dir}\""));
    }
    let mut text = String::new();
    for (name, bytes) in files {
        text += &format!("{bytes:>10} {name}\n");
    }
    session.say(&text).await;
    Ok(())
}

/// `cat FILE`.
pub async fn show_file(session: &mut Session, mut args: Args) -> Result<(), String> {
    let name = args.next("a file's name").map_err(usage)?;
    args.finish().map_err(usage)?;
    let bytes = session.read_file(&name).await;
    let bytes = bytes.map_err(|(_, text)| text)?;
    session.say(&String::from_utf8_lossy(&bytes)).await;
    Ok(())
}
