//! Other memory servers: who they are, and what is known of the machine's nodes.

use alloc::format;
use alloc::vec::Vec;

use mem::{Fact, PAGE};
use proto::iface::memory::{self as said, Memory, MemoryClient, MemoryFact};
use proto::{CallError, ServiceError};
use rt::chan::{self, Client};
use rt::{env, task, time};

use crate::service::{Role, Service};

/// How often the first OSnode's server is looked for, and the pause after each (ns of system time).
const TRIES: u32 = 100;
const PAUSE_NS: u64 = 50_000_000;
/// Pause between two looks at whether it was found (ns of system time).
const LOOK_NS: u64 = 1_000_000;

/// Name of a node's server.
pub fn name_of(node: u8) -> alloc::string::String {
    format!(".memory.{node}")
}

fn to_fact(about: MemoryFact, a: u64, b: u64, c: u64) -> Option<Fact> {
    let node = |n: u64| u8::try_from(n).ok();
    Some(match about {
        MemoryFact::Range => Fact::Range(a, b, node(c)?),
        MemoryFact::Distance => Fact::Distance(node(a)?, node(b)?, u32::try_from(c).ok()?),
        MemoryFact::Core => Fact::Core(u32::try_from(a).ok()?, node(c)?),
    })
}

/// A fact as a message.
pub fn from_fact(fact: Fact) -> said::Fact {
    let (about, a, b, c) = match fact {
        Fact::Range(base, bytes, node) => (MemoryFact::Range, base, bytes, node.into()),
        Fact::Distance(from, to, distance) => (
            MemoryFact::Distance,
            from.into(),
            to.into(),
            distance.into(),
        ),
        Fact::Core(core, node) => (MemoryFact::Core, core.into(), 0, node.into()),
    };
    said::Fact { about, a, b, c }
}

impl Service {
    /// Enters what somebody knows.
    pub fn learn(&self, about: MemoryFact, a: u64, b: u64, c: u64) -> Result<(), ServiceError> {
        let fact = to_fact(about, a, b, c).ok_or(ServiceError::BadArgument)?;
        let mut state = self.state.borrow_mut();
        state.books.learn(fact);
        let first = state.role == Role::Front(None) && !state.named;
        if first && matches!(fact, Fact::Core(core, _) if core == env::core()) {
            state.named = true;
            let service = self.clone();
            task::spawn(async move { service.be_a_nodes_server().await });
        }
        drop(state);
        self.save();
        Ok(())
    }

    /// The first server begins again: it knows the machine, and finds the servers of other nodes.
    async fn find_nodes(&self) {
        let (facts, own) = {
            let s = self.state.borrow();
            let facts: Vec<Fact> = (0..).map_while(|i| s.books.topology.fact(i)).collect();
            (facts, s.own_node())
        };
        for f in facts.into_iter().map(from_fact) {
            // It was taken once.
            let _ = self.learn(f.about, f.a, f.b, f.c);
        }
        let nodes = self.state.borrow().books.topology.nodes();
        for node in nodes.into_iter().filter(|node| *node != own) {
            match chan::connect_now::<Memory>(&name_of(node)).await {
                Ok(server) => drop(self.state.borrow_mut().servers.insert(node, server)),
                Err(e) => rt::println!("mem: the server of node {node} is not found again: {e}"),
            }
        }
    }

    /// The first server is also the one of its own node, for servers of other OSnodes.
    async fn be_a_nodes_server(&self) {
        self.say_order();
        self.consult();
        let name = name_of(self.state.borrow().own_node());
        if let Err(e) = self.server.register(&name).await {
            rt::println!("mem: cannot register as {name}: {e}");
        }
    }

    /// Serves everybody from now on.
    ///
    /// # Errors
    /// It cannot be registered.
    pub async fn begin(&self) -> Result<(), rt::PeerError> {
        let role = self.state.borrow().role;
        match role {
            Role::Front(_) => self.server.register(".memory").await?,
            Role::Node(node) => self.server.register(&name_of(node)).await?,
        }
        let service = self.clone();
        task::spawn(async move {
            match role {
                Role::Front(None) => service.find_nodes().await,
                Role::Front(Some(home)) => service.find_home(home).await,
                Role::Node(node) => service.join(node).await,
            }
        });
        Ok(())
    }

