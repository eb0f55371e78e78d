//! What a boot driver is asked.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;

use bootseq::{Failure, KcbSource, Op, Outcome, Request as Wanted, Sequence, Success, Timing};
use proto::ServiceError;
use proto::iface::cores::{CoreOp, CoreState};
use proto::iface::driver::{
    Crashed, Done, DriverError, DriverServer, Log, Processor, State, Survey,
};
use rt::chan::Request;
use rt::{CapAddr, invoke, time};

use crate::actions::Running;
use crate::cores::{self, Description};
use crate::driver::{Driver, control, core_state, explain, target};
use crate::marks::Marks;
use crate::together::Member;
use crate::{Platform, burial, moving, osnode, pause, report, survey};

/// The driver as it is asked.
pub struct Served<P>(pub Rc<Driver<P>>);

/// Why the driver refuses.
pub type Refusal = proto::Refusal<DriverError>;

/// A refusal that says what the core does.
pub fn refusal<P: Platform>(
    driver: &Driver<P>,
    core: u32,
    error: ServiceError,
    text: impl Into<String>,
) -> Refusal {
    let error = DriverError {
        error,
        state: core_state(driver, core),
        osnode: 0,
    };
    Refusal::new(error, text)
}

/// A request that takes no time is done.
pub fn done(osnode: u64, text: &str) -> Done {
    Done {
        osnode,
        took_ns: 0,
        switched: (0, 0),
        text: text.into(),
    }
}

/// The kernel that a request names.
pub fn kernel_name(blob: &[u8]) -> String {
    match blob {
        [] => String::from("std"),
        name => String::from_utf8_lossy(name).into_owned(),
    }
}

/// Counts an operation, until it is dropped: until its end it is not settled what a core does.
struct UnderWay<'d>(&'d Cell<u32>);

