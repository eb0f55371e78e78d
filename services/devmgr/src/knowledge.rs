//! The link to the knowledge base: it is told what holds, and asked what to do.
//!
//! Nothing here waits longer than `rt::skb` does. If the knowledge base does not answer, the
//! device manager says so once and goes on without it; one that starts (again) asks to be told
//! everything.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;

use devmgr::choice::{self, Rows};
use devmgr::{Ledger, Part};
use firmware::processor::Processor;
use proto::iface::cores::CoreState;
use proto::{CallError, PeerError};
use rt::skb::Knowledge;
use rt::{env, task, time};
use skb::collect;
use skb::datalog::{Changes, Value};

use crate::{Manager, queries};

/// How long a knowledge base that did not answer is left alone (ns of system time).
const PAUSE_NS: u64 = 5_000_000_000;

/// What is known of the knowledge base.
pub struct Link {
    /// What it is told.
    pub ledger: Ledger,
    /// Cores whose processors are known.
    processors: BTreeSet<u32>,
    base: Option<Knowledge>,
    /// Counts those that were connected to: what an earlier one fails at says nothing of `base`.
    number: u64,
    connecting: bool,
    /// System time before which it is not tried again.
    again_ns: u64,
}

impl Link {
    /// Not connected yet.
    pub fn new(ledger: Ledger) -> Link {
        Link {
            ledger,
            processors: BTreeSet::new(),
            base: None,
            number: 0,
            connecting: false,
            again_ns: 0,
        }
    }
}

/// One knowledge base of those that were connected to.
struct Base {
    knowledge: Knowledge,
    number: u64,
}

/// Connects, and tells everything. Says so if that fails.
pub async fn connect(manager: &Manager) {
    let mut filled = fill(manager).await;
    if filled == Err(CallError::Peer(PeerError::Gone)) {
        // Its name was still another one's, which ended.
        filled = fill(manager).await;
    }
    if let Err(why) = filled {
        let number = manager.state.borrow().link.number;
        lost(manager, number, &why);
    }
}

/// Connects, unless that is under way, and tells everything. What changes from the moment on at
/// which there is a connection is told after it.
async fn fill(manager: &Manager) -> Result<(), CallError> {
    {
        let link = &mut manager.state.borrow_mut().link;
        if link.connecting {
            return Ok(());
        }
        link.connecting = true;
        link.base = None;
    }
    let found = Knowledge::connect(env::osnode()).await;
    let (base, parts) = {
        let link = &mut manager.state.borrow_mut().link;
        link.connecting = false;
        link.number += 1;
        let number = link.number;
        let knowledge = found?;
        link.base = Some(knowledge.clone());
        link.ledger.forget();
        (Base { knowledge, number }, link.ledger.tell())
    };
    let results = task::join(sent(&base, parts)).await;
    // An earlier one's failure is no news.
    match is_current(manager, base.number) {
        true => results.into_iter().collect(),
        false => Ok(()),
    }
}

/// Whether this is still the one that is told and asked.
fn is_current(manager: &Manager, number: u64) -> bool {
    manager.state.borrow().link.number == number
}

/// The one with this number did not take what it was told, or did not answer.
fn lost(manager: &Manager, number: u64, why: &CallError) {
    if !is_current(manager, number) {
        return;
    }
    {
        let link = &mut manager.state.borrow_mut().link;
        link.base = None;
        link.again_ns = time::system_ns().saturating_add(PAUSE_NS);
    }
    rt::println!("devmgr: the knowledge base does not answer ({why}): going on without it");
}

/// The knowledge base, if it answered last time; else another try is made in the background, now
/// and then.
fn base(manager: &Manager) -> Option<Base> {
    let link = &manager.state.borrow().link;
    let number = link.number;
    let known = link.base.clone().filter(|b| !b.is_gone());
    let due = time::system_ns() >= link.again_ns;
    if known.is_none() && due && !link.connecting {
        let manager = manager.clone();
        task::spawn(async move { connect(&manager).await });
    }
    known.map(|knowledge| Base { knowledge, number })
}

type Sending = Pin<Box<dyn Future<Output = Result<(), CallError>>>>;

/// The parts on their way, in order.
fn sent(base: &Base, parts: Vec<Part>) -> Vec<Sending> {
    let count = parts.len();
    let mut sent: Vec<Sending> = Vec::new();
    for (i, part) in parts.into_iter().enumerate() {
        let knowledge = base.knowledge.clone();
        let more = i + 1 < count;
        sent.push(Box::pin(async move {
            let Part {
                withdrawn,
                asserted,
            } = part;
            knowledge.part(&withdrawn, &asserted, more).await
        }));
    }
    sent
}

/// Tells what changed. It is on its way when this returns: a question that is asked after it is
/// answered after it.
pub async fn tell(manager: &Manager) {
    let Some(base) = base(manager) else { return };
    let parts = manager.state.borrow_mut().link.ledger.tell();
    if parts.is_empty() {
        return;
    }
    let mut all = Box::pin(task::join(sent(&base, parts)));
    // The first poll sends; nobody but a task of its own waits for the answers.
    match poll_fn(|cx| Poll::Ready(all.as_mut().poll(cx))).await {
        Poll::Ready(results) => told(manager, base.number, &results),
        Poll::Pending => {
            let manager = manager.clone();
            task::spawn(async move { told(&manager, base.number, &all.await) });
        }
    }
}

