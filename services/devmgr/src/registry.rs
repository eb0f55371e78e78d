//! Every core's state, and the checks before an operation is handed to a boot driver.
//!
//! DESIGN §5: an operation on a core is executed in an OSnode that the operation
//! does not detach, and nobody detaches that OSnode meanwhile.

use alloc::vec::Vec;

use proto::iface::cores::{CoreOp, CoreState};

use crate::{CoreDescription, Refusal};

/// What is known of one core.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoreRecord {
    /// What firmware says.
    pub description: CoreDescription,
    /// What it does.
    pub state: CoreState,
    /// OSnode that its kernel runs, or ran when it stopped or crashed last; 0 = none.
    pub osnode: u64,
    /// The boot driver of this machine is for its kind.
    driven: bool,
    /// Operation in progress on it.
    busy: bool,
    /// Operations on other cores that its OSnode executes now.
    executing: u32,
}

/// What is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operation {
    /// What.
    pub op: CoreOp,
    /// On which core.
    pub core: u32,
    /// `Start`: make a new OSnode even if one was stopped there.
    pub fresh: bool,
    /// `Stop`: the core is started again after this time (ns); 0 = it stays in its pen.
    pub pause_ns: u64,
}

/// An operation that passed every check; finish it with [`Registry::finish`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The operation.
    pub operation: Operation,
    /// OSnode whose KCB will be run; 0 = a new one is made.
    pub osnode: u64,
    /// OSnode whose boot driver executes.
    pub executor: u64,
    /// The core that it runs on.
    pub executor_core: u32,
}

/// A move that passed every check; finish it with [`Registry::finish_move`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MovePlan {
    /// The core that the OSnode leaves.
    pub from: u32,
    /// The core that it goes to.
    pub to: u32,
    /// The OSnode.
    pub osnode: u64,
    /// Whether a kernel runs it.
    pub runs: bool,
    /// OSnode whose boot driver executes.
    pub executor: u64,
    /// The core that it runs on.
    executor_core: u32,
}

/// All cores.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    cores: Vec<CoreRecord>,
    /// OSnodes that run nowhere: (id, core they were stopped on), oldest first.
    pub(crate) detached: Vec<(u64, u32)>,
    home: u64,
    /// Core 0 is used without the others, of which firmware says nothing sound.
    alone: bool,
}

impl Registry {
    /// Cores as described, core 0 running OSnode `home`, the others off.
    #[must_use]
    pub fn new(cores: &[CoreDescription], home: u64) -> Registry {
        let record = |(i, d): (usize, &CoreDescription)| CoreRecord {
            description: *d,
            state: if i == 0 {
                CoreState::Running
            } else {
                CoreState::Off
            },
            osnode: if i == 0 { home } else { 0 },
            driven: true,
            busy: false,
            executing: 0,
        };
        Registry {
            cores: cores.iter().enumerate().map(record).collect(),
            detached: Vec::new(),
            home,
            alone: false,
        }
    }

    /// Takes over what a boot driver found, after this service died: for each OSnode the core that runs it, or on
    /// which it was left, and for each core without one what it does.
    pub fn restore(&mut self, found: &[(u64, u32, CoreState)]) {
        for &(osnode, core, state) in found {
            let Some(c) = self.cores.get_mut(core as usize) else {
                continue;
            };
            match state {
                _ if osnode == 0 => c.state = state,
                CoreState::Running | CoreState::Starting | CoreState::Crashed => {
                    c.state = state;
                    c.osnode = osnode;
                }
                _ => self.detached.push((osnode, core)),
            }
        }
        // Which of several was stopped last is not known: the younger OSnode counts as that.
        self.detached.sort_unstable();
    }

    /// The boot driver of this machine is not for these cores.
    pub fn exclude(&mut self, cores: &[u32]) {
        for core in cores {
            if let Some(c) = self.cores.get_mut(*core as usize) {
                c.driven = false;
            }
        }
    }

    /// What firmware says of other cores than the boot core is damaged.
    pub fn use_boot_core_alone(&mut self) {
        self.alone = true;
    }

    /// Why there is no such core.
    #[must_use]
    pub fn no_core(&self, core: u32) -> Refusal {
        match self.alone {
            true => Refusal::Alone(core),
            false => Refusal::NoCore(core, self.len()),
        }
    }

