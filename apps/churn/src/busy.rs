//! The first process: live registers, messages in flight, capability operations.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;

use abi::slots;
use capfmt::{CapType, Rights};
use churn::fpu::{EXPECTED, ROUNDS, digest, work};
use churn::wire::hit;
use churn::{CapModel, CapOp, CapView, Rally, Random};
use proto::Pid;
use proto::iface::spawn::{Place, Spawn, SpawnClient, join_words};
use rt::chan::{Client, connect};
use rt::control::{self, Verdict};
use rt::{CapAddr, SysError, cap, env, invoke, mem, task, time, tls};

use crate::revoker::again;

/// A ball unanswered for longer than this was lost (OSnode time, which stands still during updates
/// of this OSnode; the other side's updates and a loaded host must fit).
const GRACE_NS: u64 = 6_000_000_000;
/// Rest after a piece of floating-point work, for the other tasks and processes.
const REST_NS: u64 = 1_000_000;
/// Slots of the capability model, and bytes of its region.
const MODEL_SLOTS: usize = 24;
const MODEL_BYTES: u64 = 64 * 4096;
/// Capabilities that the revoker makes and revokes.
const REVOKED: &str = "4096";
/// Words of thread-local storage that hold a pattern.
const TLS_WORDS: usize = tls::WORDS;

struct State {
    lmp: Rally,
    ump: Option<Rally>,
    pieces: u64,
    cap_operations: u64,
    fault: Option<String>,
    children: Vec<Pid>,
}

type Spawner = SpawnClient<Client>;
type Shared = Rc<RefCell<State>>;

fn fail(state: &Shared, text: String) {
    rt::println!("churn: {text}");
    state.borrow_mut().fault.get_or_insert(text);
}

/// Runs until it is stopped.
pub async fn run() -> i32 {
    let state: Shared = Rc::new(RefCell::new(State {
        lmp: Rally::new(),
        ump: None,
        pieces: 0,
        cap_operations: 0,
        fault: None,
        children: Vec::new(),
    }));
    if let Err(e) = start(&state).await {
        rt::println!("churn: {e}");
        return 1;
    }
    let checked = state.clone();
    control::on_check(Box::new(move || verdict(&checked)));
    let s = state.clone();
    task::spawn(async move { capabilities(&s).await });
    control::ready();
    live_registers(&state).await
}

/// Starts the other processes and the rallies with them.
async fn start(state: &Shared) -> Result<(), String> {
    let spawn = connect::<Spawn>("spawn").await.map_err(|e| e.to_string())?;
    let pid = env::pid();
    let near = format!("churn{pid}l");
    let child = start_process(&spawn, Place::Here, &["churn", "peer", &near]).await?;
    state.borrow_mut().children.push(child);
    let child = start_process(&spawn, Place::Here, &["churn", "revoker", REVOKED]).await?;
    state.borrow_mut().children.push(child);
    let inside = format!("churn{pid}n");
    for role in ["peer", "bell"] {
        let child = start_process(&spawn, Place::Here, &["churn", role, &inside]).await?;
        state.borrow_mut().children.push(child);
    }
    let near = Client::lookup(&near).await.map_err(|e| e.to_string())?;
    let far = format!("churn{pid}u");
    let child = start_process(&spawn, Place::Home, &["churn", "peer", &far]).await?;
    state.borrow_mut().children.push(child);
    if child.osnode != pid.osnode {
        let far = Client::lookup_on(child.osnode, &far).await;
        let far = far.map_err(|e| format!("no channel to o{}: {e}", child.osnode))?;
        state.borrow_mut().ump = Some(Rally::new());
        let s = state.clone();
        task::spawn(async move { rally(&s, &far, true).await });
    }
    let s = state.clone();
    task::spawn(async move { rally(&s, &near, false).await });
    let s = state.clone();
    control::on_stop(Box::new(move || {
        let children = core::mem::take(&mut s.borrow_mut().children);
        task::block_on(end_processes(&spawn, &children));
    }));
    Ok(())
}

async fn start_process(spawn: &Spawner, place: Place, words: &[&str]) -> Result<Pid, String> {
    let started = spawn.spawn(place, 0, 0, &join_words(words)).await;
    let started = started.map_err(|e| format!("cannot start {}: {e}", words.join(" ")))?;
    Ok(started.pid)
}

async fn end_processes(spawn: &Spawner, children: &[Pid]) {
    for pid in children {
        // One that ended before is what is wanted.
        let _ = spawn.kill(*pid).await;
    }
}

fn verdict(state: &Shared) -> Verdict {
    let now = time::now_ns();
    let mut s = state.borrow_mut();
    let mut faults: Vec<String> = Vec::new();
    let lmp = s.lmp.check(now, GRACE_NS);
    faults.extend(lmp.map(|f| format!("LMP: {f}")));
    let ump = s.ump.as_mut().and_then(|r| r.check(now, GRACE_NS));
    faults.extend(ump.map(|f| format!("UMP: {f}")));
    faults.extend(s.fault.clone());
    let balls = match &s.ump {
        Some(r) => format!(
            "{} UMP messages (slowest {} us)",
            r.count(),
            r.slowest_ns() / 1000
        ),
        None => "no UMP (no other OSnode)".into(),
    };
    let text = format!(
        "{} pieces of floating-point work, {} LMP calls, {balls}, {} capability operations",
        s.pieces,
        s.lmp.count(),
        s.cap_operations
    );
    let ok = faults.is_empty();
    let text = if ok { text } else { faults.join("; ") };
    Verdict {
        ok,
        text,
        ..Verdict::default()
    }
}

