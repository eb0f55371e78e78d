//! The service: operations on cores, executed here.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::marker::PhantomData;

use abi::{bootinfo, slots};
use archive::Archive;
use bootseq::{Failure, Refusal, Sequence, Success};
use bootseq::{Target, Timing};
use proto::iface::cores::CoreState;
use proto::iface::driver as said;
use proto::iface::system::SystemClient;
use proto::{Dispatch, PeerError, ServiceError};
use rt::chan::{Client, Server};
use rt::vspace::{self, Access};
use rt::{CapAddr, env, invoke, task};

use crate::actions::{Running, status};
use crate::cores::{self, Holdings, sentence};
use crate::requests::Served;
use crate::together::Groups;
use crate::{Platform, Window, guard, moving, osnode};

/// Words of the boot information that a new OSnode gets, too.
#[derive(Clone, Copy, Debug)]
pub struct Boot {
    /// Address of the archive.
    pub archive: u64,
    /// Its bytes.
    pub archive_bytes: u64,
    /// RSDP.
    pub rsdp: u64,
    /// Device tree.
    pub fdt: u64,
    /// Counter at the loader's entry.
    pub entry_counter: u64,
    /// First byte after all RAM.
    pub ram_end: u64,
}

/// A boot driver.
pub struct Driver<P> {
    pub holdings: RefCell<Holdings>,
    pub archive: Archive<'static>,
    /// Files whose hash was compared: nobody can write the archive's memory.
    verified: RefCell<BTreeMap<String, &'static [u8]>>,
    /// The monitor's system interface.
    pub system: SystemClient<Client>,
    pub boot: Boot,
    pub cmdline: String,
    pub window_table: u64,
    /// Kernel capability with every right, or null.
    pub kernel: CapAddr,
    /// Low pages for firmware (x86), or 0.
    pub low_page: u64,
    /// The core that firmware lets out through the low pages now.
    pub let_out: Cell<Option<u32>>,
    /// Features of this driver's own core: any other is taken to have them as long as no kernel ran there.
    own_features: u64,
    /// Operations that are between two kernels.
    pub switching: Cell<u32>,
    /// Operations that were begun and are not answered.
    pub under_way: Cell<u32>,
    /// Operations that go together.
    pub groups: Groups,
    platform: PhantomData<P>,
}

/// Core time that a driver has before others, in each period (ns).
const BUDGET_NS: u64 = 5_000_000;
/// Period of the budget (ns).
const PERIOD_NS: u64 = 10_000_000;

impl<P: Platform> Driver<P> {
    /// NUMA node of a core.
    pub fn node_of(&self, core: u32) -> u32 {
        let h = self.holdings.borrow();
        h.described.get(&core).map_or(0, |d| d.node)
    }

    /// Features of a core, as far as they are known.
    pub fn features_of(&self, core: u32) -> u64 {
        let said = control(self, core).and_then(|c| cores::word(c, cores::FEATURES).ok());
        said.filter(|f| *f != 0).unwrap_or(self.own_features)
    }

