//! What is written down of the state, for the next life.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use journal::Counters;
use proto::{Refusal, ServiceError};
use rt::spawn::Process;
use rt::{Capability, SysError};
use spawn::{Entry, KeptRecord, Key, ProcessRecord, Record, ServiceRecord, Slots, Unheld, latest};

use crate::build::Spec;
use crate::news::News;
use crate::service::{Service, State};

impl State {
    fn process(&self, number: u64) -> Option<ProcessRecord> {
        let entry = self.table.get(number)?.clone();
        if let Some(live) = self.live.get(&number) {
            return Some(ProcessRecord {
                entry,
                account: live.account.number,
                slots: Some(live.slots),
                of: live.of,
                members: live.members.clone(),
            });
        }
        if let Some(ending) = self.ending.get(&number) {
            return Some(ProcessRecord {
                entry: Entry {
                    state: ending.how.state,
                    status: ending.how.status,
                    report: ending.how.report.clone(),
                    used_ns: ending.used_ns,
                    ..entry
                },
                account: ending.account,
                slots: None,
                of: ending.of,
                members: ending.members.clone(),
            });
        }
        // One that is being built never was.
        (!entry.is_live()).then_some(ProcessRecord {
            entry,
            account: 0,
            slots: None,
            of: None,
            members: Vec::new(),
        })
    }

    fn service(&self, id: u64, news: &News) -> Option<ServiceRecord> {
        let of = self.supervisor.get(id)?;
        let mut record = ServiceRecord {
            rules: of.rules,
            state: of.state,
            restarts: of.restarts,
            recent: of.recent.iter().copied().collect(),
            number: of.number,
            words: Vec::new(),
            memory: 0,
            has_console: false,
            keeps: false,
            left: 0,
            title: String::new(),
            kept: Vec::new(),
        };
        // Of one that is over only that is known.
        if let Some(made) = self.specs.get(&id) {
            let spec = &made.spec;
            record.title = news.title(id).unwrap_or_default();
            record.words.clone_from(&spec.words);
            record.memory = spec.memory;
            record.has_console = made.has_console;
            record.keeps = spec.keeps.get();
            record.left = spec.account.borrow().as_ref().map_or(0, |left| left.number);
            let kept = spec.kept.borrow();
            let kept = kept.iter().filter_map(|k| {
                let (name, slot) = (k.name, k.slot?);
                Some(KeptRecord { name, slot })
            });
            record.kept = kept.collect();
        }
        Some(record)
    }

    fn record(&self, key: Key, news: &News) -> Option<Record> {
        match key {
            Key::Process(number) => self.process(number).map(Record::Process),
            Key::Service(id) => self.service(id, news).map(Record::Service),
        }
    }

    /// Everything.
    pub fn records(&self, news: &News) -> Vec<(Key, Record)> {
        let processes = self.table.all().map(|(number, _)| Key::Process(number));
        let services = self.supervisor.all().map(|(id, _)| Key::Service(id));
        let keys = processes.chain(services);
        keys.filter_map(|key| Some((key, self.record(key, news)?)))
            .collect()
    }

    /// Last number of a process, and of a service.
    pub const fn counters(&self) -> Counters {
        [self.table.last(), self.supervisor.last()]
    }
}

impl Service {
    /// Something changed that is to be written.
    pub fn change(&self, key: Key) {
        self.books.borrow_mut().change(key);
    }

    /// Writes what changed: whatever is answered or done after this, the next life knows.
    pub fn write(&self) {
        let gone = self.state.borrow_mut().supervisor.take_gone();
        let s = self.state.borrow();
        let mut books = self.books.borrow_mut();
        gone.into_iter()
            .for_each(|id| books.change(Key::Service(id)));
        books.write(
            s.counters(),
            |key| s.record(key, &self.news),
            || s.records(&self.news),
        );
    }

    /// Whether the next life would find what is so now.
    ///
    /// # Errors
    /// The first that it would not.
    pub fn check_books(&self) -> Result<(), Refusal> {
        let written = latest(&self.books.borrow().custody().read());
        let records = self.state.borrow().records(&self.news);
        let now: BTreeMap<u64, Vec<u8>> = records
            .into_iter()
            .map(|(key, record)| (key.number(), record.note(key).bytes))
            .collect();
        let mut all = written.keys().chain(now.keys());
        match all.find(|key| written.get(key) != now.get(key)) {
            None => Ok(()),
            Some(key) => {
                let what = match Key::of(*key) {
                    Key::Process(number) => format!("process {number}"),
                    Key::Service(id) => format!("service {id}"),
                };
                let text = format!("the spawn service has not written down how {what} is");
                Err(Refusal::new(ServiceError::BadBooks, text))
            }
        }
    }

    /// Has the ledger keep the block of a process that is to be built.
    ///
    /// # Errors
    /// Why it does not.
    pub fn keep_block(&self, ram: &Capability) -> Result<u32, Refusal> {
        let kept = self.books.borrow_mut().keep_block(&ram.addr());
        kept.map_err(unheld)
    }

    /// As [`Service::keep_block`], for what a process is watched by.
    ///
    /// # Errors
    /// Why it does not; it keeps none of them then.
    pub fn keep_parts(&self, block: u32, process: &Process) -> Result<Slots, Refusal> {
        let [_, task, dispatcher, endpoint] = process.caps();
        let mut parts = [0; 3];
        for (i, cap) in [task, dispatcher, endpoint].iter().enumerate() {
            match self.books.borrow_mut().keep(cap) {
                Ok(slot) => parts[i] = slot,
                Err(e) => {
                    parts[..i].iter().for_each(|slot| self.unkeep(*slot));
                    return Err(unheld(e));
                }
            }
        }
        Ok(Slots { block, parts })
    }

    /// Has the ledger keep what a program's processes are given, as far as it does not yet. What it has no room for is lost
    /// with the service.
    pub fn keep_given(&self, spec: &Spec) {
        for kept in spec.kept.borrow_mut().iter_mut() {
            if kept.slot.is_some() {
                continue;
            }
            match self.books.borrow_mut().keep(&kept.cap.addr()) {
                Ok(slot) => kept.slot = Some(slot),
                Err(e) => rt::println!("spawn: {}: {}", kept.name, unheld(e)),
            }
        }
    }

    /// What a slot of the ledger was for is over: it is emptied when that has been written.
    pub fn unkeep(&self, slot: u32) {
        self.books.borrow_mut().release(slot);
    }
}

fn unheld(e: Unheld<SysError>) -> Refusal {
    match e {
        Unheld::NoRoom => {
            let text = "the spawn service has no room for another process";
            Refusal::new(ServiceError::TableFull, text)
        }
        Unheld::Refused(e) => {
            let text = format!("the spawn service's ledger: {}", e.message());
            Refusal::new(ServiceError::Sys(e), text)
        }
    }
}
