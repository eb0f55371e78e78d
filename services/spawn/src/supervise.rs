//! Which process is started again when it ends, and when that is given up.
//!
//! Pure: ends and times in, verdicts out. The rule is a supervisor's of Erlang's OTP: at most so
//! many restarts in so much time; a service that needs more is broken, and restarting it for ever
//! would hide that.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use proto::iface::spawn::{Restart, ServiceState};

/// Pause before the second restart in a period (ns); it doubles with each further one.
const PAUSE_NS: u64 = 10_000_000;
/// Longest pause (ns).
const LONGEST_PAUSE_NS: u64 = 1_000_000_000;
/// Shortest period (ns): in a shorter one everything is the first restart, and comes at once.
const SHORTEST_NS: u64 = 1_000_000_000;
/// Most restarts that a period may allow: as many times are remembered.
pub const MAX_RESTARTS: u32 = 100;

/// Services that are over and remembered.
const MAX_OVER: usize = 16;

/// When a process is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// After which ends.
    pub restart: Restart,
    /// At most so often …
    pub most: u32,
    /// … within so much system time (ns).
    pub within_ns: u64,
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By a fault or panic, or it could not be started again.
    Faulted,
    /// By request.
    Killed,
}

/// What is to be done about an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing: nobody supervises it.
    Unsupervised,
    /// Nothing: it ended as it should.
    Finished {
        /// Its service.
        service: u64,
    },
    /// It is started again after a pause.
    Again {
        /// Its service.
        service: u64,
        /// How long to wait (ns).
        pause_ns: u64,
    },
    /// The OSnode ends with it.
    Fatal,
    /// Nothing any more: it ended too often.
    GivenUp {
        /// Its service.
        service: u64,
    },
}

/// A supervised process through all its lives.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its rules.
    pub rules: Rules,
    /// What it does.
    pub state: ServiceState,
    /// How often it was started again.
    pub restarts: u64,
    /// Process that it is, or was last.
    pub number: u64,
    /// Times of the latest restarts (ns of system time).
    pub recent: VecDeque<u64>,
}

/// All supervised processes.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    services: BTreeMap<u64, Service>,
    /// Services by the process that each is now.
    by_number: BTreeMap<u64, u64>,
    /// Services that were forgotten since it was asked.
    gone: Vec<u64>,
    last: u64,
}

impl Supervisor {
    /// Nobody is supervised.
    #[must_use]
    pub fn new() -> Supervisor {
        Supervisor::default()
    }

    /// A process is supervised from now on; its number as a service.
    pub fn enter(&mut self, rules: Rules, number: u64) -> u64 {
        self.last += 1;
        let rules = Rules {
            most: rules.most.min(MAX_RESTARTS),
            within_ns: rules.within_ns.max(SHORTEST_NS),
            ..rules
        };
        let service = Service {
            rules,
            state: ServiceState::Running,
            restarts: 0,
            number,
            recent: VecDeque::new(),
        };
        self.services.insert(self.last, service);
        self.by_number.insert(number, self.last);
        self.last
    }

    /// Whether the OSnode ends with this process.
    #[must_use]
    pub fn is_vital(&self, number: u64) -> bool {
        let service = self.by_number.get(&number);
        let service = service.and_then(|id| self.services.get(id));
        service.is_some_and(|s| s.rules.restart == Restart::Vital)
    }

    /// A process ended (or the service's next one could not be started: then `number` is that of
    /// the one before).
    pub fn ended(&mut self, number: u64, end: End, now_ns: u64) -> Verdict {
        let Some(id) = self.by_number.get(&number).copied() else {
            return Verdict::Unsupervised;
        };
        let Some(s) = self.services.get_mut(&id) else {
            return Verdict::Unsupervised;
        };
        let again = match s.rules.restart {
            Restart::Never => false,
            Restart::OnFailure => end != End::Exited(0),
            Restart::Always => true,
            Restart::Vital => return Verdict::Fatal,
        };
        if !again {
            s.state = ServiceState::Finished;
            self.over(number);
            return Verdict::Finished { service: id };
        }
        let since = now_ns.saturating_sub(s.rules.within_ns);
        s.recent.retain(|at| *at >= since);
        if s.recent.len() >= s.rules.most as usize {
            s.state = ServiceState::GivenUp;
            self.over(number);
            return Verdict::GivenUp { service: id };
        }
        let pause_ns = match s.recent.len() as u32 {
            0 => 0,
            n => PAUSE_NS.saturating_mul(1 << (n - 1).min(20)),
        };
        s.recent.push_back(now_ns);
        s.restarts += 1;
        s.state = ServiceState::Restarting;
        Verdict::Again {
            service: id,
            pause_ns: pause_ns.min(LONGEST_PAUSE_NS),
        }
    }

    /// A service is over; the oldest of those are forgotten.
    fn over(&mut self, number: u64) {
        self.by_number.remove(&number);
        let over = |s: &Service| matches!(s.state, ServiceState::Finished | ServiceState::GivenUp);
        let ids: Vec<u64> = self
            .services
            .iter()
            .filter(|(_, s)| over(s))
            .map(|(id, _)| *id)
            .collect();
        for id in ids.iter().take(ids.len().saturating_sub(MAX_OVER)) {
            self.services.remove(id);
            self.gone.push(*id);
        }
    }

    /// The service's next process runs.
    pub fn restarted(&mut self, service: u64, number: u64) {
        if let Some(s) = self.services.get_mut(&service) {
            self.by_number.remove(&s.number);
            s.number = number;
            s.state = ServiceState::Running;
            self.by_number.insert(number, service);
        }
    }

    /// A service that was given up begins anew; the number of its last process.
    pub fn revive(&mut self, service: u64) -> Option<u64> {
        let s = self.services.get_mut(&service)?;
        if s.state != ServiceState::GivenUp {
            return None;
        }
        s.recent.clear();
        s.state = ServiceState::Restarting;
        self.by_number.insert(s.number, service);
        Some(s.number)
    }

    /// It could not be started: it is given up as before.
    pub fn give_up(&mut self, service: u64) {
        if let Some(s) = self.services.get_mut(&service) {
            s.state = ServiceState::GivenUp;
            let number = s.number;
            self.over(number);
        }
    }

    /// A process is not started again any more, whatever becomes of it; the service that it was.
    pub fn release(&mut self, number: u64) -> Option<u64> {
        let id = self.by_number.remove(&number)?;
        self.services.remove(&id);
        self.gone.push(id);
        Some(id)
    }

    /// The services that were forgotten since the last call.
    pub fn take_gone(&mut self) -> Vec<u64> {
        core::mem::take(&mut self.gone)
    }

    /// A service that a former life knew.
    pub fn restore(&mut self, id: u64, service: Service) {
        if let ServiceState::Running | ServiceState::Restarting = service.state {
            self.by_number.insert(service.number, id);
        }
        self.services.insert(id, service);
        self.begin_after(id);
    }

    /// No service has had a number above this one.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// As [`Supervisor::last`], of a former life.
    pub fn begin_after(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    /// A service.
    #[must_use]
    pub fn get(&self, service: u64) -> Option<&Service> {
        self.services.get(&service)
    }

    /// The service that a process is, or was last.
    #[must_use]
    pub fn of(&self, number: u64) -> Option<(u64, &Service)> {
        let mut all = self.services.iter();
        all.find(|(_, s)| s.number == number)
            .map(|(id, s)| (*id, s))
    }

    /// Every service.
    pub fn all(&self) -> impl Iterator<Item = (u64, &Service)> {
        self.services.iter().map(|(id, s)| (*id, s))
    }
}
