//! Carrying out what a sequence says.

use alloc::string::{String, ToString};

use bootseq::{Action, Failure, Input, Lines, Outcome, Record, Sequence, Signal, Success};
use capfmt::{CoreCommand, CoreStatus, PhysAddr};
use rt::{CapAddr, SysError, invoke, task, time};

use crate::Platform;
use crate::cores::{CoreHandle, FIRMWARE_ENTRY, OP, word};
use crate::driver::{Driver, target};
use crate::marks::Marks;
use crate::together::Member;
use crate::{image, osnode, report};

/// One operation under way.
pub struct Running<'d, P: Platform> {
    driver: &'d Driver<P>,
    core: u32,
    kernel: String,
    /// Id of the OSnode to be made, if one is.
    fresh: u64,
    /// A fresh OSnode was made.
    pub made: bool,
    /// Why something was refused.
    pub why: String,
    /// The epitaph that was saved.
    pub epitaph: String,
    /// System time at which the core was first and last touched.
    pub switched: (u64, u64),
    /// The operations that this one goes together with.
    member: Member<'d>,
    switching: bool,
}

impl<'d, P: Platform> Running<'d, P> {
    /// Before the first action.
    pub fn new(
        driver: &'d Driver<P>,
        core: u32,
        kernel: String,
        fresh: u64,
        member: Member<'d>,
    ) -> Self {
        Running {
            driver,
            core,
            kernel,
            fresh,
            made: false,
            why: String::new(),
            epitaph: String::new(),
            switched: (0, 0),
            member,
            switching: false,
        }
    }

    /// The core that it is about.
    pub fn core(&self) -> u32 {
        self.core
    }
    /// As [`Running::core`], for a sequence.
    pub fn target(&self) -> bootseq::Target {
        target(self.driver, self.core)
    }

    /// The OSnode that was made, or 0.
    pub fn kept_osnode(&self) -> u64 {
        if self.made { self.fresh } else { 0 }
    }

    /// KCB that an operation may have left without a kernel.
    pub fn left(&self, outcome: &Outcome) -> Option<u64> {
        match outcome {
            Ok(Success::Stopped { kcb }) => Some(*kcb),
            Err(Failure::Failed { .. }) => {
                let control = self.handle().ok()?.control;
                invoke::core_info(control).ok().map(|i| i.kcb)
            }
            _ => None,
        }
    }

    /// Runs a sequence to its end.
    pub async fn run(&mut self, mut sequence: Sequence) -> Outcome {
        let mut input = Input::Begin;
        let mut marks = Marks::default();
        loop {
            let action = sequence.next(time::system_ns(), input);
            self.note(sequence.is_switching());
            if let Action::Finish(outcome) = action {
                self.leave(&mut marks);
                return outcome;
            }
            input = self.act(action, &mut marks).await;
        }
    }

    /// The operation is over.
    pub fn leave(&mut self, marks: &mut Marks) {
        let over = Action::Finish(Ok(Success::Nothing));
        self.leave_low_pages(over);
        marks.before(&over);
        self.note(false);
    }

    /// Carries one action out, in turn with the other operations.
    pub async fn act(&mut self, action: Action, marks: &mut Marks) -> Input {
        self.leave_low_pages(action);
        marks.before(&action);
        while action.is_long() && self.driver.switching.get() > u32::from(self.switching) {
            // Another core is between two kernels: it goes first.
            task::yield_now().await;
        }
        if action == Action::Signal(Signal::PowerOn)
            && let Err(e) = self.take_low_pages().await
        {
            return Input::Failed(e);
        }
        let input = self.carry_out(action).await;
        marks.after(&action, &input);
        if self.member.has_company() && matches!(action, Action::Command { .. }) {
            // The others' turn to command their cores: so the switches go side by side.
            task::yield_now().await;
        }
        input
    }

    /// Whether the core is between two kernels now.
    pub fn note(&mut self, switching: bool) {
        let count = &self.driver.switching;
        match (self.switching, switching) {
            (false, true) => {
                count.set(count.get() + 1);
                if self.switched.0 == 0 {
                    self.switched.0 = time::system_ns();
                }
            }
            (true, false) => {
                count.set(count.get() - 1);
                self.switched.1 = time::system_ns();
            }
            _ => {}
        }
        self.switching = switching;
    }

    fn handle(&self) -> Result<CoreHandle, SysError> {
        let h = self.driver.holdings.borrow();
        h.cores
            .get(&self.core)
            .copied()
            .ok_or(SysError::NoCapability)
    }

    async fn carry_out(&mut self, action: Action) -> Input {
        let done = match action {
            Action::Wait { until_ns } => {
                wait(until_ns).await;
                return Input::Done;
            }
            Action::Prepared => {
                self.member.prepared().await;
                return Input::Done;
            }
            Action::MakeOsnode => return self.make_osnode().await,
            Action::LoadImage { area, kcb } => return self.load(area, kcb),
            Action::SaveEpitaph => self.save_epitaph(),
            Action::RestoreImage { area } => self.on_area(area, |w, at| {
                // An area without a kernel is found by the start that follows: nothing runs there.
                let _ = genesis::restore_kernel(w, at);
            }),
            Action::Poison { area } => self.on_area(area, genesis::poison),
            other => self.on_control(other),
        };
        done.unwrap_or_else(Input::Failed)
    }

