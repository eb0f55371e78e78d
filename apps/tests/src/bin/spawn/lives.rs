//! A starter through all lives of its spawn service: what it is told is true, also of children that ended between two lives.

use alloc::format;
use alloc::string::{String, ToString};

use proto::iface::spawn::{Ended, Place, ProcessState, Spawn, SpawnClient, join_words};
use proto::{CallError, PeerError, Pid, ServiceError};
use rt::chan::{Client, Lasting};
use rt::{env, time};
use tests::Random;

/// Pause after each child (ns of OSnode time).
const PAUSE_NS: u64 = 40_000_000;

/// What became of children.
#[derive(Default)]
struct Tally {
    /// Started, and ended as they should.
    ended: u64,
    /// Nobody said whether they were started.
    unknown: u64,
    /// Of those, found running.
    found: u64,
}

/// Starts and ends children for so many seconds.
pub async fn busy(seconds: u64) -> Result<(), String> {
    let spawn = Lasting::<Spawn>::open("spawn", |_| ()).await;
    let spawn = spawn.map_err(|e| e.to_string())?;
    let until = time::now_ns().saturating_add(seconds.saturating_mul(1_000_000_000));
    let mut random = Random::new(env::seed());
    let mut tally = Tally::default();
    let mut last = env::pid();
    while time::now_ns() < until {
        let status = random.below(200) as i32;
        // Every fourth waits to be killed.
        let stays = status % 4 == 0;
        let text = format!("{status}");
        let words: &[&str] = match stays {
            true => &[super::SELF, "sleep"],
            false => &[super::SELF, "status", &text],
        };
        let client = spawn.client().await.map_err(|e| e.to_string())?;
        let pid = match client.spawn(Place::Here, 0, 0, &join_words(words)).await {
            Ok(started) => started.pid,
            Err(CallError::Peer(PeerError::Gone)) => {
                tally.unknown += 1;
                // One that was started has the next number, and is there.
                match next(&spawn, last).await? {
                    None => continue,
                    Some(pid) => {
                        tally.found += 1;
                        pid
                    }
                }
            }
            Err(e) => return Err(e.to_string()),
        };
        if pid.number <= last.number {
            return Err(format!("{pid} came after {last}"));
        }
        last = pid;
        let end = match stays {
            true => kill(&spawn, pid).await,
            false => spawn.ask(async |spawn| spawn.wait(pid).await).await,
        };
        let end = end.map_err(|e| format!("{pid}: {e}"))?;
        let wanted = match stays {
            true => (ProcessState::Killed, 0),
            false => (ProcessState::Exited, status),
        };
        if (end.state, end.status) != wanted {
            let report = String::from_utf8_lossy(&end.report);
            let (state, status) = (end.state, end.status);
            return Err(format!("{pid} {words:?}: {state:?} {status} \"{report}\""));
        }
        tally.ended += 1;
        time::sleep(PAUSE_NS).await;
    }
    let Tally {
        ended,
        unknown,
        found,
    } = tally;
    rt::println!(
        "t-spawn: {ended} children ended as they should; {unknown} starts were not answered, {found} of them had been made"
    );
    Ok(())
}

/// The process of this OSnode that follows `last`, if there is one.
async fn next(spawn: &Lasting<Spawn>, last: Pid) -> Result<Option<Pid>, String> {
    let asked = spawn.ask(async |spawn| spawn.next_here(last.number).await);
    match asked.await {
        Ok(process) => Ok(Some(process.pid)),
        Err(e) if e.is(ServiceError::End) => Ok(None),
        Err(e) => Err(e.to_string()),
    }
}

/// Ends a child, and says how it ended: the life that was asked to may have done so and ended before it answered.
async fn kill(spawn: &Lasting<Spawn>, pid: Pid) -> Result<Ended, CallError> {
    let kill = async |spawn: SpawnClient<Client>| spawn.kill(pid).await;
    match spawn.ask(kill).await {
        Err(e) if e.is(ServiceError::NotFound) => {
            spawn.ask(async |spawn| spawn.wait(pid).await).await
        }
        done => done,
    }
}
