//! A death at any step of a start, an end, or a keeping: the next life has what was before it or what was to be after
//! it, whatever it has it has the capabilities of, and what it does not have is taken apart.

use proptest::prelude::*;
use proto::Name;
use proto::iface::spawn::{ProcessState, Restart, ServiceState};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::rc::Rc;
use std::string::String;
use std::vec;
use std::vec::Vec;

use journal::{Counters, Journal, Memory, Note};

use crate::*;

/// Slots of a CNode of the ledger.
const CNODE: u32 = 16;
/// Most CNodes.
const CNODES: u32 = 2;

/// A capability: of process `n` the block is `(n, 0)`, its parts are `(n, 1)` to `(n, 3)`; anything else is `(u64::MAX, x)`.
type Cap = (u64, u32);

/// What outlives a life.
#[derive(Debug)]
struct World {
    ledger: BTreeMap<u32, Cap>,
    cnodes: u32,
    journal: Vec<u8>,
    /// Processes that objects were made for, and are not taken apart.
    built: BTreeSet<u64>,
    /// Steps until the service dies.
    left: Rc<Cell<u64>>,
}

impl World {
    /// One step; whether the service still lives.
    fn lives(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }

    /// Everything made of the block of a process goes, and all copies of it.
    fn revoke(&mut self, number: u64) {
        self.ledger.retain(|_, cap| cap.0 != number);
        self.built.remove(&number);
    }
}

struct Ram(Rc<RefCell<World>>);

impl Memory for Ram {
    fn bytes(&self) -> u64 {
        self.0.borrow().journal.len() as u64
    }
    fn load(&self, at: u64) -> u64 {
        let mut word = [0; 8];
        self.read(at, &mut word);
        u64::from_le_bytes(word)
    }
    fn store(&mut self, at: u64, word: u64) {
        let mut w = self.0.borrow_mut();
        if w.lives() {
            w.journal[at as usize..][..8].copy_from_slice(&word.to_le_bytes());
        }
    }
    fn read(&self, at: u64, to: &mut [u8]) {
        to.copy_from_slice(&self.0.borrow().journal[at as usize..][..to.len()]);
    }
    fn write(&mut self, at: u64, from: &[u8]) {
        let mut w = self.0.borrow_mut();
        if w.lives() {
            w.journal[at as usize..][..from.len()].copy_from_slice(from);
        }
    }
}

struct Sim {
    world: Rc<RefCell<World>>,
    journal: Journal<Ram>,
}

impl Custody for Sim {
    type Cap = Cap;
    type Error = ();
    fn grow(&mut self) -> Option<u32> {
        let mut w = self.world.borrow_mut();
        if w.cnodes == CNODES {
            return None;
        }
        if w.lives() {
            w.cnodes += 1;
        }
        Some(w.cnodes * CNODE)
    }
    fn put(&mut self, cap: &Cap, slot: u32) -> Result<(), ()> {
        let mut w = self.world.borrow_mut();
        if w.lives() {
            assert!(slot < w.cnodes * CNODE, "the slot is there");
            assert_eq!(w.ledger.insert(slot, *cap), None, "the slot was empty");
        }
        Ok(())
    }
    fn delete(&mut self, slot: u32) -> bool {
        let mut w = self.world.borrow_mut();
        if w.lives() {
            w.ledger.remove(&slot);
        }
        true
    }
    fn revoke(&mut self, slot: u32) {
        let mut w = self.world.borrow_mut();
        if w.lives()
            && let Some((number, _)) = w.ledger.get(&slot).copied()
        {
            w.revoke(number);
        }
    }
    fn write(&mut self, notes: &[Note], counters: Counters, all: &dyn Fn() -> Vec<Note>) {
        self.journal
            .add(notes, counters, all)
            .expect("there is room");
    }
}

/// What the service has in its own memory.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct State {
    processes: BTreeMap<u64, ProcessRecord>,
    services: BTreeMap<u64, ServiceRecord>,
}