    /// A file of the archive, its hash compared at its first use.
    ///
    /// # Errors
    /// A sentence: missing, not listed, or damaged.
    pub fn file(&self, path: &str) -> Result<&'static [u8], String> {
        if let Some(known) = self.verified.borrow().get(path) {
            return Ok(known);
        }
        let mut entries = self.archive.entries().flatten();
        let entry = entries.find(|e| e.name == path);
        let name = entry
            .ok_or_else(|| format!("there is no file {path}: ls lists what there is"))?
            .name;
        let data = self.archive.verified(name).map_err(|e| e.to_string())?;
        self.verified.borrow_mut().insert(name.to_string(), data);
        Ok(data)
    }

    async fn open() -> Result<Driver<P>, String> {
        let info = env::given("boot-info").ok_or("boot-info was not given")?;
        let info = vspace::map(info, 0, bootinfo::BYTES, Access::Read);
        let info = info.map_err(|e| sentence("the boot information", e))?;
        let word = |at: u64| info.load(at);
        let bytes = env::archive().ok_or("the boot archive was not given")?;
        let archive =
            Archive::open(bytes).map_err(|e| format!("the boot archive is damaged: {e}"))?;
        let text = |e: PeerError| e.to_string();
        let names = Client::names().await.map_err(text)?;
        let len = word(bootinfo::word::CMDLINE_BYTES).min(bootinfo::BYTES);
        let mut cmdline = alloc::vec![0; len as usize];
        info.read(word(bootinfo::word::CMDLINE), &mut cmdline);
        let boot = Boot {
            archive: word(bootinfo::word::ARCHIVE),
            archive_bytes: word(bootinfo::word::ARCHIVE_BYTES),
            rsdp: word(bootinfo::word::RSDP),
            fdt: word(bootinfo::word::FDT),
            entry_counter: word(bootinfo::word::ENTRY_COUNTER),
            ram_end: word(bootinfo::word::RAM_END),
        };
        let mut driver = Driver {
            holdings: RefCell::new(Holdings {
                described: Default::default(),
                cores: Default::default(),
                kcbs: Default::default(),
                window: Window::new(),
            }),
            archive,
            verified: RefCell::default(),
            system: SystemClient(names),
            boot,
            cmdline: String::from_utf8_lossy(&cmdline).into_owned(),
            window_table: word(bootinfo::word::WINDOW_TABLE),
            kernel: env::given("kernel").unwrap_or(CapAddr::NULL),
            low_page: 0,
            let_out: Cell::new(None),
            own_features: 0,
            switching: Cell::new(0),
            under_way: Cell::new(0),
            groups: Groups::default(),
            platform: PhantomData,
        };
        driver.take_given()?;
        Ok(driver)
    }

    fn take_given(&mut self) -> Result<(), String> {
        let h = self.holdings.get_mut();
        for core in 0..64 {
            cores::take_given(h, core)?;
        }
        for (name, kcb) in env::all_given() {
            if name.as_str().starts_with(osnode::KEPT_KCB) {
                cores::take_kcb(h, kcb)?;
            }
        }
        let own = h.kcbs.values().next().ok_or("no KCB was given")?;
        let info = invoke::kcb_info(own.cap).map_err(|e| sentence("the KCB", e))?;
        self.own_features = info.features;
        if let Some(frame) = env::given("trampoline") {
            let id = invoke::identify(frame).map_err(|e| sentence("the low pages", e))?;
            let (base, bytes) = (id.cap.base.0, id.cap.size);
            let mapped = h.window.add(frame, base, bytes, bytes);
            mapped.map_err(|e| sentence("mapping the low pages", e))?;
            self.low_page = base;
        }
        // What other OSnodes get copies of is marked here.
        if h.cores.len() == 1 && h.kcbs.contains_key(&env::osnode()) {
            export_shared(self.kernel);
        }
        Ok(())
    }
}

fn export_shared(kernel: CapAddr) {
    let shared = [
        Some(slots::ARCHIVE),
        env::given("image0.0"),
        env::given("image1.0"),
    ];
    for cap in shared.into_iter().flatten() {
        if let Err(e) = invoke::cap_export(kernel, cap) {
            rt::println!("boot driver: sharing a frame: {}", e.message());
        }
    }
}

/// Runs the driver for as long as the process lives; its exit status.
pub async fn serve<P: Platform>() -> i32 {
    // An OSnode stands still while its core changes kernels: programs beside the driver must not
    // take a turn in between. What goes over the budget (loading) shares the core like others.
    if let Err(e) = rt::invoke::disp_schedule(slots::DISPATCHER, 1, BUDGET_NS, PERIOD_NS) {
        rt::println!(
            "{}: no budget of core time: {}",
            env::program(),
            e.message()
        );
    }
    let driver = match Driver::<P>::open().await {
        Ok(d) => Rc::new(d),
        Err(e) => {
            rt::println!("{}: cannot start: {e}", P::NAME);
            return 1;
        }
    };
    if env::is_again() {
        take_up(&driver).await;
    }
    let server = match Server::open() {
        Ok(s) => s,
        Err(e) => {
            rt::println!("{}: no endpoint for the service: {}", P::NAME, e.message());
            return 1;
        }
    };
    server.offer::<said::Driver>();
    if let Err(e) = server.register(".bootdrv").await {
        rt::println!("{}: cannot register the service: {e}", P::NAME);
        return 1;
    }
    task::spawn(guard::watch(driver.clone()));
    loop {
        let request = server.next().await;
        let served = Served(driver.clone());
        task::spawn(async move { said::Driver::dispatch(&served, request).await });
    }
}

