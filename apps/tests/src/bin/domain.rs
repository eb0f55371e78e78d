//! A process with dispatchers on several OSnodes: threads there, memory that all see,
//! synchronisation between them, and its end as a whole.
//!
//! Arguments: the OSnodes of the further dispatchers; without any, two on the own one.
//! `moves OSNODE CORES`: the OSnode, on the first of these cores, goes round them, under the domain.
//! `orphans DIES LIVES`: the first dispatcher's OSnode, on the first of these cores, is destroyed.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

#[path = "domain/moves.rs"]
mod moves;
#[path = "domain/orphans.rs"]
mod orphans;

use proto::iface::spawn::{Place, ProcessState};
use rt::domain::sync::{Barrier, Condition, Mutex, channel};
use rt::domain::{self, Member, SharedMemory};
use rt::vspace::{self, Access};
use rt::{env, invoke, mem, task, time};
use tests::{Child, Suite};

rt::entry!(main);

/// Rounds of each test of synchronisation.
const ROUNDS: u64 = 200;

fn main() -> i32 {
    let args: Vec<&str> = env::args().collect();
    match args.as_slice() {
        [_, "child", what, osnode] => {
            let osnode = osnode.parse().unwrap_or(0);
            task::block_on(child(what, osnode))
        }
        [_, "moves", osnode, cores @ ..] => {
            let osnode = osnode.trim_start_matches('o').parse().unwrap_or(0);
            let cores = cores.iter().filter_map(|c| c.parse().ok()).collect();
            task::block_on(moves::run(osnode, cores))
        }
        [_, "orphans", dies, lives] => match (dies.parse(), lives.parse()) {
            (Ok(dies), Ok(lives)) => task::block_on(orphans::run(dies, lives)),
            _ => 99,
        },
        [_, osnodes @ ..] => {
            let mut wanted: Vec<u64> = osnodes
                .iter()
                .filter_map(|w| w.trim_start_matches('o').parse().ok())
                .collect();
            if wanted.is_empty() {
                wanted = [env::osnode(); 2].to_vec();
            }
            task::block_on(run(&wanted))
        }
        [] => 99,
    }
}

/// A static that all dispatchers share.
static SHARED: AtomicU64 = AtomicU64::new(0);

async fn run(osnodes: &[u64]) -> i32 {
    let mut suite = Suite::new("domain");
    let mut all = Vec::from([Member::FIRST]);
    for (i, osnode) in osnodes.iter().enumerate() {
        let spanned = domain::span(*osnode).await;
        let name = format!("span{i}");
        match spanned {
            Ok(member) => {
                all.push(member);
                suite.report(&name, check_member(member, *osnode).await);
            }
            Err(e) => suite.report(&name, Err(e.to_string())),
        }
    }
    if all.len() > 1 {
        suite.report("heap", heap(&all).await);
        suite.report("private", private(&all).await);
        suite.report("mutex", mutex(&all).await);
        suite.report("condition", condition(&all).await);
        suite.report("barrier", barrier(&all).await);
        suite.report("channel", queue(&all).await);
        suite.report("sleep", sleeps(&all).await);
        suite.report("memory", memory(&all).await);
        suite.report("seats", seats(&all));
    }
    let osnode = osnodes.first().copied().unwrap_or_default();
    for (what, state, text) in ENDS {
        suite.report(what, ends(what, osnode, *state, text).await);
    }
    suite.failed()
}

/// The static, the code and a value moved there are the same; the OSnode is the wanted one.
async fn check_member(member: Member, osnode: u64) -> Result<(), String> {
    let before = SHARED.fetch_add(1, Ordering::SeqCst);
    let moved = Box::new(41u64);
    let thread = member.start(move || async move {
        let seen = SHARED.fetch_add(1, Ordering::SeqCst);
        (env::osnode(), Member::current(), seen, Box::new(*moved + 1))
    });
    let (there, current, seen, answer) = thread.join().await;
    if there != osnode || member.osnode() != osnode || current != member {
        return Err(format!("{member:?} runs on o{there}, not on o{osnode}"));
    }
    if seen != before + 1 || *answer != 42 {
        return Err(format!(
            "memory is not shared: {seen} after {before}, {answer}"
        ));
    }
    Ok(())
}