    /// Takes over everything that another server knows.
    async fn learn_from(&self, other: &MemoryClient<Client>) -> Option<()> {
        for index in 0.. {
            match other.fact(index).await {
                // What cannot be a fact is none.
                Ok(f) => drop(self.learn(f.about, f.a, f.b, f.c)),
                Err(CallError::Refused(_)) => break,
                Err(CallError::Peer(_)) => return None,
            }
        }
        Some(())
    }

    /// A node's server begins: it tells the OSnode's own server of itself, and asks for its node's memory. What an earlier
    /// life had came back there.
    async fn join(&self, node: u8) {
        if let Err(e) = self.try_to_join(node).await {
            rt::println!("mem: node {node} has no memory server: {e}");
        }
    }

    async fn try_to_join(&self, node: u8) -> Result<(), rt::PeerError> {
        let front = chan::connect::<Memory>(".memory").await?;
        front.join(node, self.server.introduction(0)?).await?;
        self.learn_from(&front).await;
        let mut bytes = 0;
        while let Some(more) = self.ask_for(&front, 0, PAGE, node).await {
            bytes += more;
        }
        self.make_room();
        rt::io::log(format_args!("mem: node {node} has {bytes} bytes\n"));
        Ok(())
    }

    /// A further OSnode's server begins: it learns what the first one's knows.
    async fn find_home(&self, home: u64) {
        self.look_for_home(home).await;
        self.state.borrow_mut().settled = true;
    }

    async fn look_for_home(&self, home: u64) {
        for _ in 0..TRIES {
            if let Ok(first) = chan::connect_on::<Memory>(home, ".memory").await
                && self.learn_from(&first).await.is_some()
            {
                return self.say_order();
            }
            time::sleep(PAUSE_NS).await;
        }
        rt::println!("mem: o{home} does not say what it knows of the machine");
    }

    /// Waits until it is known whom to ask, or that nobody can be asked.
    pub async fn settled(&self) {
        while !self.state.borrow().settled {
            time::sleep(LOOK_NS).await;
        }
    }

    /// Says in which order nodes are asked, when there is a choice.
    pub fn say_order(&self) {
        let state = self.state.borrow();
        let topology = &state.books.topology;
        let order = topology.nearest(state.own_node());
        if order.len() < 2 {
            return;
        }
        let own = state.own_node();
        let known = match (topology.has_order(own), topology.has_distances()) {
            (true, _) => "as the knowledge base says",
            (false, true) => "by distance",
            (false, false) => "by number: no distances are known",
        };
        let osnode = env::osnode();
        rt::io::log(format_args!(
            "mem: o{osnode} asks nodes {order:?}, {known}\n"
        ));
    }

    /// The server of a node, unless it is this one.
    pub async fn server_of(&self, node: u8) -> Option<MemoryClient<Client>> {
        let (role, known) = {
            let s = self.state.borrow();
            (s.role, s.servers.get(&node).cloned())
        };
        if let Some(known) = known.filter(|c| !c.0.is_gone()) {
            return Some(known);
        }
        let Role::Front(Some(home)) = role else {
            return None;
        };
        let known = self.state.borrow().books.topology.nodes().contains(&node);
        // Where nothing is known of nodes, one server has everything.
        let name = match known {
            true => name_of(node),
            false => ".memory".into(),
        };
        let client = chan::connect_on::<Memory>(home, &name).await.ok()?;
        let mut s = self.state.borrow_mut();
        s.servers.insert(node, client.clone());
        Some(client)
    }

    /// Whether another server may have memory of a node.
    pub fn can_ask(&self, node: u8) -> bool {
        let s = self.state.borrow();
        s.servers.contains_key(&node) || matches!(s.role, Role::Front(Some(_)))
    }

    /// The order in which nodes are tried: `None` is whatever this server has.
    pub fn order(&self, place: crate::Where) -> Vec<Option<u8>> {
        let state = self.state.borrow();
        let topology = &state.books.topology;
        let near = |node| {
            let mut nearest = topology.nearest(node);
            if nearest.is_empty() && matches!(state.role, Role::Front(Some(_))) {
                nearest.push(node);
            }
            nearest.into_iter().map(Some).chain([None]).collect()
        };
        match place {
            crate::Where::Only(node) => Vec::from([Some(node)]),
            crate::Where::Near(node) => near(node),
            crate::Where::Anywhere => {
                let others = topology.nearest(state.own_node());
                [None]
                    .into_iter()
                    .chain(others.into_iter().map(Some))
                    .collect()
            }
        }
    }
}