/// Floating-point values and thread-local words that are live across preemptions.
async fn live_registers(state: &Shared) -> i32 {
    let mut random = Random::new(env::pid().number);
    let mut pattern = [0u64; TLS_WORDS];
    for seed in (0..EXPECTED.len()).cycle() {
        for (i, word) in pattern.iter_mut().enumerate() {
            *word = random.next_u64();
            tls::set(i, *word);
        }
        let got = digest(work(seed as f64, ROUNDS));
        if got != EXPECTED[seed] {
            let want = EXPECTED[seed];
            fail(
                state,
                format!("floating-point result {got:#018x}, not {want:#018x}"),
            );
        }
        time::sleep(REST_NS).await;
        for (i, word) in pattern.iter().enumerate() {
            let found = tls::get(i);
            if found != *word {
                fail(
                    state,
                    format!("thread-local word {i} is {found:#x}, not {word:#x}"),
                );
            }
        }
        state.borrow_mut().pieces += 1;
    }
    0
}

/// A ball always in flight.
async fn rally(state: &Shared, peer: &Client, far: bool) {
    loop {
        let ball = with_rally(state, far, |r| r.serve(time::now_ns()));
        match hit(peer.clone(), ball).await {
            Ok(ball) => with_rally(state, far, |r| r.returned(ball, time::now_ns())),
            Err(e) => {
                let which = if far { "UMP" } else { "LMP" };
                return fail(state, format!("{which} peer: {e}"));
            }
        }
    }
}

fn with_rally<R>(state: &Shared, far: bool, f: impl FnOnce(&mut Rally) -> R) -> R {
    let mut s = state.borrow_mut();
    if far {
        f(s.ump.get_or_insert_default())
    } else {
        f(&mut s.lmp)
    }
}

/// Random capability operations, each compared with the model.
async fn capabilities(state: &Shared) {
    let ram = match mem::alloc_ram(MODEL_BYTES) {
        Ok(ram) => ram,
        Err(e) => return fail(state, format!("no memory for the capability model: {e}")),
    };
    let rest: Result<Vec<_>, _> = (1..MODEL_SLOTS).map(|_| cap::alloc_slot()).collect();
    let mut slots = Vec::from([ram.addr()]);
    match rest {
        Ok(rest) => slots.extend(rest),
        Err(e) => return fail(state, format!("no slots: {}", e.message())),
    }
    let base = match again(|| invoke::identify(ram.addr())) {
        Ok(id) => id.cap.base.0,
        Err(e) => return fail(state, format!("identify: {}", e.message())),
    };
    let mut model = CapModel::new(MODEL_SLOTS, MODEL_BYTES);
    let mut random = Random::new(env::pid().number ^ 0x6361_7073);
    loop {
        let op = model.choose(&mut random);
        let allowed = model.apply(op);
        let done = again(|| carry_out(op, &slots)).is_ok();
        let mut result = CapModel::compare(op, allowed, done);
        for (i, slot) in slots.iter().enumerate() {
            result = result.and_then(|()| model.compare_slot(i, view(*slot, base)));
        }
        if let Err(e) = result {
            return fail(state, format!("capabilities: {e}"));
        }
        state.borrow_mut().cap_operations += 1;
        task::yield_now().await;
    }
}

fn carry_out(op: CapOp, slots: &[CapAddr]) -> Result<(), SysError> {
    let root = slots::ROOT_CNODE;
    match op {
        CapOp::Mint { from, to, rights } => {
            invoke::cnode_copy(root, slots[from], slots[to], Rights(rights), None)
        }
        CapOp::Move { from, to } => invoke::cnode_move(root, slots[from], slots[to]),
        CapOp::Retype {
            from,
            to,
            frame,
            offset,
            bytes,
        } => {
            let kind = if frame { CapType::Frame } else { CapType::Ram };
            let what = invoke::Retype {
                offset,
                kind,
                param: 0,
                bytes,
                count: 1,
            };
            invoke::retype(slots[from], what, root, slots[to]).map(|_| ())
        }
        CapOp::Delete { at } => invoke::delete(slots[at]),
        CapOp::Revoke { at } => invoke::revoke(slots[at]),
    }
}

fn view(slot: CapAddr, base: u64) -> Option<CapView> {
    let cap = again(|| invoke::identify(slot)).ok()?.cap;
    Some(CapView {
        frame: cap.kind == CapType::Frame,
        offset: cap.base.0.wrapping_sub(base),
        bytes: cap.size,
        rights: cap.rights.0,
    })
}