/// All allocate and free at once; what one allocated another one frees. The heap grows by all.
async fn heap(all: &[Member]) -> Result<(), String> {
    let threads: Vec<_> = all
        .iter()
        .map(|m| {
            let index = m.index() as u64;
            m.start(move || async move {
                let mut kept: Vec<Vec<u64>> = Vec::new();
                for n in 0..ROUNDS {
                    let len = (n * 37 % 500) as usize;
                    kept.push((0..len as u64).map(|i| i ^ index ^ n).collect());
                    if n % 3 == 0 {
                        kept.swap_remove(n as usize % kept.len());
                    }
                    if n % 16 == 0 {
                        task::yield_now().await;
                    }
                }
                let large: Vec<u64> = (0..100_000).collect();
                kept.push(large);
                kept
            })
        })
        .collect();
    for thread in threads {
        let kept = thread.join().await;
        let large = kept.last().map(|l| l.iter().sum::<u64>());
        if large != Some(4_999_950_000) {
            return Err(format!("another dispatcher's memory is damaged: {large:?}"));
        }
    }
    Ok(())
}

/// What is each dispatcher's own is not the others'.
async fn private(all: &[Member]) -> Result<(), String> {
    for m in all {
        let index = m.index() as u64;
        m.start(move || async move { rt::tls::set(3, index + 100) })
            .join()
            .await;
    }
    for m in all {
        let word = m.start(|| async { rt::tls::get(3) }).join().await;
        if word != m.index() as u64 + 100 {
            return Err(format!("{m:?} has {word} in its thread-local storage"));
        }
    }
    Ok(())
}

async fn mutex(all: &[Member]) -> Result<(), String> {
    let value = Arc::new(Mutex::new((0u64, 0u64)));
    let threads: Vec<_> = all
        .iter()
        .map(|m| {
            let value = value.clone();
            m.start(move || async move {
                for n in 0..ROUNDS {
                    let mut both = value.lock().await;
                    both.0 += 1;
                    if n % 8 == 0 {
                        // Held while others run: they must wait.
                        task::yield_now().await;
                    }
                    both.1 += 1;
                    if both.0 != both.1 {
                        return false;
                    }
                }
                true
            })
        })
        .collect();
    for thread in threads {
        if !thread.join().await {
            return Err(String::from("two tasks held the mutex"));
        }
    }
    let end = *value.lock().await;
    let want = ROUNDS * all.len() as u64;
    (end == (want, want))
        .then_some(())
        .ok_or(format!("{end:?} additions, not {want}"))
}