    /// Number of cores.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.cores.len() as u32
    }
    /// Whether there is no core.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cores.is_empty()
    }
    /// One core.
    #[must_use]
    pub fn core(&self, core: u32) -> Option<&CoreRecord> {
        self.cores.get(core as usize)
    }

    /// OSnodes in the order of their ids: (id, core it runs on or was stopped on, whether it runs).
    #[must_use]
    pub fn osnodes(&self) -> Vec<(u64, u32, bool)> {
        let mut all: Vec<_> = self.detached.iter().map(|(o, c)| (*o, *c, false)).collect();
        for (i, c) in self.cores.iter().enumerate() {
            let listed = all.iter().any(|(o, ..)| *o == c.osnode);
            if c.osnode != 0 && !listed {
                all.push((c.osnode, i as u32, c.state == CoreState::Running));
            }
        }
        all.sort_unstable();
        all
    }

    /// Takes over what a core's object says of it, unless an operation on it is in progress; the
    /// OSnode of a kernel that was not known to have crashed.
    pub fn observe(&mut self, core: u32, state: CoreState) -> Option<u64> {
        let c = self.cores.get_mut(core as usize)?;
        if c.busy || c.state == CoreState::Lost {
            return None;
        }
        let crashed = state == CoreState::Crashed && c.state != state;
        c.state = state;
        crashed.then_some(c.osnode)
    }

    /// Cores that run an OSnode, but for `own`.
    #[must_use]
    pub fn others_running(&self, own: u32) -> Vec<u32> {
        let all = (0..).zip(&self.cores);
        let runs = all.filter(|(i, c)| *i != own && c.state == CoreState::Running);
        runs.map(|(i, _)| i).collect()
    }

    /// Checks an operation and reserves its cores.
    ///
    /// # Errors
    /// See [`Refusal`]; [`Refusal::Busy`] may pass by itself.
    pub fn plan(&mut self, operation: Operation) -> Result<Plan, Refusal> {
        let Operation {
            op, core, fresh, ..
        } = operation;
        let c = self.core(core).ok_or_else(|| self.no_core(core))?;
        if !c.driven {
            return Err(Refusal::NotDriven(core));
        }
        if c.state == CoreState::Lost {
            return Err(Refusal::Lost(core));
        }
        if c.busy || c.executing > 0 {
            return Err(Refusal::Busy(core));
        }
        match (op, c.state) {
            (CoreOp::Start, CoreState::Running) => return Err(Refusal::Running(core, c.osnode)),
            (CoreOp::Start | CoreOp::Stop | CoreOp::Update, CoreState::Crashed) => {
                return Err(Refusal::Crashed(core));
            }
            (CoreOp::Start, _) => {}
            (CoreOp::Stop, CoreState::Running)
                if c.osnode == self.home && operation.pause_ns == 0 =>
            {
                return Err(Refusal::Console(core));
            }
            (CoreOp::Stop | CoreOp::Update, CoreState::Running) => {}
            (CoreOp::Stop | CoreOp::Update, s) => return Err(Refusal::NotRunning(core, s)),
            // One that runs may hang: only its kernel's answer to a stop tells.
            (CoreOp::Recover, CoreState::Crashed | CoreState::Starting | CoreState::Running) => {}
            (CoreOp::Recover, _) if self.last_stopped(core).is_some() => {
                return Err(Refusal::Stopped(core));
            }
            (CoreOp::Recover, s) => return Err(Refusal::NotRunning(core, s)),
        }
        let osnode = match op {
            CoreOp::Start if fresh => 0,
            CoreOp::Start => self.last_stopped(core).unwrap_or(0),
            _ => c.osnode,
        };
        let executor_core = self.executor_for(core)?;
        let executor = self.cores[executor_core as usize].osnode;
        self.cores[executor_core as usize].executing += 1;
        self.cores[core as usize].busy = true;
        Ok(Plan {
            operation,
            osnode,
            executor,
            executor_core,
        })
    }

    fn last_stopped(&self, core: u32) -> Option<u64> {
        let of_core = self.detached.iter().rev().find(|(_, c)| *c == core);
        of_core.map(|(o, _)| *o)
    }

    /// The core whose OSnode executes: the home OSnode's, which has the control of every core; for
    /// the core that it runs on itself the lowest other one, all of which have that core's.
    fn executor_for(&self, core: u32) -> Result<u32, Refusal> {
        let runs = |c: &CoreRecord| c.state == CoreState::Running;
        let all = || (0..).zip(&self.cores);
        let home = all().find(|(_, c)| runs(c) && c.osnode == self.home);
        match home {
            Some((i, c)) if i != core => {
                return if c.busy { Err(Refusal::Busy(i)) } else { Ok(i) };
            }
            _ => {}
        }
        let others = || all().filter(|(i, c)| *i != core && runs(c));
        let free = others().find(|(_, c)| !c.busy).map(|(i, _)| i);
        let busy = others().next().map(|(i, _)| i);
        free.ok_or(busy.map_or(Refusal::NoExecutor(core), Refusal::Busy))
    }

    /// Whether no operation needs this core; it exists, and can be got back.
    fn ensure_free(&self, core: u32) -> Result<&CoreRecord, Refusal> {
        let c = self.core(core).ok_or_else(|| self.no_core(core))?;
        match c {
            _ if !c.driven => Err(Refusal::NotDriven(core)),
            _ if c.state == CoreState::Lost => Err(Refusal::Lost(core)),
            _ if c.busy || c.executing > 0 => Err(Refusal::Busy(core)),
            _ if c.osnode == self.home => Err(Refusal::Home(core, self.home)),
            _ => Ok(c),
        }
    }

    /// Checks a move and reserves its cores: all that can be known before the OSnode's kernel is
    /// touched.
    ///
    /// # Errors
    /// See [`Refusal`]; [`Refusal::Busy`] may pass by itself.
    pub fn plan_move(&mut self, from: u32, to: u32) -> Result<MovePlan, Refusal> {
        if from == to && self.core(from).is_some() {
            return Err(Refusal::Same(from));
        }
        let here = self.ensure_free(from)?;
        let there = match self.ensure_free(to) {
            Err(Refusal::Home(core, o)) => return Err(Refusal::Occupied(core, o)),
            found => found?,
        };
        let (runs, osnode) = match here.state {
            CoreState::Running => (true, here.osnode),
            CoreState::Crashed | CoreState::Starting => return Err(Refusal::Crashed(from)),
            _ => (false, self.last_stopped(from).unwrap_or(0)),
        };
        if osnode == 0 {
            return Err(Refusal::NoOsnode(from));
        }
        match there.state {
            CoreState::Running => return Err(Refusal::Occupied(to, there.osnode)),
            CoreState::Crashed | CoreState::Starting => return Err(Refusal::Crashed(to)),
            _ => {}
        }
        if let Some(o) = self.last_stopped(to) {
            return Err(Refusal::Keeps(to, o));
        }
        let executor_core = self.executor_for(from)?;
        let executor = self.cores[executor_core as usize].osnode;
        if executor != self.home {
            return Err(Refusal::NoExecutor(from));
        }
        self.cores[executor_core as usize].executing += 1;
        self.cores[from as usize].busy = true;
        self.cores[to as usize].busy = true;
        Ok(MovePlan {
            from,
            to,
            osnode,
            runs,
            executor,
            executor_core,
        })
    }

    /// Checks that the OSnode of a core may be destroyed, and reserves the core.
    ///
    /// # Errors
    /// See [`Refusal`]; [`Refusal::Busy`] may pass by itself.
    pub fn plan_destroy(&mut self, core: u32) -> Result<MovePlan, Refusal> {
        let c = self.ensure_free(core)?;
        let (runs, osnode) = match c.state {
            CoreState::Running => (true, c.osnode),
            CoreState::Crashed | CoreState::Starting => (false, c.osnode),
            _ => (false, self.last_stopped(core).unwrap_or(0)),
        };
        if osnode == 0 {
            return Err(Refusal::NoOsnode(core));
        }
        self.reserve_destroy(core, osnode, runs)
    }

    /// As [`Registry::plan_destroy`], for an OSnode that ended by itself: its core may run another one, if it was
    /// stopped. `None`: there is no such OSnode any more.
    ///
    /// # Errors
    /// See [`Refusal`]; [`Refusal::Busy`] may pass by itself.
    pub fn plan_ended(&mut self, osnode: u64) -> Result<Option<MovePlan>, Refusal> {
        let at = (0..).zip(&self.cores);
        let ran = at.filter(|(_, c)| c.osnode == osnode).map(|(i, _)| i);
        let lay = self.detached.iter().filter(|(o, _)| *o == osnode);
        let Some(core) = ran.chain(lay.map(|(_, core)| *core)).next() else {
            return Ok(None);
        };
        self.ensure_free(core)?;
        self.reserve_destroy(core, osnode, false).map(Some)
    }

    /// Whether any OSnode was stopped and is kept.
    #[must_use]
    pub fn keeps_any(&self) -> bool {
        !self.detached.is_empty()
    }
    /// Whether this one was.
    #[must_use]
    pub fn is_kept(&self, osnode: u64) -> bool {
        self.detached.iter().any(|(o, _)| *o == osnode)
    }

    fn reserve_destroy(&mut self, core: u32, osnode: u64, runs: bool) -> Result<MovePlan, Refusal> {
        let executor_core = self.executor_for(core)?;
        let executor = self.cores[executor_core as usize].osnode;
        if executor != self.home {
            return Err(Refusal::NoExecutor(core));
        }
        self.cores[executor_core as usize].executing += 1;
        self.cores[core as usize].busy = true;
        Ok(MovePlan {
            from: core,
            to: core,
            osnode,
            runs,
            executor,
            executor_core,
        })
    }

    /// Ends a destruction: what the core does now, and whether the OSnode is gone.
    pub fn finish_destroy(&mut self, plan: MovePlan, state: CoreState, gone: bool) {
        let MovePlan { from, osnode, .. } = plan;
        if let Some(c) = self.cores.get_mut(from as usize) {
            c.busy = false;
            c.state = state;
            let lies = matches!(
                state,
                CoreState::Penned | CoreState::Off | CoreState::Detached
            );
            if c.osnode == osnode && (gone || lies) {
                c.osnode = 0;
            }
            self.detached.retain(|(o, _)| *o != osnode);
            if !gone && lies {
                self.detached.push((osnode, from));
            }
        }
        if let Some(e) = self.cores.get_mut(plan.executor_core as usize) {
            e.executing -= 1;
        }
    }

    /// Ends a move: what both cores do now; the core whose kernel runs the OSnode, if one does.
    pub fn finish_move(
        &mut self,
        plan: MovePlan,
        here: CoreState,
        there: CoreState,
    ) -> Option<u32> {
        let MovePlan {
            from, to, osnode, ..
        } = plan;
        self.detached.retain(|(o, _)| *o != osnode);
        let mut at = None;
        for (core, state) in [(to, there), (from, here)] {
            let Some(c) = self.cores.get_mut(core as usize) else {
                continue;
            };
            c.busy = false;
            c.state = state;
            let has = matches!(
                state,
                CoreState::Running | CoreState::Crashed | CoreState::Starting
            );
            c.osnode = match at {
                None if has => osnode,
                _ => 0,
            };
            at = at.or(has.then_some((core, state)));
        }
        if at.is_none() {
            self.detached.push((osnode, from));
        }
        if let Some(e) = self.cores.get_mut(plan.executor_core as usize) {
            e.executing -= 1;
        }
        let (core, state) = at?;
        (state == CoreState::Running).then_some(core)
    }

    /// Ends an operation: the core's state now, and the OSnode that it runs (0 = as planned).
    pub fn finish(&mut self, plan: Plan, state: CoreState, osnode: u64) {
        let core = plan.operation.core;
        let Some(c) = self.cores.get_mut(core as usize) else {
            return;
        };
        c.busy = false;
        let before = (c.state, c.osnode);
        c.state = state;
        let osnode = if osnode != 0 { osnode } else { plan.osnode };
        match state {
            CoreState::Running | CoreState::Crashed | CoreState::Starting if osnode != 0 => {
                c.osnode = osnode;
                self.detached.retain(|(o, _)| *o != osnode);
            }
            CoreState::Penned | CoreState::Detached | CoreState::Off => {
                let ran = before.0 == CoreState::Running;
                let left = if ran { before.1 } else { osnode };
                c.osnode = 0;
                let listed = self.detached.iter().any(|(o, _)| *o == left);
                if left != 0 && !listed {
                    self.detached.push((left, core));
                }
            }
            _ => {}
        }
        if let Some(e) = self.cores.get_mut(plan.executor_core as usize) {
            e.executing -= 1;
        }
    }
}