impl State {
    fn record(&self, key: Key) -> Option<Record> {
        match key {
            Key::Process(n) => self.processes.get(&n).cloned().map(Record::Process),
            Key::Service(n) => self.services.get(&n).cloned().map(Record::Service),
        }
    }
    fn all(&self) -> Vec<(Key, Record)> {
        let processes = self.processes.keys().map(|n| Key::Process(*n));
        let services = self.services.keys().map(|n| Key::Service(*n));
        let keys = processes.chain(services);
        keys.filter_map(|k| Some((k, self.record(k)?))).collect()
    }
    fn live(&self) -> Vec<u64> {
        let live = self.processes.iter().filter(|(_, p)| p.slots.is_some());
        live.map(|(n, _)| *n).collect()
    }
}

fn process(slots: Slots) -> ProcessRecord {
    ProcessRecord {
        entry: Entry {
            words: Vec::from([String::from("p")]),
            state: ProcessState::Running,
            status: 0,
            report: String::new(),
            used_ns: 0,
            memory: 1,
        },
        account: 1,
        slots: Some(slots),
        of: None,
        members: Vec::new(),
    }
}

fn service(number: u64) -> ServiceRecord {
    ServiceRecord {
        rules: Rules {
            restart: Restart::Always,
            most: 5,
            within_ns: 1,
        },
        state: ServiceState::Running,
        restarts: 0,
        recent: Vec::new(),
        number,
        words: Vec::from([String::from("p")]),
        memory: 0,
        has_console: true,
        keeps: false,
        left: 0,
        title: String::from("service.p"),
        kept: Vec::new(),
    }
}

/// One life.
struct Life {
    world: Rc<RefCell<World>>,
    books: Books<Sim>,
    state: State,
    last: Counters,
}

impl Life {
    fn begin(world: &Rc<RefCell<World>>) -> Life {
        let (journal, notes, counters) =
            Journal::open(Ram(world.clone())).expect("it stays a journal");
        let left = Left::read(&notes, counters);
        let slots = world.borrow().cnodes * CNODE;
        let sim = Sim {
            world: world.clone(),
            journal,
        };
        let books = Books::open(sim, slots, &left);
        Life {
            world: world.clone(),
            books,
            last: left.counters,
            state: State {
                processes: left.processes,
                services: left.services,
            },
        }
    }

    fn write(&mut self) {
        let state = &self.state;
        self.books
            .write(self.last, |key| state.record(key), || state.all());
    }

    /// Starts a process; of a service, if `supervised`.
    fn start(&mut self, supervised: bool) {
        self.last[0] += 1;
        let number = self.last[0];
        let Ok(block) = self.books.keep_block(&(number, 0)) else {
            return;
        };
        {
            let mut w = self.world.borrow_mut();
            if w.lives() {
                w.built.insert(number);
            }
        }
        let parts = [1, 2, 3].map(|part| self.books.keep(&(number, part)));
        let held: Vec<u32> = parts.iter().filter_map(|p| p.ok()).collect();
        let Ok(parts) = <[u32; 3]>::try_from(held.clone()) else {
            self.destroy(number);
            held.into_iter()
                .chain([block])
                .for_each(|slot| self.books.release(slot));
            return self.write();
        };
        self.state
            .processes
            .insert(number, process(Slots { block, parts }));
        self.books.change(Key::Process(number));
        if supervised {
            self.last[1] += 1;
            self.state.services.insert(self.last[1], service(number));
            self.books.change(Key::Service(self.last[1]));
        }
        self.write();
    }

    fn destroy(&mut self, number: u64) {
        let mut w = self.world.borrow_mut();
        if w.lives() {
            w.revoke(number);
        }
    }

    fn end(&mut self, number: u64) {
        let p = self.state.processes.get_mut(&number).expect("it lives");
        let slots = p.slots.take().expect("it lives");
        p.entry.state = ProcessState::Exited;
        self.books.change(Key::Process(number));
        self.write();
        self.destroy(number);
        slots.all().for_each(|slot| self.books.release(slot));
        self.write();
    }

