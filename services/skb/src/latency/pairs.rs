//! Every pair of members, one after the other.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::Pid;
use proto::iface::spawn::{Place, Spawn, SpawnClient, join_words};
use rt::chan::{Client, connect, connect_on};
use rt::{env, time};

use crate::node::{self as declared, NodeClient};

/// How long a pair may take (ns of system time).
const PATIENCE_NS: u64 = 10_000_000_000;

/// A core and the OSnode that it runs.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    core: u32,
    osnode: u64,
}

impl Member {
    /// From a row of `running(Core, Osnode)`.
    pub fn read(row: &[String]) -> Option<Member> {
        let [core, osnode] = row else { return None };
        Some(Member {
            core: core.parse().ok()?,
            osnode: osnode.parse().ok()?,
        })
    }
}

/// What a message takes between two cores.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub a: u32,
    pub b: u32,
    pub ns: u64,
}

/// A process on a member.
struct Node {
    member: Member,
    pid: Pid,
    client: NodeClient<Client>,
}

/// Measures all pairs; what failed, as sentences.
///
/// # Errors
/// A process cannot be started; none is left then.
pub async fn measure(members: &[Member]) -> Result<Vec<Result<Measured, String>>, String> {
    let spawn = connect::<Spawn>("spawn").await.map_err(|e| e.to_string())?;
    let name = format!("lat{}", env::pid());
    let mut nodes = Vec::new();
    let mut failed = None;
    for member in members {
        match start(&spawn, *member, &name).await {
            Ok(node) => nodes.push(node),
            Err(e) => {
                failed = Some(e);
                break;
            }
        }
    }
    let mut results = Vec::new();
    if failed.is_none() {
        for (i, a) in nodes.iter().enumerate() {
            for b in &nodes[i + 1..] {
                results.push(pair(a, b, &name).await);
            }
        }
    }
    for node in nodes {
        drop(node.client);
        // One that ended before is what is wanted.
        let _ = spawn.kill(node.pid).await;
    }
    failed.map_or(Ok(results), Err)
}

async fn start(spawn: &SpawnClient<Client>, member: Member, name: &str) -> Result<Node, String> {
    let osnode = member.osnode;
    let words = join_words(&["latency", "node", name]);
    let started = spawn.spawn(Place::Osnode, osnode, 0, &words).await;
    let started = started.map_err(|e| format!("nothing can be started on o{osnode}: {e}"))?;
    let client = match osnode == env::osnode() {
        true => connect::<declared::Node>(name).await,
        false => connect_on::<declared::Node>(osnode, name).await,
    };
    let client = client.map_err(|e| format!("no channel to o{osnode}: {e}"))?;
    Ok(Node {
        member,
        pid: started.pid,
        client,
    })
}

async fn pair(a: &Node, b: &Node, name: &str) -> Result<Measured, String> {
    let (from, to) = (a.member, b.member);
    let until = time::system_ns().saturating_add(PATIENCE_NS);
    let asked = NodeClient(a.client.0.until(until));
    let measured = asked.measure(to.osnode, name.as_bytes()).await;
    let measured = measured.map_err(|e| format!("core {} to core {}: {e}", from.core, to.core))?;
    Ok(Measured {
        a: from.core,
        b: to.core,
        ns: measured.ns,
    })
}