    /// What is done by one invocation or two.
    fn on_control(&self, action: Action) -> Result<Input, SysError> {
        let handle = self.handle()?;
        let control = handle.control;
        Ok(match action {
            Action::ReadRecord => {
                let [op, phase, kcb, ..] = invoke::core_read(control, OP)?;
                Input::Record(Record { op, phase, kcb })
            }
            Action::WriteRecord(r) => {
                invoke::core_phase(control, r.op, r.phase, r.kcb)?;
                Input::Done
            }
            Action::ReadLines => Input::Lines(lines(control)?),
            Action::Command {
                command,
                kcb,
                image,
            } => Input::Commanded(self.command(control, command, kcb, image)?),
            Action::Signal(signal) => {
                let argument = match signal {
                    Signal::PowerOn => P::power_argument(word(control, FIRMWARE_ENTRY)?),
                    _ => 0,
                };
                let status = invoke::core_signal(control, signal as u64, argument)?;
                Input::Signalled(status.cast_signed())
            }
            _ => Input::Done,
        })
    }

    fn command(
        &self,
        control: CapAddr,
        command: CoreCommand,
        kcb: u64,
        image: u64,
    ) -> Result<u64, SysError> {
        let h = self.driver.holdings.borrow();
        let of = h.kcbs.values().find(|k| k.kcb == kcb);
        let cap = of.map_or(CapAddr::NULL, |k| k.cap);
        invoke::core_command(control, command, cap, image)
    }

    /// Makes the low pages lead this core, and only this core, into its pen, once: by the time
    /// of a second SIPI the first may have let the core out, and its code uses words of the page.
    async fn take_low_pages(&self) -> Result<(), SysError> {
        if self.driver.low_page == 0 || self.driver.let_out.get() == Some(self.core) {
            return Ok(());
        }
        while self.driver.let_out.get().is_some() {
            task::yield_now().await;
        }
        let object = PhysAddr(self.handle()?.object);
        let mut h = self.driver.holdings.borrow_mut();
        P::aim_low_pages(&mut h.window, self.driver.low_page, object);
        self.driver.let_out.set(Some(self.core));
        Ok(())
    }

    /// Leaves the low pages to other cores, once this one is in its pen or is given up: what
    /// follows is none of the steps that let a core out.
    fn leave_low_pages(&self, next: Action) {
        let starts = matches!(
            next,
            Action::Command {
                command: CoreCommand::Start,
                ..
            }
        );
        let over = starts || next.is_long() || matches!(next, Action::Finish(_));
        if over && self.driver.let_out.get() == Some(self.core) {
            self.driver.let_out.set(None);
        }
    }

    async fn make_osnode(&mut self) -> Input {
        match osnode::make(self.driver, self.core, self.fresh).await {
            Ok(kcb) => {
                self.made = true;
                Input::Osnode(Some(kcb))
            }
            Err(e) => {
                self.why = e;
                Input::Osnode(None)
            }
        }
    }

    fn load(&mut self, area: u64, kcb: u64) -> Input {
        match image::load(self.driver, self.core, area, kcb, &self.kernel) {
            Ok(()) => Input::Loaded(true),
            Err(e) => {
                self.why = e;
                Input::Loaded(false)
            }
        }
    }

    fn save_epitaph(&mut self) -> Result<Input, SysError> {
        self.epitaph = report::epitaph(self.handle()?.control)?
            .trim_end()
            .to_string();
        Ok(Input::Done)
    }

    fn on_area(
        &self,
        area: u64,
        f: impl FnOnce(&mut crate::Window, PhysAddr),
    ) -> Result<Input, SysError> {
        let at = PhysAddr(self.handle()?.areas[area as usize & 1]);
        let mut h = self.driver.holdings.borrow_mut();
        f(&mut h.window, at);
        h.window.publish(at, genesis::IMAGE_AREA_BYTES);
        Ok(Input::Done)
    }
}

/// Sleeps until a system time, or lets others run for a moment.
async fn wait(until_ns: u64) {
    if until_ns > time::system_ns() {
        time::system_sleep_until(until_ns).await;
    } else {
        time::spin_pause();
        task::yield_now().await;
    }
}

/// What a core's status word means; a word that nobody wrote counts as off.
pub fn status(word: u64) -> CoreStatus {
    const ALL: [CoreStatus; 6] = [
        CoreStatus::Off,
        CoreStatus::Detached,
        CoreStatus::Penned,
        CoreStatus::Starting,
        CoreStatus::Running,
        CoreStatus::Crashed,
    ];
    let found = ALL.into_iter().find(|s| *s as u64 == word);
    found.unwrap_or(CoreStatus::Off)
}

fn lines(control: CapAddr) -> Result<Lines, SysError> {
    let info = invoke::core_info(control)?;
    Ok(Lines {
        status: status(info.status),
        target_seq: info.target_seq,
        kcb: info.kcb,
        home_seq: info.home_seq,
        image: info.image,
        epitaph: info.epitaph_kind != 0,
    })
}
