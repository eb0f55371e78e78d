//! The end of a process.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::task::Waker;

use proto::Pid;
use proto::iface::process::ProcessNotice;
use proto::iface::spawn::ProcessState;
use rt::chan::Request;
use rt::{env, task};
use spawn::{End, Entry, Key};

use crate::domain;
use crate::service::{Account, Service};
use crate::supervision;

/// How a process ended.
#[derive(Clone, Debug)]
pub struct How {
    pub state: ProcessState,
    /// Exit status, when it exited.
    pub status: i32,
    /// Its last report.
    pub report: String,
}

impl How {
    /// By request.
    pub const fn killed() -> How {
        How {
            state: ProcessState::Killed,
            status: 0,
            report: String::new(),
        }
    }

    /// By a fault.
    pub const fn fault(report: String) -> How {
        How {
            state: ProcessState::Faulted,
            status: 0,
            report,
        }
    }

    /// What the table says of one that has ended.
    pub fn of(entry: &Entry) -> How {
        How {
            state: entry.state,
            status: entry.status,
            report: entry.report.clone(),
        }
    }

    /// For who starts it again.
    pub const fn end(&self) -> End {
        match self.state {
            ProcessState::Killed => End::Killed,
            ProcessState::Exited => End::Exited(self.status),
            ProcessState::Starting | ProcessState::Running | ProcessState::Faulted => End::Faulted,
        }
    }
}

/// A process that is being taken apart.
pub struct Ending {
    pub how: How,
    /// Core time that it had used (ns).
    pub used_ns: u64,
    /// Its memory account.
    pub account: u32,
    pub of: Option<Pid>,
    /// Further dispatchers that may still run.
    pub members: Vec<Pid>,
}

impl Service {
    /// Ends a process: its capabilities, its memory, its account; then tells who waits.
    pub async fn end(&self, number: u64, how: How) {
        let used_ns = self.used_ns(number);
        let live = self.state.borrow_mut().live.remove(&number);
        let Some(live) = live else { return };
        let (account, slots) = (live.account, live.slots);
        self.begin_end(
            number,
            Ending {
                how,
                used_ns,
                account: account.number,
                of: live.of,
                members: live.members,
            },
        );
        drop(live.control);
        // They use its memory: they end before it is given back.
        self.end_members(number).await;
        match live.process.destroy() {
            // Deleted, the block it began with comes back, once the ledger has forgotten it, too.
            Ok(ram) => drop(ram),
            Err((e, process)) => {
                let text = e.message();
                rt::println!("spawn: process {number} cannot be taken apart: {text}");
                // It is stopped by that, and its memory stays with it.
                drop(process);
            }
        }
        slots
            .all()
            .for_each(|slot| self.books.borrow_mut().release(slot));
        self.finish_end(number, account).await;
    }

    /// From here on a process is over, for the next life, too, which would take apart what the ledger has of it.
    pub fn begin_end(&self, number: u64, ending: Ending) {
        let mut s = self.state.borrow_mut();
        s.opening.insert(ending.account);
        s.ending.insert(number, ending);
        drop(s);
        self.change(Key::Process(number));
        self.write();
    }

    /// Ends the further dispatchers of a process that is being taken apart.
    pub async fn end_members(&self, number: u64) {
        let members = self
            .state
            .borrow()
            .ending
            .get(&number)
            .map(|e| e.members.clone());
        for pid in members.into_iter().flatten() {
            domain::end_member(self, pid).await;
        }
    }

    /// What was a process's has been taken apart.
    pub async fn finish_end(&self, number: u64, account: Account) {
        self.write();
        self.forget_given();
        let account_number = account.number;
        if let Some(account) = supervision::leave_account(self, number, account) {
            self.close_account(account).await;
        }
        let (told, of, end) = {
            let mut s = self.state.borrow_mut();
            s.opening.remove(&account_number);
            let Some(ending) = s.ending.remove(&number) else {
                return;
            };
            s.killing.remove(&number);
            s.told.remove(&number);
            let end = ending.how.end();
            let How {
                state,
                status,
                report,
            } = ending.how;
            let forgotten = s.table.ended(number, state, status, report);
            s.table.set_used(number, ending.used_ns);
            for gone in forgotten.into_iter().chain([number]) {
                self.change(Key::Process(gone));
            }
            let waiting = s.waiting.extract_if(.., |(n, _)| *n == number);
            let told: Vec<(u64, Waker)> = waiting.collect();
            (told, ending.of, end)
        };
        self.news.ended(number);
        supervision::ended(self, number, end);
        self.write();
        told.into_iter().for_each(|(_, waker)| waker.wake());
        self.end_whole(number, of);
    }

    /// A further dispatcher of a process of this OSnode ended: so does the process. (Other OSnodes
    /// wait for it.)
    pub fn end_whole(&self, number: u64, of: Option<Pid>) {
        let Some(of) = of.filter(|of| of.osnode == env::osnode()) else {
            return;
        };
        let how = self.ended_how(number);
        let service = self.clone();
        task::spawn(async move { service.end(of.number, how).await });
    }

    /// How a process ended; if that was forgotten, it was killed.
    pub fn ended_how(&self, number: u64) -> How {
        let s = self.state.borrow();
        s.table.get(number).map_or_else(How::killed, How::of)
    }

    /// A process says something of itself.
    pub fn noticed(&self, number: u64, request: &Request) {
        let how = match request.decode::<ProcessNotice>() {
            Ok(ProcessNotice::Exited { status }) => {
                let killed = self.state.borrow().killing.contains(&number);
                let state = match killed {
                    true => ProcessState::Killed,
                    false => ProcessState::Exited,
                };
                How {
                    state,
                    status,
                    report: String::new(),
                }
            }
            Ok(ProcessNotice::Faulted { kind, detail, pc }) => {
                let text = request.text();
                How::fault(format!("{kind:?} {detail:#x} at {pc:#x} {text}"))
            }
            _ => return,
        };
        self.end_soon(number, how);
    }

    /// Ends a process, and says why if it faulted. Who is not taken apart at once says several times that it ends.
    pub fn end_soon(&self, number: u64, how: How) {
        if !self.is_live(number) || !self.state.borrow_mut().told.insert(number) {
            return;
        }
        let service = self.clone();
        task::spawn(async move {
            let how = match how.state {
                ProcessState::Faulted => How::fault(service.cause(number, how.report).await),
                _ => how,
            };
            service.end(number, how).await;
        });
    }

    /// Says that a process faulted; why, as far as is known.
    async fn cause(&self, number: u64, place: String) -> String {
        let (name, of) = {
            let s = self.state.borrow();
            let words = s.table.get(number).map(|e| e.words.join(" "));
            let of = s.live.get(&number).and_then(|l| l.of);
            (words.unwrap_or_default(), of)
        };
        let why = match of {
            Some(of) => domain::orphaned(self, of).await,
            None => None,
        };
        let place = why.map_or(place.clone(), |why| format!("{why} ({place})"));
        let osnode = env::osnode();
        rt::println!("o{osnode}.{number} ({name}) ended by a fault: {place}");
        place
    }
}
