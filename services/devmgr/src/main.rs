//! The device manager: finds the cores, tells the knowledge base what it found and what changes,
//! starts what its rules say (console, boot driver), and decides which OSnode's boot driver
//! executes an operation.
//!
//! Arguments: addresses of RSDP and device tree (0 = none). Given by the monitor: device memory,
//! interrupt sources, I/O ports, the boot core's objects.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod destruction;
mod discovery;
mod knowledge;
mod memory;
mod moving;
mod operations;
mod queries;
mod start;
mod survey;
mod together;

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::cell::RefCell;

use devmgr::{Ledger, Registry};
use proto::iface::cores::{CoreOp, CoresReply, CoresRequest};
use proto::iface::spawn::{Spawn, SpawnClient};
use proto::iface::system::SystemClient;
use proto::{PeerError, ServiceError};
use rt::chan::{self, Attach, BindError, Client, Request, Server, Until};
use rt::{env, invoke, task};
use skb::collect;
use skb::datalog::Changes;

rt::entry!(main);

/// What changes; never borrowed across an `await`.
pub struct State {
    /// State of every core.
    pub registry: Registry,
    /// What the boot driver of this OSnode is told of the cores.
    pub described: alloc::vec::Vec<start::Described>,
    /// Boot drivers by OSnode.
    pub drivers: BTreeMap<u64, operations::BootDriver>,
    /// Id of the OSnode that is made next; ids are never used again.
    pub next_osnode: u64,
    /// Number of the last group of operations that went together.
    pub last_group: u64,
    /// Whether firmware left a device tree.
    pub tree: bool,
    /// The knowledge base.
    pub link: knowledge::Link,
    /// Operations that wait for others to end.
    pub wakers: alloc::vec::Vec<core::task::Waker>,
}

/// The device manager.
#[derive(Clone)]
pub struct Manager {
    /// What changes.
    pub state: Rc<RefCell<State>>,
    /// The spawn service.
    pub spawn: SpawnClient<Client>,
    /// The monitor's system interface.
    pub system: SystemClient<Client>,
}

impl Manager {
    /// The monitor's system interface; whoever asks waits until then, at most.
    fn system_until(&self, deadline_ns: u64) -> SystemClient<Until> {
        SystemClient(self.system.0.until(deadline_ns))
    }
}

fn main() {
    rt::process::exit(task::block_on(run()))
}

async fn run() -> i32 {
    match set_up().await {
        Ok((manager, server)) => serve(&manager, &server).await,
        Err(e) => {
            rt::println!("devmgr: {e}");
            if let Some(kernel) = env::given("kernel") {
                // Nobody has a console: the machine's end shows the kernel's log.
                let _ = invoke::kernel_halt(kernel, 1);
            }
            1
        }
    }
}

async fn set_up() -> Result<(Manager, Server), String> {
    let lost = |e: BindError| e.to_string();
    let text = |e: PeerError| e.to_string();
    let spawn = chan::connect::<Spawn>("spawn").await.map_err(lost)?;
    let system = SystemClient(Client::names().await.map_err(text)?);
    let mut machine = discovery::machine()?;
    let own = env::osnode();
    let ledger = facts(core::mem::take(&mut machine.facts));
    let manager = Manager {
        state: Rc::new(RefCell::new(State {
            registry: Registry::new(&machine.description.cores, own),
            described: alloc::vec::Vec::new(),
            drivers: BTreeMap::new(),
            next_osnode: own + 1,
            last_group: 0,
            tree: machine.tree,
            link: knowledge::Link::new(ledger),
            wakers: alloc::vec::Vec::new(),
        })),
        spawn,
        system,
    };
    knowledge::tell_running(&manager).await;
    knowledge::connect(&manager).await;
    start::describe(&manager, &machine);
    let again = env::is_again();
    if !again {
        start::console(&manager, &machine).await?;
    }
    // Its own lines go there, too: this process was started before there was a console.
    rt::io::set_console(Client::lookup("console").await.map_err(lost)?);
    if again {
        // What it had started goes on, or is started again without it.
        survey::take_up(&manager).await?;
    } else {
        memory::start(&manager.spawn, &machine).await?;
        start::driver(&manager, &machine).await?;
    }
    let server = Server::open().map_err(|e| e.message().to_string())?;
    server.register("cores").await.map_err(text)?;
    Ok((manager, server))
}

/// What the knowledge base is told at first.
fn facts(mut machine: Changes) -> Ledger {
    let mut ledger = Ledger::new();
    let found = env::archive().map(archive::Archive::open);
    if let Some(Ok(archive)) = found {
        collect::archive(archive.entries().flatten().map(|e| e.name), &mut machine);
    }
    let clock = if env::is_emulated() {
        "emulated"
    } else {
        "real"
    };
    machine.assert("clock", &[collect::symbol(clock)]);
    ledger.add(machine);
    ledger
}

async fn serve(manager: &Manager, server: &Server) -> i32 {
    task::spawn(queries::watch(manager.clone()));
    loop {
        let request = server.next().await;
        let manager = manager.clone();
        task::spawn(async move { take(&manager, request).await });
    }
}

/// Answers; an asker that is gone needs no answer.
fn answer(request: &Request, reply: &CoresReply, text: &str) {
    let _ = request.answer(reply, Attach::blob(text.as_bytes()));
}

fn refuse(request: &Request, error: ServiceError, text: &str) {
    answer(request, &CoresReply::Refused { error }, text);
}

async fn take(manager: &Manager, request: Request) {
    match request.decode::<CoresRequest>() {
        Err(_) => refuse(&request, ServiceError::BadMessage, ""),
        Ok(CoresRequest::Operate { op, core, fresh }) => {
            let pause_ns = 0;
            let wanted = devmgr::Operation {
                op,
                core,
                fresh,
                pause_ns,
            };
            operations::run(manager, &request, wanted).await;
        }
        Ok(CoresRequest::Pause { core, for_ns }) => {
            let wanted = devmgr::Operation {
                op: CoreOp::Stop,
                core,
                fresh: false,
                // Without a time it would be a stop.
                pause_ns: for_ns.max(1),
            };
            operations::run(manager, &request, wanted).await;
        }
        Ok(CoresRequest::OperateAll { op, fresh }) => {
            together::run(manager, &request, op, fresh).await;
        }
        Ok(CoresRequest::Move { from, to }) => moving::run(manager, &request, from, to).await,
        Ok(CoresRequest::Destroy { core }) => destruction::run(manager, &request, core).await,
        Ok(CoresRequest::Core { index }) => queries::core(manager, &request, index).await,
        Ok(CoresRequest::Kernel { index }) => queries::kernel(manager, &request, index).await,
        Ok(CoresRequest::Osnode { index }) => queries::osnode(manager, &request, index).await,
        Ok(CoresRequest::Log { core }) => queries::log(manager, &request, core).await,
        Ok(CoresRequest::Tell {}) => knowledge::wanted(manager, &request).await,
    }
}