    /// Has something kept for a service under a name, in the place of what was.
    fn keep(&mut self, id: u64, name: u8, what: u32) {
        let Ok(slot) = self.books.keep(&(u64::MAX, what)) else {
            return;
        };
        let name = Name::truncated(&format!("n{name}"));
        let s = self.state.services.get_mut(&id).expect("it is there");
        let former = s.kept.iter().position(|k| k.name == name);
        let former = former.map(|at| s.kept.swap_remove(at));
        s.kept.push(KeptRecord { name, slot });
        former.into_iter().for_each(|k| self.books.release(k.slot));
        self.books.change(Key::Service(id));
        self.write();
    }

    fn forget(&mut self, id: u64) {
        let s = self.state.services.remove(&id).expect("it is there");
        s.kept.iter().for_each(|k| self.books.release(k.slot));
        self.books.change(Key::Service(id));
        self.write();
    }

    /// What stands in the ledger is what records name, and nothing else.
    fn check(&self, kept: &BTreeMap<u32, u32>) {
        let w = self.world.borrow();
        let mut expected = BTreeMap::new();
        for (number, p) in &self.state.processes {
            let slots = p.slots.iter().flat_map(Slots::all);
            expected.extend((0..).zip(slots).map(|(part, slot)| (slot, (*number, part))));
        }
        let of_services = self.state.services.values().flat_map(|s| &s.kept);
        expected.extend(of_services.map(|k| (k.slot, (u64::MAX, kept[&k.slot]))));
        assert_eq!(w.ledger, expected);
        let live: BTreeSet<u64> = self.state.live().into_iter().collect();
        assert_eq!(w.built, live, "what is not known is taken apart");
    }
}

fn world() -> Rc<RefCell<World>> {
    let left = Rc::new(Cell::new(u64::MAX));
    let world = Rc::new(RefCell::new(World {
        ledger: BTreeMap::new(),
        cnodes: 0,
        journal: vec![0; 32 << 10],
        built: BTreeSet::new(),
        left,
    }));
    Journal::create(Ram(world.clone()), &[], [0, 0]).expect("there is room");
    world
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Start(bool),
    End(prop::sample::Index),
    Keep(prop::sample::Index, u8),
    Forget(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<prop::sample::Index>;
    prop_oneof![
        3 => any::<bool>().prop_map(Step::Start),
        2 => which().prop_map(Step::End),
        3 => (which(), 0u8..3).prop_map(|(which, name)| Step::Keep(which, name)),
        1 => which().prop_map(Step::Forget),
    ]
}

fn take(life: &mut Life, step: Step, what: u32) {
    let (live, services) = (life.state.live(), &life.state.services);
    let services: Vec<u64> = services.keys().copied().collect();
    match step {
        Step::Start(supervised) => life.start(supervised),
        Step::End(which) if !live.is_empty() => life.end(*which.get(&live)),
        Step::Keep(which, name) if !services.is_empty() => {
            life.keep(*which.get(&services), name, what);
        }
        Step::Forget(which) if !services.is_empty() => life.forget(*which.get(&services)),
        Step::End(_) | Step::Keep(..) | Step::Forget(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_death_at_any_step_leaves_what_was_or_what_is_to_be(
        steps in prop::collection::vec((step(), prop::option::of(0u64..60)), 1..60),
    ) {
        let world = world();
        let left = world.borrow().left.clone();
        let mut life = Life::begin(&world);
        // What stands in which slot, of what is kept for services.
        let mut kept = BTreeMap::new();
        for (i, (step, dies_after)) in (0..).zip(steps) {
            let before = life.state.clone();
            left.set(dies_after.unwrap_or(u64::MAX));
            take(&mut life, step, i);
            let died = left.get() == 0;
            left.set(u64::MAX);
            let of_services = life.state.services.values().flat_map(|s| &s.kept);
            for k in of_services {
                if !before.services.values().any(|s| s.kept.contains(k)) {
                    kept.insert(k.slot, i);
                }
            }
            if died {
                let after = core::mem::replace(&mut life, Life::begin(&world)).state;
                let found = &life.state;
                prop_assert!(*found == before || *found == after, "{found:?}\n{before:?}\n{after:?}");
            }
            life.check(&kept);
        }
    }
}
