//! `mem`, `caps`, `ls`, `cat`.

use alloc::format;
use alloc::string::String;

use abi::CapAddr;
use proto::iface::cores::{CoresReply, CoresRequest};
use proto::iface::spawn::{SpawnReply, SpawnRequest};
use rt::invoke;
use shell::Args;

use super::usage;
use crate::session::{Session, ask, text_of};

/// `mem`.
pub async fn memory(session: &mut Session, args: Args) -> Result<(), String> {
    args.finish().map_err(usage)?;
    let mut text = format!(
        "{:<8} {:>14} {:>14} {:>14} {:>14} {:>7}\n",
        "OSnode", "total", "free", "used", "largest free", "blocks"
    );
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
            text += &format!("o{osnode:<7} {:>14}\n", "detached");
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
            } => {
                let used = total.saturating_sub(free);
                text += &format!(
                    "o{osnode:<7} {total:>14} {free:>14} {used:>14} {largest:>14} {blocks:>7}\n"
                );
            }
            SpawnReply::Refused { error } => {
                return Err(format!("o{osnode}: {}", text_of(&a.blob, error)));
            }
            _ => return Err("the spawn service's answer is not understood".into()),
        }
    }
    session.say(&text).await;
    Ok(())
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
