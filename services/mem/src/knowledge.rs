//! How far nodes are apart: the knowledge base is asked, and asked again when that changes.
//!
//! Nobody waits for it. A task of its own asks, and then waits for news, which wakes it only when distances or
//! nodes with memory change; whoever wants RAM meanwhile goes by what is known here. The knowledge base gets its
//! memory from a front like this one, so to wait for it could be to wait for oneself.

use alloc::vec::Vec;

use mem::Topology;
use proto::iface::skb::{Subject, Topic};
use proto::{CallError, PeerError, ServiceError};
use rt::skb::Knowledge;
use rt::{env, task, time};

use crate::service::{Role, Service};

/// How long a knowledge base that did not answer is left alone (ns of system time).
const PAUSE_NS: u64 = 5_000_000_000;

/// How often in a row it may end before it answers.
const TRIES: u32 = 3;

/// What the server knows of the knowledge base.
#[derive(Default)]
pub struct Link {
    /// A task asks it, or waits for its news.
    asking: bool,
    /// It is left alone until then (ns of system time).
    again_ns: u64,
}

impl Service {
    /// Has the knowledge base asked, unless it is being asked. To be called when nodes are to be tried in an order.
    pub fn consult(&self) {
        let begin = {
            let mut s = self.state.borrow_mut();
            // Where there is one node, or nothing is known of nodes, there is no order.
            let choice = s.books.topology.nodes().len() > 1;
            let front = matches!(s.role, Role::Front(_));
            let due = !s.link.asking && time::system_ns() >= s.link.again_ns;
            let begin = choice && front && due;
            s.link.asking |= begin;
            begin
        };
        if !begin {
            return;
        }
        let service = self.clone();
        task::spawn(async move {
            let why = service.follow().await;
            let mut s = service.state.borrow_mut();
            s.link.asking = false;
            s.link.again_ns = time::system_ns().saturating_add(PAUSE_NS);
            drop(s);
            let osnode = env::osnode();
            rt::io::log(format_args!(
                "mem: o{osnode} goes on without the knowledge base: {why}\n"
            ));
        });
    }

    /// Asks for as long as it answers; one that ended is looked for, since it is started again.
    async fn follow(&self) -> CallError {
        let home = match self.state.borrow().role {
            Role::Front(Some(home)) => home,
            _ => env::osnode(),
        };
        let mut tries = 0;
        while tries < TRIES {
            let base = match Knowledge::connect(home).await {
                Ok(base) => base,
                Err(why) => return why,
            };
            match self.follow_one(&base, &mut tries).await {
                // Its name may for a moment still be that of the one that ended.
                CallError::Peer(PeerError::Gone) => tries += 1,
                why => return why,
            }
        }
        CallError::Peer(PeerError::Gone)
    }

    async fn follow_one(&self, base: &Knowledge, tries: &mut u32) -> CallError {
        let mut known = 0;
        loop {
            match base.news(Topic::Memory, known).await {
                Ok(version) => known = version,
                Err(why) => return why,
            }
            if let Err(why) = self.take_orders(base).await {
                return why;
            }
            *tries = 0;
        }
    }

    /// Asks for the nodes by their distance from each node.
    async fn take_orders(&self, base: &Knowledge) -> Result<(), CallError> {
        let nodes = self.state.borrow().books.topology.nodes();
        let mut news = false;
        for node in nodes {
            let near = match base.memories(Subject::Node, node.into()).await {
                Ok(near) => near,
                // Nobody told it of this node.
                Err(why) if why.is(ServiceError::NotFound) => Vec::new(),
                Err(why) => return Err(why),
            };
            let order = near.iter().filter_map(|m| u8::try_from(m.node).ok());
            let topology: &mut Topology = &mut self.state.borrow_mut().books.topology;
            news |= topology.set_order(node, order.collect());
        }
        if news {
            self.say_order();
        }
        Ok(())
    }
}
