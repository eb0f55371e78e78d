//! The monitor's state.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use abi::{bootinfo, slots};
use monitor::{NameTable, OsnodeTable};
use proto::Name;
use rt::chan::{Client, Request, Server};
use rt::env::BootInfo;
use rt::spawn::Process;
use rt::{Capability, SysError, cap, env, invoke};

use crate::bind::Bindings;
use crate::channels::Pool;
use crate::names_service::is_alive;
use crate::peers::Peer;

/// Introductions by which the monitor's own server knows its clients.
pub mod introducer {
    /// Services of the system.
    pub const SYSTEM: u32 = 1;
    /// Ordinary programs.
    pub const PROGRAMS: u32 = 2;
    /// Starter's endpoint of the memory service.
    pub const MEMORY: u32 = 3;
    /// Starter's endpoint of the spawn service.
    pub const SPAWN: u32 = 4;
    /// Other monitors: this plus a number.
    pub const MONITORS: u32 = 0x100;
}

/// Everything that changes; never borrowed across an `await`.
pub struct State {
    pub names: NameTable<Capability, Request>,
    pub osnodes: OsnodeTable,
    pub peers: BTreeMap<u64, Peer>,
    pub pool: Pool,
    pub bindings: Bindings,
    /// Connections to registered services, for channels from elsewhere.
    pub services: BTreeMap<proto::Name, Client>,
    /// Processes that the monitor itself made.
    pub own: Vec<Process>,
    /// Device managers that wait for an OSnode's hello.
    pub awaited: Vec<(u64, Request)>,
    /// Tasks of the monitor that wait for a name.
    pub name_wakers: Vec<Waker>,
}

/// The monitor.
#[derive(Clone)]
pub struct World {
    pub state: Rc<RefCell<State>>,
    pub server: Server,
    pub boot: BootInfo,
    /// This OSnode.
    pub osnode: u64,
    /// OSnode that made this one; 0 = the loader did.
    pub home: u64,
}

impl World {
    /// Before anything is started.
    pub fn new(server: Server, boot: BootInfo) -> World {
        let osnode = env::osnode();
        let mut osnodes = OsnodeTable::new(osnode, env::core());
        let home = boot.word(bootinfo::word::HOME);
        if home != 0 {
            // It runs: it made this one. Its core does not matter here.
            osnodes.locate(home, 0);
        }
        World {
            state: Rc::new(RefCell::new(State {
                names: NameTable::new(),
                osnodes,
                peers: BTreeMap::new(),
                pool: Pool::new(),
                bindings: Bindings::new(),
                services: BTreeMap::new(),
                own: Vec::new(),
                awaited: Vec::new(),
                name_wakers: Vec::new(),
            })),
            server,
            boot,
            osnode,
            home,
        }
    }

    /// A copy of the endpoint registered under a name, once it is.
    pub async fn named(&self, name: Name) -> Result<Capability, SysError> {
        poll_fn(|cx| {
            let mut s = self.state.borrow_mut();
            match s.names.get(&name).filter(|c| is_alive(c.addr())) {
                Some(endpoint) => Poll::Ready(cap::copy(endpoint.addr())),
                None => {
                    s.name_wakers.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Physical address of this OSnode's notification page.
    pub fn notification_page(&self) -> u64 {
        invoke::identify(slots::NOTIFICATION).map_or(0, |id| id.cap.base.0)
    }
}