fn told(manager: &Manager, number: u64, results: &[Result<(), CallError>]) {
    match results.iter().find_map(|r| r.as_ref().err()) {
        None => {}
        Some(CallError::Refused(why)) => {
            rt::println!("devmgr: the knowledge base refuses what it is told: {why}");
            if is_current(manager, number) {
                // Nothing of it was taken: the next time all is told again.
                manager.state.borrow_mut().link.ledger.forget();
            }
        }
        Some(why) => lost(manager, number, why),
    }
}

/// Asks; `None` if there is no answer, which was said.
async fn ask(manager: &Manager, question: &str) -> Option<Rows> {
    let base = base(manager)?;
    match base.knowledge.ask(question).await {
        Ok(rows) => Some(rows),
        Err(CallError::Refused(why)) => {
            rt::println!("devmgr: the knowledge base does not understand {question}: {why}");
            None
        }
        Err(why) => {
            lost(manager, base.number, &why);
            None
        }
    }
}

/// What drives the console, and on which core: by rules, or else what is known for this kind of
/// firmware, here.
pub async fn console_driver(manager: &Manager) -> (String, u32) {
    if let Some(rows) = ask(manager, choice::CONSOLE).await {
        if let Some(found) = choice::placed_driver(&rows) {
            return found;
        }
        rt::println!("devmgr: no rule gives the console a driver: taking the usual one");
    }
    let tree = manager.state.borrow().tree;
    (choice::without_rules(tree).console.to_string(), env::core())
}

/// The boot driver to start: by rules, or else what is known for this kind of firmware.
pub async fn boot_driver(manager: &Manager) -> String {
    let tree = manager.state.borrow().tree;
    let known = choice::without_rules(tree).boot_driver.to_string();
    let Some(rows) = ask(manager, choice::BOOT_DRIVERS).await else {
        return known;
    };
    let count = manager.state.borrow().registry.len();
    match choice::boot_driver(&rows) {
        Some(found) => {
            let others = (0..count).filter(|c| !found.cores.contains(c));
            let others: Vec<u32> = others.collect();
            manager.state.borrow_mut().registry.exclude(&others);
            let others: Vec<String> = others.iter().map(u32::to_string).collect();
            if !others.is_empty() {
                let list = others.join(", ");
                rt::println!("devmgr: {} does not drive core {list}", found.program);
            }
            found.program
        }
        None => {
            rt::println!("devmgr: no rule gives a core a boot driver: taking {known}");
            known
        }
    }
}

/// The kernel for a core if nobody says which: by rules, or else the boot driver's own choice.
pub async fn kernel(manager: &Manager, core: u32) -> String {
    let rows = ask(manager, &choice::kernel_question(core)).await;
    rows.and_then(|rows| choice::name(&rows))
        .unwrap_or_default()
}

/// Learns what the processors of cores that run are, once.
async fn learn_processors(manager: &Manager) {
    let unknown: Vec<u32> = {
        let s = manager.state.borrow();
        let runs = |c: &u32| {
            s.registry
                .core(*c)
                .is_some_and(|r| r.state == CoreState::Running)
        };
        let all = (0..s.registry.len()).filter(runs);
        all.filter(|c| !s.link.processors.contains(c)).collect()
    };
    for core in unknown {
        let Some(words) = queries::processor(manager, core).await else {
            continue;
        };
        let mut guard = manager.state.borrow_mut();
        let s = &mut *guard;
        let found = match s.tree {
            true => Processor::of_midr(&words),
            false => Processor::of_cpuid(&words),
        };
        let Some(found) = found else { continue };
        let mut changes = Changes::default();
        collect::processor(core, &found, &mut changes);
        if let Some(division) = found.division.filter(|_| s.link.processors.is_empty()) {
            let id = |c: u32| s.registry.core(c).map(|r| (c, r.description.hw_id as u32));
            let ids: Vec<_> = (0..s.registry.len()).filter_map(id).collect();
            collect::division(&ids, division, &mut changes);
        }
        s.link.ledger.add(changes);
        s.link.processors.insert(core);
    }
}

/// Tells which core runs what now.
pub async fn tell_running(manager: &Manager) {
    learn_processors(manager).await;
    {
        let mut guard = manager.state.borrow_mut();
        let s = &mut *guard;
        let mut rows: Vec<Vec<Value>> = Vec::new();
        for index in 0..s.registry.len() {
            let Some(c) = s.registry.core(index) else {
                continue;
            };
            match c.state {
                CoreState::Running => rows.push([index.into(), c.osnode.into()].to_vec()),
                CoreState::Lost => s.link.ledger.take_core_away(index),
                _ => {}
            }
        }
        s.link.ledger.replace("running", &rows);
    }
    tell(manager).await;
}

/// Tells where a device's driver runs.
pub async fn tell_placed(manager: &Manager, device: &str, core: u32) {
    let values = [collect::symbol(device), core.into()];
    manager
        .state
        .borrow_mut()
        .link
        .ledger
        .assert("placed", &values);
    tell(manager).await;
}