impl<'d> UnderWay<'d> {
    fn begin<P: Platform>(driver: &'d Driver<P>) -> Self {
        let count = &driver.under_way;
        count.set(count.get() + 1);
        UnderWay(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl<P: Platform> Served<P> {
    /// Reads something of a core's object.
    fn read<T>(
        &self,
        core: u32,
        read: impl FnOnce(CapAddr) -> Result<T, rt::SysError>,
    ) -> Result<T, Refusal> {
        let no_core = || {
            let text = "the core was never started";
            refusal(&self.0, core, ServiceError::NoCore, text)
        };
        let control = control(&self.0, core).ok_or_else(no_core)?;
        read(control).map_err(|e| refusal(&self.0, core, e.into(), e.message()))
    }
}

impl<P: Platform> DriverServer<Request> for Served<P> {
    async fn describe(
        &self,
        _: &Request,
        core: u32,
        hw_id: u64,
        node: u32,
        redistributors: (u64, u64),
    ) -> Result<Done, Refusal> {
        let described = Description {
            core,
            hw_id,
            node,
            redistributors,
        };
        let mut holdings = self.0.holdings.borrow_mut();
        holdings.described.insert(core, described);
        Ok(done(0, ""))
    }

    async fn operate(
        &self,
        _: &Request,
        op: CoreOp,
        core: u32,
        osnode: u64,
        fresh: u64,
        together: u64,
        kernel: Vec<u8>,
    ) -> Result<Done, Refusal> {
        let _counted = UnderWay::begin(&self.0);
        let member = self.0.groups.join(together);
        let kernel = kernel_name(&kernel);
        operate(&self.0, op, core, (osnode, fresh), member, kernel).await
    }

    async fn move_osnode(
        &self,
        _: &Request,
        osnode: u64,
        from: u32,
        to: u32,
        runs: bool,
        kernel: Vec<u8>,
    ) -> Result<Done, Refusal> {
        let _counted = UnderWay::begin(&self.0);
        let kernel = kernel_name(&kernel);
        moving::move_osnode(&self.0, osnode, (from, to), runs, kernel).await
    }

    async fn fence(&self, _: &Request, osnode: u64, core: u32) -> Result<Done, Refusal> {
        let _counted = UnderWay::begin(&self.0);
        burial::fence(&self.0, osnode, core)
    }

    async fn bury(&self, _: &Request, osnode: u64) -> Result<Done, Refusal> {
        let _counted = UnderWay::begin(&self.0);
        burial::bury(&self.0, osnode).await
    }

    async fn pause(
        &self,
        _: &Request,
        core: u32,
        osnode: u64,
        for_ns: u64,
        kernel: Vec<u8>,
    ) -> Result<Done, Refusal> {
        let _counted = UnderWay::begin(&self.0);
        pause::pause(&self.0, core, osnode, for_ns, kernel_name(&kernel)).await
    }

    async fn survey(&self, _: &Request) -> Result<Survey, Refusal> {
        let found = survey::found(&self.0).await;
        let found = proto::list::write(&found);
        Ok(Survey { found })
    }

    async fn state(&self, _: &Request, core: u32) -> Result<State, Refusal> {
        let state = core_state(&self.0, core);
        let epitaph = match (state, control(&self.0, core)) {
            (CoreState::Crashed, Some(c)) => report::epitaph(c).unwrap_or_default(),
            _ => String::new(),
        };
        let ended = match state {
            CoreState::Crashed => survey::ended_on(&self.0, core),
            _ => 0,
        };
        Ok(State {
            state,
            ended,
            epitaph: epitaph.into_bytes(),
        })
    }

    async fn hand_over(&self, _: &Request, core: u32, osnode: u64) -> Result<Done, Refusal> {
        if control(&self.0, core).is_some() {
            self.read(core, |c| invoke::core_hand_over(c, osnode))?;
        }
        Ok(done(0, ""))
    }

    async fn log(&self, _: &Request, core: u32) -> Result<Log, Refusal> {
        let text = self.read(core, report::log)?.into_bytes();
        Ok(Log { text })
    }

    async fn processor(&self, _: &Request, core: u32) -> Result<Processor, Refusal> {
        let words = self.read(core, report::processor)?;
        Ok(Processor { words })
    }

    async fn crashed(&self, _: &Request, first: u32) -> Result<Crashed, Refusal> {
        let all = (0..64).map(|bit| (bit, first.saturating_add(bit)));
        let crashed = all.filter(|(_, core)| core_state(&self.0, *core) == CoreState::Crashed);
        let cores = crashed.fold(0, |bits, (bit, _)| bits | 1 << bit);
        let ended = survey::ended(&self.0);
        Ok(Crashed { cores, ended })
    }
}

async fn operate<P: Platform>(
    driver: &Driver<P>,
    op: CoreOp,
    core: u32,
    (osnode, fresh): (u64, u64),
    member: Member<'_>,
    kernel: String,
) -> Result<Done, Refusal> {
    let start = time::system_ns();
    Marks::begin(op == CoreOp::Stop);
    if control(driver, core).is_none() {
        let made = cores::make_core(driver, core).await;
        made.map_err(|text| refusal(driver, core, ServiceError::OutOfMemory, text))?;
    }
    let target = target(driver, core);
    let kcb = {
        let h = driver.holdings.borrow();
        h.kcbs.get(&osnode).map(|k| k.kcb)
    };
    let (wanted, kcb) = match (op, kcb) {
        (CoreOp::Start, None) if osnode == 0 => (Op::Start, KcbSource::Fresh),
        (CoreOp::Start, kcb) => (Op::Start, KcbSource::Kept(kcb.unwrap_or(0))),
        (CoreOp::Stop, kcb) => (Op::Stop, KcbSource::Kept(kcb.unwrap_or(0))),
        (CoreOp::Update, kcb) => (Op::Update, KcbSource::Kept(kcb.unwrap_or(0))),
        (CoreOp::Recover, kcb) => (Op::Recover, KcbSource::Kept(kcb.unwrap_or(0))),
    };
    let mut running = Running::new(driver, core, kernel.clone(), fresh, member);
    let sequence = Sequence::new(target, Wanted { op: wanted, kcb }, Timing::DEFAULT);
    let outcome = running.run(sequence).await;
    // What was made before a refusal never ran; after a failure the OSnode is kept.
    if running.made && matches!(outcome, Err(Failure::Refused(_))) {
        osnode::discard(driver, fresh).await;
        running.made = false;
    }
    let took_ns = time::system_ns() - start;
    osnode::care(driver, running.left(&outcome));
    say(driver, &running, outcome, core, &kernel, took_ns)
}

/// What came of an operation.
///
/// # Errors
/// Why it failed.
pub fn say<P: Platform>(
    driver: &Driver<P>,
    running: &Running<'_, P>,
    outcome: Outcome,
    core: u32,
    kernel: &str,
    took_ns: u64,
) -> Result<Done, Refusal> {
    let osnode_of = |kcb: u64| {
        let h = driver.holdings.borrow();
        let of = h.kcbs.values().find(|k| k.kcb == kcb);
        of.map_or(0, |k| k.osnode)
    };
    let with_epitaph = |text: String| match running.epitaph.as_str() {
        "" => text,
        epitaph => format!("{text} (its last words: {epitaph})"),
    };
    let (osnode, text) = match outcome {
        Ok(Success::Running { kcb, crashed }) => {
            let osnode = osnode_of(kcb);
            let text = format!("core {core} runs o{osnode} with kernel {kernel}");
            let text = if crashed { with_epitaph(text) } else { text };
            (osnode, text)
        }
        Ok(Success::Stopped { kcb }) => {
            let osnode = osnode_of(kcb);
            (osnode, format!("core {core} is stopped, o{osnode} is kept"))
        }
        Ok(Success::Nothing) => (0, String::from("nothing was to be done")),
        Err(failure) => {
            let (error, text) = explain(failure, running, core);
            let mut refusal = refusal(driver, core, error, with_epitaph(text));
            refusal.error.osnode = running.kept_osnode();
            return Err(refusal);
        }
    };
    Ok(Done {
        osnode,
        took_ns,
        switched: running.switched,
        text: text.into_bytes(),
    })
}