fn state_of(word: u64) -> CoreState {
    match status(word) {
        capfmt::CoreStatus::Off => CoreState::Off,
        capfmt::CoreStatus::Detached => CoreState::Detached,
        capfmt::CoreStatus::Penned => CoreState::Penned,
        capfmt::CoreStatus::Starting => CoreState::Starting,
        capfmt::CoreStatus::Running => CoreState::Running,
        capfmt::CoreStatus::Crashed => CoreState::Crashed,
    }
}

/// State of a core; one without objects was never started.
pub(crate) fn core_state<P: Platform>(driver: &Driver<P>, core: u32) -> CoreState {
    let control = driver.holdings.borrow().cores.get(&core).map(|c| c.control);
    let info = control.and_then(|c| invoke::core_info(c).ok());
    info.map_or(CoreState::Off, |i| state_of(i.status))
}

pub(crate) fn control<P: Platform>(driver: &Driver<P>, core: u32) -> Option<CapAddr> {
    let h = driver.holdings.borrow();
    h.cores.get(&core).map(|c| c.control)
}

pub(crate) fn target<P: Platform>(driver: &Driver<P>, core: u32) -> Target {
    Target {
        core,
        known: control(driver, core).is_some(),
        own: env::core() == core,
        boot_processor: {
            let h = driver.holdings.borrow();
            h.cores.get(&core).is_some_and(|c| c.is_boot)
        },
        power: P::POWER,
    }
}

/// Finishes or undoes what the driver before this one left unfinished: the cores' objects say what
/// that was.
async fn take_up<P: Platform>(driver: &Driver<P>) {
    let mut cores: Vec<u32> = driver.holdings.borrow().cores.keys().copied().collect();
    cores.retain(|core| *core != env::core());
    // Whether an OSnode that was being moved runs on another core is known once all others are done.
    cores.sort_by_key(|core| moving::left(driver, *core).is_some());
    for core in cores {
        let member = driver.groups.join(0);
        let mut running = Running::new(driver, core, String::from("std"), 0, member);
        let elsewhere =
            moving::left(driver, core).is_some_and(|kcb| moving::runs(driver, kcb, core));
        let sequence = Sequence::resume(target(driver, core), Timing::DEFAULT).elsewhere(elsewhere);
        match running.run(sequence).await {
            Ok(Success::Nothing) => {}
            Ok(Success::Running { .. }) => {
                rt::println!("{}: core {core} was in between, and runs", P::NAME);
            }
            Ok(Success::Stopped { .. }) => {
                rt::println!("{}: core {core} was in between, and is stopped", P::NAME);
            }
            Err(failure) => {
                let (_, text) = explain(failure, &running, core);
                rt::println!("{}: core {core} was in between: {text}", P::NAME);
            }
        }
    }
}

/// The error and the sentence for a failed operation.
pub(crate) fn explain<P: Platform>(
    failure: Failure,
    running: &Running<'_, P>,
    core: u32,
) -> (ServiceError, String) {
    let error = match failure {
        Failure::Refused(Refusal::UnknownCore) => ServiceError::NoCore,
        Failure::Refused(Refusal::OwnCore) => ServiceError::OwnCore,
        Failure::Refused(Refusal::Kernel) => ServiceError::BadKernel,
        Failure::Refused(Refusal::Osnode) => ServiceError::OutOfMemory,
        Failure::Refused(_) => ServiceError::BadCoreState,
        Failure::Failed { reason, .. } => match reason {
            bootseq::Reason::Panicked => ServiceError::KernelCrashed,
            bootseq::Reason::Sys(e) => ServiceError::Sys(e),
            bootseq::Reason::Firmware(_) => ServiceError::Sys(rt::SysError::Firmware),
            _ => ServiceError::CoreTimeout,
        },
    };
    let text = match failure {
        Failure::Refused(Refusal::Kernel) => {
            format!("{}; core {core} was not touched", running.why)
        }
        Failure::Refused(Refusal::Osnode) => running.why.clone(),
        other => format!("core {core}: {other}"),
    };
    (error, text)
}
