//! Memory servers: what the first one is told of the machine, and one more for each further NUMA node.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};

use proto::iface::memory::{Memory, MemoryClient, MemoryFact};
use rt::chan::{self, Client};
use rt::env;

use crate::Manager;
use crate::discovery::Machine;
use crate::start;

/// Most nodes that can have memory servers: nodes are bytes there.
const MAX_NODES: u32 = 64;

/// Tells the memory server which memory and which core is on which node, and how far apart nodes are; then starts
/// the servers of the other nodes, which take their nodes' memory over.
///
/// # Errors
/// A sentence.
pub async fn start(manager: &Manager, machine: &Machine) -> Result<(), String> {
    let memory = chan::connect::<Memory>(".memory").await;
    let memory = memory.map_err(|e| e.to_string())?;
    let d = &machine.description;
    let mut nodes: BTreeSet<u32> = BTreeSet::new();
    for m in d.memory.iter().filter(|m| m.node < MAX_NODES) {
        learn(&memory, MemoryFact::Range, m.base, m.bytes, m.node.into()).await?;
        nodes.insert(m.node);
    }
    for &(from, to, distance) in &d.distances {
        learn(
            &memory,
            MemoryFact::Distance,
            from.into(),
            to.into(),
            distance.into(),
        )
        .await?;
    }
    for (core, c) in (0..).zip(&d.cores).filter(|(_, c)| c.node < MAX_NODES) {
        learn(&memory, MemoryFact::Core, core, 0, c.node.into()).await?;
    }
    // The one that there is stays the server of the node of the boot core.
    let own = d.cores.first().map_or(0, |c| c.node);
    let names = env::given("names").ok_or("names was not given")?;
    for node in nodes.into_iter().filter(|n| *n != own) {
        let words = ["mem", "node", &node.to_string()];
        start::start(manager, &words, &[("names", names)]).await?;
    }
    Ok(())
}

async fn learn(
    memory: &MemoryClient<Client>,
    about: MemoryFact,
    a: u64,
    b: u64,
    c: u64,
) -> Result<(), String> {
    let taken = memory.learn(about, a, b, c).await;
    taken
        .map(drop)
        .map_err(|e| format!("the memory service does not take what firmware says of nodes: {e}"))
}
