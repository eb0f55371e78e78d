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

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::convert::Infallible;

use devmgr::{Ledger, Operation, Registry};
use proto::iface::cores::{Core, CoreOp, Cores, CoresServer, Done, Kernel, Log, Osnode, Told};
use proto::iface::spawn::Spawn;
use proto::iface::system::SystemClient;
use proto::{PeerError, Refusal};
use rt::chan::{self, BindError, Client, Lasting, Request, Until};
use rt::{env, invoke, task};
use skb::collect;
use skb::datalog::Changes;

rt::entry!(main);

/// What changes; never borrowed across an `await`.
pub struct State {
    /// State of every core.
    pub registry: Registry,
    /// What the boot driver of this OSnode is told of the cores.
    pub described: Vec<start::Described>,
    /// Boot drivers by OSnode.
    pub drivers: BTreeMap<u64, operations::BootDriver>,
    /// When the boot driver of this OSnode was last waited for in vain (system time).
    pub driver_missed_ns: Option<u64>,
    /// Id of the OSnode that is made next; ids are never used again.
    pub next_osnode: u64,
    /// Number of the last group of operations that went together.
    pub last_group: u64,
    /// Whether firmware left a device tree.
    pub tree: bool,
    /// The knowledge base.
    pub link: knowledge::Link,
    /// OSnodes that ended by themselves and are destroyed, or could not be.
    pub ended: BTreeSet<u64>,
    /// Operations that wait for others to end.
    pub wakers: Vec<core::task::Waker>,
}

/// The device manager.
#[derive(Clone)]
pub struct Manager {
    /// What changes.
    pub state: Rc<RefCell<State>>,
    /// The spawn service.
    pub spawn: Rc<Lasting<Spawn>>,
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
    match serve().await {
        Ok(never) => match never {},
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

async fn serve() -> Result<Infallible, String> {
    let manager = set_up().await?;
    task::spawn(queries::watch(manager.clone()));
    let served = chan::serve_side_by_side::<Cores, _>("cores", Rc::new(manager));
    served.await.map_err(|e| e.to_string())
}

async fn set_up() -> Result<Manager, String> {
    let lost = |e: BindError| e.to_string();
    let text = |e: PeerError| e.to_string();
    let spawn = Lasting::open("spawn", |_| ()).await.map_err(text)?;
    let system = SystemClient(Client::names().await.map_err(text)?);
    let mut machine = discovery::machine()?;
    let own = env::osnode();
    let ledger = facts(core::mem::take(&mut machine.facts));
    let mut registry = Registry::new(&machine.description.cores, own);
    if machine.alone {
        registry.use_boot_core_alone();
    }
    let manager = Manager {
        state: Rc::new(RefCell::new(State {
            registry,
            described: Vec::new(),
            drivers: BTreeMap::new(),
            driver_missed_ns: None,
            next_osnode: own + 1,
            last_group: 0,
            tree: machine.tree,
            link: knowledge::Link::new(ledger),
            wakers: Vec::new(),
            ended: BTreeSet::new(),
        })),
        spawn: Rc::new(spawn),
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
        memory::start(&manager, &machine).await?;
        start::driver(&manager, &machine).await?;
    }
    Ok(manager)
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

/// The kernel's name in a request; what is not UTF-8 names none.
fn text(kernel: &[u8]) -> String {
    String::from_utf8_lossy(kernel).into_owned()
}

impl CoresServer<Request> for Manager {
    async fn operate(
        &self,
        _: &Request,
        op: CoreOp,
        core: u32,
        fresh: bool,
        kernel: Vec<u8>,
    ) -> Result<Done, Refusal> {
        let pause_ns = 0;
        let wanted = Operation {
            op,
            core,
            fresh,
            pause_ns,
        };
        operations::run(self, wanted, &text(&kernel)).await
    }

    async fn pause(&self, _: &Request, core: u32, for_ns: u64) -> Result<Done, Refusal> {
        let wanted = Operation {
            op: CoreOp::Stop,
            core,
            fresh: false,
            // Without a time it would be a stop.
            pause_ns: for_ns.max(1),
        };
        operations::run(self, wanted, "").await
    }

    async fn operate_all(
        &self,
        _: &Request,
        op: CoreOp,
        fresh: bool,
        kernel_and_cores: Vec<u8>,
    ) -> Result<Done, Refusal> {
        together::run(self, op, fresh, &kernel_and_cores).await
    }

    async fn move_osnode(
        &self,
        _: &Request,
        from: u32,
        to: u32,
        kernel: Vec<u8>,
    ) -> Result<Done, Refusal> {
        moving::run(self, from, to, text(&kernel)).await
    }

    async fn destroy(&self, _: &Request, core: u32) -> Result<Done, Refusal> {
        destruction::run(self, core).await
    }

    async fn core_at(&self, _: &Request, index: u32) -> Result<Core, Refusal> {
        queries::core(self, index).await
    }

    async fn kernel_at(&self, _: &Request, index: u32) -> Result<Kernel, Refusal> {
        queries::kernel(self, index).await
    }

    async fn osnode_at(&self, _: &Request, index: u32) -> Result<Osnode, Refusal> {
        queries::osnode(self, index).await
    }

    async fn log(&self, _: &Request, core: u32) -> Result<Log, Refusal> {
        queries::log(self, core).await
    }

    async fn tell_everything(&self, _: &Request) -> Result<Told, Refusal> {
        knowledge::connect(self).await;
        Ok(Told {})
    }
}
