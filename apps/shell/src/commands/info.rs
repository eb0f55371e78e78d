//! `mem`, `caps`, `ls`, `cat`.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use abi::CapAddr;
use proto::iface::cores::{CoresReply, CoresRequest};
use proto::iface::spawn::{SpawnReply, SpawnRequest};
use rt::invoke;
use shell::Args;

use super::usage;
use crate::session::{Session, ask, text_of};

/// Memory of an OSnode.
struct Figures {
    total: u64,
    free: u64,
    largest: u64,
    blocks: u64,
}

/// Every OSnode, and its memory if it runs.
async fn figures(session: &Session) -> Result<Vec<(u64, Option<Figures>)>, String> {
    let mut all = Vec::new();
    for index in 0.. {
        let request = CoresRequest::Osnode { index };
        let a = ask::<CoresReply>(&session.cores, &request, &[]).await?;
        let CoresReply::Osnode {
            osnode, attached, ..
        } = a.message
        else {
            break;
        };
        if !attached {
            all.push((osnode, None));
            continue;
        }
        let request = SpawnRequest::Memory { osnode };
        let a = ask::<SpawnReply>(&session.spawn, &request, &[]).await?;
        match a.message {
            SpawnReply::Memory {
                total,
                free,
                largest,
                blocks,
            } => all.push((
                osnode,
                Some(Figures {
                    total,
                    free,
                    largest,
                    blocks,
                }),
            )),
            SpawnReply::Refused { error } => {
                return Err(format!("o{osnode}: {}", text_of(&a.blob, error)));
            }
            _ => return Err("the spawn service's answer is not understood".into()),
        }
    }
    Ok(all)
}

/// `mem`, `mem mark`, `mem check`.
pub async fn memory(session: &mut Session, mut args: Args) -> Result<(), String> {
    let word = args.rest().join(" ");
    let all = figures(session).await?;
    let mut text = format!(
        "{:<8} {:>14} {:>14} {:>14} {:>14} {:>7}\n",
        "OSnode", "total", "free", "used", "largest free", "blocks"
    );
    for (osnode, figures) in &all {
        let Some(f) = figures else {
            text += &format!("o{osnode:<7} {:>14}\n", "detached");
            continue;
        };
        let used = f.total.saturating_sub(f.free);
        text += &format!(
            "o{osnode:<7} {:>14} {:>14} {used:>14} {:>14} {:>7}\n",
            f.total, f.free, f.largest, f.blocks
        );
    }
    session.say(&text).await;
    let running = all.iter().filter_map(|(o, f)| Some((*o, f.as_ref()?.free)));
    match word.as_str() {
        "" => Ok(()),
        "mark" => {
            session.free_marked = running.collect();
            Ok(())
        }
        "check" => compare(&session.free_marked, &running.collect()),
        _ => Err(format!("\"{word}\" is not mark or check")),
    }
}

/// Whether every OSnode has exactly as much free memory as when it was marked.
fn compare(marked: &BTreeMap<u64, u64>, now: &BTreeMap<u64, u64>) -> Result<(), String> {
    if marked.is_empty() {
        return Err("nothing is marked: mem mark comes first".into());
    }
    let mut wrong: Vec<String> = Vec::new();
    for (osnode, before) in marked {
        match now.get(osnode) {
            None => wrong.push(format!("o{osnode} does not run")),
            Some(free) if free < before => {
                wrong.push(format!("o{osnode} has {} bytes less", before - free));
            }
            Some(free) if free > before => {
                wrong.push(format!("o{osnode} has {} bytes more", free - before));
            }
            Some(_) => {}
        }
    }
    let new = now.keys().filter(|o| !marked.contains_key(o));
    wrong.extend(new.map(|o| format!("o{o} is new")));
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "free memory is not as marked: {}",
        wrong.join(", ")
    ))
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
