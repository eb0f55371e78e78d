//! An OSnode goes to other cores while a domain works on it: nothing is lost, and the domain hears where it is.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rt::domain::sync::Mutex;
use rt::domain::{self, Change, CoreSet, Member, SharedMemory};
use rt::skb::Knowledge;
use rt::{env, task, time};
use tests::{Suite, cores};

/// How long the news of a move may take (ns).
const NEWS_NS: u64 = 20_000_000_000;

/// What the dispatchers do meanwhile, and whether they are to end.
struct Work {
    /// Rounds of each, under one mutex.
    rounds: Mutex<[u64; 2]>,
    /// Rounds that the one on the moving OSnode began.
    begun: AtomicU64,
    over: AtomicBool,
}

/// A dispatcher on `osnode`, which goes from the first of the cores to each other one and back.
pub async fn run(osnode: u64, cores: Vec<u32>) -> i32 {
    let mut suite = Suite::new("domain-moves");
    let member = match domain::span(osnode).await {
        Ok(member) => member,
        Err(e) => {
            suite.report("span", Err(e.to_string()));
            return suite.failed();
        }
    };
    let all = [Member::FIRST, member];
    let knowledge = Knowledge::connect(env::osnode()).await.ok();
    let mut core_set = CoreSet::new(knowledge);
    let work = Arc::new(Work {
        rounds: Mutex::new([0; 2]),
        begun: AtomicU64::new(0),
        over: AtomicBool::new(false),
    });
    let threads: Vec<_> = all
        .into_iter()
        .enumerate()
        .map(|(i, m)| {
            let work = work.clone();
            m.start(move || labour(work, i))
        })
        .collect();
    let round = cores.iter().cycle().skip(1).take(cores.len());
    for (from, to) in cores.iter().zip(round) {
        let name = format!("from{from}to{to}");
        let moved = one_move(&mut core_set, member, &work, *from, *to).await;
        suite.report(&name, moved);
    }
    work.over.store(true, Ordering::Release);
    for thread in threads {
        let failed = thread.join().await;
        suite.report("work", failed.map_or(Ok(()), Err));
    }
    suite.report("mutex", super::mutex(&all).await);
    suite.report("sleep", super::sleeps(&all).await);
    suite.report("memory", super::memory(&all).await);
    suite.failed()
}

/// Locks, allocates, sleeps and maps, until it is told to end; what went wrong.
async fn labour(work: Arc<Work>, i: usize) -> Option<String> {
    let mut last = time::now_ns();
    while !work.over.load(Ordering::Acquire) {
        if i == 1 {
            work.begun.fetch_add(1, Ordering::Relaxed);
        }
        let kept: Vec<u64> = (0..200).collect();
        {
            let mut rounds = work.rounds.lock().await;
            rounds[i] += 1;
            // Held while others run, and over a move at times.
            task::yield_now().await;
        }
        time::sleep(300_000).await;
        let now = time::now_ns();
        if now < last || kept.iter().sum::<u64>() != 19_900 {
            return Some(format!("dispatcher {i}: time {last} to {now}, {kept:?}"));
        }
        last = now;
    }
    None
}

/// Moves the OSnode of `member`; the domain must hear of it, and work there.
async fn one_move(
    core_set: &mut CoreSet,
    member: Member,
    work: &Arc<Work>,
    from: u32,
    to: u32,
) -> Result<(), String> {
    let memory = SharedMemory::new(4096).map_err(|e| e.message().to_string())?;
    memory.word(0).store(u64::from(from), Ordering::Release);
    let began = work.begun.load(Ordering::Relaxed);
    move_osnode(from, to).await?;
    let until = time::now_ns().saturating_add(NEWS_NS);
    let changes = time::timeout(until, core_set.changed()).await;
    let changes = changes.ok_or("the domain does not hear that its core set changed")?;
    check(&changes, member, from, to)?;
    let memory = Arc::new(memory);
    let shared = memory.clone();
    let there = member.start(move || async move {
        let found = shared.word(0).swap(77, Ordering::AcqRel);
        drop(shared);
        (env::core(), found)
    });
    let (core, found) = there.join().await;
    let memory = Arc::try_unwrap(memory).map_err(|_| "a thread still has the memory")?;
    let now = memory.word(0).load(Ordering::Acquire);
    memory.unmap().map_err(|e| e.message().to_string())?;
    if core != to || found != u64::from(from) || now != 77 {
        return Err(format!("core {core}, word {found}, then {now}"));
    }
    // What it did before goes on there.
    let mut waited = 0;
    while work.begun.load(Ordering::Relaxed) < began + 20 {
        time::sleep(1_000_000).await;
        waited += 1;
        if waited > 10_000 {
            return Err(String::from("its thread does not go on"));
        }
    }
    Ok(())
}

fn check(changes: &[Change], member: Member, from: u32, to: u32) -> Result<(), String> {
    let [change] = changes else {
        return Err(format!("not one change: {changes:?}"));
    };
    let seat = change.seat;
    let place = change.place;
    let right = seat.member == member && seat.core == to && change.before == Some(from);
    let known = place.node.is_some() && place.package.is_some() && place.capacity.is_some();
    (right && known && place.core == to)
        .then_some(())
        .ok_or(format!("{change:?}"))
}

async fn move_osnode(from: u32, to: u32) -> Result<(), String> {
    let moved = cores::manager().await?.move_osnode(from, to, b"").await;
    moved.map(drop).map_err(|e| e.to_string())
}