/// A turn that goes around: each waits for its own.
async fn condition(all: &[Member]) -> Result<(), String> {
    let state = Arc::new((Mutex::new(0u64), Condition::new()));
    let count = all.len() as u64;
    let threads: Vec<_> = (0..)
        .zip(all)
        .map(|(own, m)| {
            let state = state.clone();
            m.start(move || async move {
                for _ in 0..ROUNDS {
                    let mut turn = state.0.lock().await;
                    while *turn % count != own {
                        turn = state.1.wait(turn).await;
                    }
                    *turn += 1;
                    drop(turn);
                    state.1.tell_all();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().await;
    }
    let turns = *state.0.lock().await;
    (turns == count * ROUNDS)
        .then_some(())
        .ok_or(format!("{turns} turns"))
}

async fn barrier(all: &[Member]) -> Result<(), String> {
    let count = all.len() as u64;
    let meeting = Arc::new((
        Barrier::new(all.len()),
        AtomicU64::new(0),
        AtomicU64::new(0),
    ));
    let threads: Vec<_> = all
        .iter()
        .map(|m| {
            let meeting = meeting.clone();
            m.start(move || async move {
                let (barrier, came, leaders) = &*meeting;
                for n in 0..ROUNDS {
                    came.fetch_add(1, Ordering::Relaxed);
                    let last = barrier.wait().await;
                    leaders.fetch_add(last.into(), Ordering::Relaxed);
                    // All have come to this round; none can be two rounds ahead.
                    let now = came.load(Ordering::Relaxed);
                    if now < (n + 1) * count || now > (n + 2) * count {
                        return Err(format!("{now} came by round {n}"));
                    }
                }
                Ok(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().await?;
    }
    let leaders = meeting.2.load(Ordering::Relaxed);
    (leaders == ROUNDS)
        .then_some(())
        .ok_or(format!("{leaders} rounds had a last one, not {ROUNDS}"))
}

async fn queue(all: &[Member]) -> Result<(), String> {
    let (sender, receiver) = channel::<Box<u64>>(4);
    let threads: Vec<_> = (1..)
        .zip(all)
        .map(|(own, m)| {
            let sender = sender.clone();
            m.start(move || async move {
                for n in 0..ROUNDS {
                    if sender.send(Box::new(own * 1_000_000 + n)).await.is_err() {
                        return false;
                    }
                }
                true
            })
        })
        .collect();
    drop(sender);
    let mut next = [0u64; 65];
    let mut count = 0;
    while let Some(value) = receiver.receive().await {
        let (from, n) = ((*value / 1_000_000) as usize, *value % 1_000_000);
        if next[from] != n {
            return Err(format!("{n} came from {from} instead of {}", next[from]));
        }
        next[from] += 1;
        count += 1;
    }
    for thread in threads {
        thread.join().await;
    }
    let want = ROUNDS * all.len() as u64;
    (count == want)
        .then_some(())
        .ok_or(format!("{count} values came, not {want}"))
}

/// All sleep in between: only notifications wake them.
async fn sleeps(all: &[Member]) -> Result<(), String> {
    for n in 0..20 {
        time::sleep(3_000_000).await;
        for m in all {
            let there = m.start(move || async move {
                time::sleep(1_000_000).await;
                n
            });
            let until = time::now_ns() + 5_000_000_000;
            if time::timeout(until, there.join()).await != Some(n) {
                return Err(format!("{m:?} was not woken in round {n}"));
            }
        }
    }
    Ok(())
}

/// Memory asked for by each is seen by all, protected for all, and goes.
async fn memory(all: &[Member]) -> Result<(), String> {
    for m in all {
        let made = m
            .start(|| async { SharedMemory::new(3 * 4096) })
            .join()
            .await;
        let made = Arc::new(made.map_err(|e| String::from(e.message()))?);
        for (n, other) in (0..).zip(all) {
            let memory = made.clone();
            other
                .start(move || async move { memory.word(8 * n).store(n + 7, Ordering::Release) })
                .join()
                .await;
        }
        for n in 0..all.len() as u64 {
            let found = made.word(8 * n).load(Ordering::Acquire);
            if found != n + 7 {
                return Err(format!("word {n} is {found}"));
            }
        }
        for writable in [false, true] {
            let done = made.set_writable(writable);
            done.map_err(|e| format!("protection: {}", e.message()))?;
        }
        made.word(16).store(1, Ordering::Relaxed);
        let memory = Arc::try_unwrap(made).map_err(|_| "a thread still has it")?;
        memory
            .unmap()
            .map_err(|e| format!("unmapping: {}", e.message()))?;
    }
    Ok(())
}

fn seats(all: &[Member]) -> Result<(), String> {
    let seats = domain::seats();
    let same = seats.iter().map(|s| s.member).eq(all.iter().copied());
    let placed = seats.iter().all(|s| s.osnode == s.member.osnode());
    (same && placed)
        .then_some(())
        .ok_or(format!("the seats are {seats:?}"))
}

/// How domains end, and what their starter hears.
const ENDS: &[(&str, ProcessState, &str)] = &[
    ("exit-first", ProcessState::Exited, ""),
    ("exit-other", ProcessState::Exited, ""),
    ("panic-other", ProcessState::Faulted, "on purpose"),
    ("fault-other", ProcessState::Faulted, "PageFault"),
    ("unmapped", ProcessState::Faulted, "PageFault"),
    ("readonly", ProcessState::Faulted, "PageFault"),
    ("revoked", ProcessState::Faulted, "PageFault"),
];

/// A domain that ends in some way: all of it ends.
async fn ends(what: &str, osnode: u64, state: ProcessState, text: &str) -> Result<(), String> {
    let child = Child::start(
        &[env::program(), "child", what, &format!("{osnode}")],
        Place::Here,
    )
    .await?;
    let end = child.wait().await?;
    if end.state != state || !end.report.contains(text) || end.status != 0 {
        return Err(format!("it ended as {end:?}"));
    }
    Ok(())
}

async fn child(what: &str, osnode: u64) -> i32 {
    if what == "orphans" {
        return orphans::child(osnode).await;
    }
    let Ok(other) = domain::span(osnode).await else {
        return 90;
    };
    match what {
        "exit-first" => return 0,
        "exit-other" => drop(other.start(|| async { rt::process::exit(0) })),
        "panic-other" => drop(other.start(|| async { panic!("on purpose") })),
        "fault-other" => drop(other.start(|| async { rt::provoke::read_unmapped() })),
        "unmapped" => return unmapped(other).await,
        "readonly" => return readonly(other).await,
        "revoked" => return revoked(other).await,
        _ => return 91,
    }
    core::future::pending().await
}

/// The other one has used the page; after the unmapping it must not reach it any more.
async fn unmapped(other: Member) -> i32 {
    let Ok(memory) = SharedMemory::new(4096) else {
        return 92;
    };
    let (memory, at) = use_there(memory, other).await;
    if memory.unmap().is_err() {
        return 93;
    }
    other
        .start(move || async move { rt::provoke::read_gone(at) })
        .join()
        .await
}

/// The other one has written to the page; after it was made read only it must not any more.
async fn readonly(other: Member) -> i32 {
    let Ok(memory) = SharedMemory::new(4096) else {
        return 92;
    };
    let (memory, _) = use_there(memory, other).await;
    if memory.set_writable(false).is_err() {
        return 93;
    }
    other
        .start(move || async move { memory.word(0).store(9, Ordering::Relaxed) })
        .join()
        .await;
    94
}

async fn use_there(memory: SharedMemory, other: Member) -> (SharedMemory, u64) {
    let used = other.start(move || async move {
        memory.word(0).store(5, Ordering::Relaxed);
        memory
    });
    let memory = used.join().await;
    let at = memory.address();
    (memory, at)
}

/// How long it is watched whether a page still changes (ns).
const WATCH_NS: u64 = 3_000_000;

/// Another dispatcher writes to a page all the time, through its translation buffer. The revoke that takes the Mappings
/// away is over only when it cannot any more.
async fn revoked(other: Member) -> i32 {
    let Ok(frame) = mem::alloc_frame(4096) else {
        return 92;
    };
    let map = || vspace::map(frame.addr(), 0, 4096, Access::ReadWrite);
    let Ok(mapped) = map() else {
        return 93;
    };
    let at = mapped.address();
    drop(other.start(move || async move { rt::provoke::count_until_gone(at) }));
    while mapped.load(0) == 0 {
        time::sleep(100_000).await;
    }
    if invoke::revoke(frame.addr()).is_err() {
        return 94;
    }
    let Ok(again) = map() else {
        return 95;
    };
    let before = again.load(0);
    time::sleep(WATCH_NS).await;
    match again.load(0) == before {
        true => core::future::pending().await,
        false => 96,
    }
}
