//! The boot driver dies in the middle of operations: the one after it finishes or undoes them, and
//! the core goes on under its commands. With the argument `devmgr`, the device manager dies so.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::pin::Pin;

use proto::Pid;
use proto::iface::cores::{CoreOp, CoreState};
use proto::iface::spawn::{Place, ProcessState, Spawn};
use rt::chan::connect;
use rt::{env, task, time};
use tests::{Child, Suite, cores};

rt::entry!(main);

/// The core that is operated.
const CORE: u32 = 1;
/// When an operation's driver is killed: eighths of the time that the one before took. Supervision
/// allows five restarts in its period.
const MOMENTS: [u64; 3] = [4, 6, 3];

type Step<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + 'a>>;

fn main() -> i32 {
    task::block_on(run())
}

async fn run() -> i32 {
    let mut suite = Suite::new("driver");
    let name = env::args().nth(1).unwrap_or("bootdrv-");
    let begun = cores::begin(CORE).await;
    let was_off = begun == Ok(true);
    suite.report("begin", begun.map(|_| ()));
    for moment in MOMENTS {
        let result = killed_in_update(name, moment).await;
        suite.report(&format!("killed_after_{moment}_eighths"), result);
    }
    suite.report("goes_on", goes_on().await.map(|_| ()));
    if was_off {
        let stopped = cores::operate(CORE, CoreOp::Stop, "").await;
        suite.report("end", stopped.map(|_| ()));
    }
    suite.failed()
}

/// The first process whose name begins so.
async fn victim(name: &str) -> Result<Pid, String> {
    let spawn = connect::<Spawn>("spawn").await.map_err(|e| e.to_string())?;
    let mut after = Pid::default();
    while let Ok(p) = spawn.next(after).await {
        if p.state == ProcessState::Running && p.words.starts_with(name.as_bytes()) {
            return Ok(p.pid);
        }
        after = p.pid;
    }
    Err(format!("no {name} runs"))
}

async fn kill(pid: Pid) -> Result<String, String> {
    let spawn = connect::<Spawn>("spawn").await.map_err(|e| e.to_string())?;
    let killed = spawn.kill(pid).await;
    killed.map(|_| String::new()).map_err(|e| e.to_string())
}

async fn killed_in_update(name: &str, moment: u64) -> Result<(), String> {
    let usual_ns = goes_on().await?;
    let moment = usual_ns * moment / 8;
    let old = victim(name).await?;
    let late = async {
        time::sleep(moment).await;
        kill(old).await
    };
    let both: [Step<'_>; 2] = [
        Box::pin(cores::operate(CORE, CoreOp::Update, "trace")),
        Box::pin(late),
    ];
    let mut ends = task::join(Vec::from(both)).await.into_iter();
    let (updated, killed) = (ends.next(), ends.next());
    killed.ok_or("not killed")??;
    let said = match updated.ok_or("not asked")? {
        Ok(text) | Err(text) => text,
    };
    let (at, of) = (moment / 1000, usual_ns / 1000);
    rt::println!("driver: killed {at} us after the beginning of usually {of} us: {said}");
    // Asking waits for the next driver, which first takes up what was begun.
    match cores::state(CORE).await? {
        CoreState::Running => {}
        // An update that was interrupted before the new kernel ran, and could not go on.
        CoreState::Penned | CoreState::Detached => {
            drop(cores::operate(CORE, CoreOp::Start, "").await?)
        }
        CoreState::Crashed => drop(cores::operate(CORE, CoreOp::Recover, "").await?),
        other => return Err(format!("core {CORE} is {other:?} ({said})")),
    }
    alive().await
}

/// The OSnode on the core starts programs.
async fn alive() -> Result<(), String> {
    let place = Place::Core;
    let child = Child::start_on(&["t-spawn", "status", "0"], place, CORE.into()).await?;
    child.wait().await?.expect_success()
}

/// Everything is as it was: operations succeed; how long the last one took (ns).
async fn goes_on() -> Result<u64, String> {
    let mut took = 0;
    for kernel in ["std", "trace", "std"] {
        let start = time::system_ns();
        cores::operate(CORE, CoreOp::Update, kernel).await?;
        took = time::system_ns() - start;
        alive().await?;
    }
    Ok(took)
}
