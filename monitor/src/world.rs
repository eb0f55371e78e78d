//! The monitor's state.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use abi::{bootinfo, slots};
use monitor::agree::membership::Status;
use monitor::{Lives, NameTable, OsnodeTable};
use proto::iface::memory::MemoryClient;
use proto::iface::names::{AcceptClient, Found};
use proto::{Later, Name};
use rt::chan::{Client, Request, Server, introduction_to};
use rt::env::BootInfo;
use rt::spawn::Process;
use rt::{Capability, SysError, env, invoke};

use crate::agreement::Agreement;
use crate::bind::Bindings;
use crate::channels::Pool;
use crate::links::Connecting;
use crate::members::Membership;
use crate::names_service::is_alive;
use crate::next_life::Estate;
use crate::peers::Peer;
use crate::placements::Placements;
use crate::unmaps::Unmaps;

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

    /// What is said of a service that the monitor starts itself.
    pub const fn name(who: u32) -> &'static str {
        match who {
            MEMORY => "memory",
            _ => "spawn",
        }
    }
}

/// Everything that changes; never borrowed across an `await`.
pub struct State {
    pub names: NameTable<Capability, Later<Found, Request>>,
    pub osnodes: OsnodeTable,
    pub peers: BTreeMap<u64, Peer>,
    /// Monitors to which there are no channels yet.
    pub connecting: BTreeMap<u64, Connecting>,
    /// OSnodes by the number of their introduction, less [`introducer::MONITORS`].
    pub introduced: Vec<u64>,
    pub members: Membership,
    pub agreement: Agreement,
    pub unmaps: Unmaps,
    pub placements: Placements,
    /// The memory service.
    pub memory: Option<MemoryClient<Client>>,
    /// The reserve is being filled.
    pub replenishing: bool,
    pub pool: Pool,
    /// Notification pages of other OSnodes, as their monitors said.
    pub pages: BTreeMap<u64, u64>,
    pub bindings: Bindings,
    /// Connections to registered services, for channels from elsewhere.
    pub services: BTreeMap<Name, AcceptClient<Client>>,
    /// Connections that registered services.
    pub registrars: BTreeMap<Name, u32>,
    /// Processes that the monitor itself made, by the introduction of their starter's endpoint.
    pub own: BTreeMap<u32, Process>,
    /// Ends of those, and what they leave to their next lives.
    pub lives: BTreeMap<u32, Lives>,
    pub kept: BTreeMap<u32, Vec<(Name, Capability)>>,
    /// What is left between two lives of the memory service.
    pub estate: Estate,
    /// How often the memory service was started again.
    pub memory_life: u64,
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
            // It runs: it made this one.
            osnodes.told(home, Status::Running);
        }
        World {
            state: Rc::new(RefCell::new(State {
                names: NameTable::new(),
                osnodes,
                peers: BTreeMap::new(),
                connecting: BTreeMap::new(),
                introduced: Vec::new(),
                members: Membership::new(osnode, home == 0),
                agreement: Agreement::new(osnode),
                unmaps: Unmaps::new(),
                placements: Placements::default(),
                memory: None,
                replenishing: false,
                pool: Pool::new(),
                pages: BTreeMap::new(),
                bindings: Bindings::new(osnode),
                services: BTreeMap::new(),
                registrars: BTreeMap::new(),
                own: BTreeMap::new(),
                lives: BTreeMap::new(),
                kept: BTreeMap::new(),
                estate: Estate::default(),
                memory_life: 0,
                name_wakers: Vec::new(),
            })),
            server,
            boot,
            osnode,
            home,
        }
    }

    /// What clients bind by to the service registered under a name. One that died is not there until it, or another,
    /// registers again.
    pub fn live(&self, name: &Name) -> Option<Result<Capability, SysError>> {
        let s = self.state.borrow();
        let endpoint = s.names.get(name).filter(|c| is_alive(c.addr()))?;
        Some(introduction_to(endpoint.addr(), false))
    }

    /// As [`World::live`], for what only a monitor may say to a service.
    pub fn door(&self, name: &Name) -> Option<Result<Capability, SysError>> {
        let s = self.state.borrow();
        let endpoint = s.names.get(name).filter(|c| is_alive(c.addr()))?;
        Some(introduction_to(endpoint.addr(), true))
    }

    /// What clients bind by to the service registered under a name, once it is.
    pub async fn named(&self, name: Name) -> Result<Capability, SysError> {
        poll_fn(|cx| match self.live(&name) {
            Some(endpoint) => Poll::Ready(endpoint),
            None => {
                let waker = cx.waker().clone();
                self.state.borrow_mut().name_wakers.push(waker);
                Poll::Pending
            }
        })
        .await
    }

    /// Gives another monitor a number by which the server knows it.
    pub fn introduce(&self, osnode: u64) -> u32 {
        let introduced = &mut self.state.borrow_mut().introduced;
        introduced.push(osnode);
        introducer::MONITORS + introduced.len() as u32 - 1
    }

    /// The OSnode whose monitor a request comes from.
    pub fn introduced(&self, number: u32) -> Option<u64> {
        let place = number.checked_sub(introducer::MONITORS)?;
        self.state.borrow().introduced.get(place as usize).copied()
    }

    /// Physical address of this OSnode's notification page.
    pub fn notification_page(&self) -> u64 {
        invoke::identify(slots::NOTIFICATION).map_or(0, |id| id.cap.base.0)
    }
}
