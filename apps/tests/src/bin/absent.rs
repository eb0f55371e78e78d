//! Capabilities shared with an OSnode that is stopped: nobody waits for it.
//!
//! `t-absent CORE`: a partner there shares in both directions; once it is found stopped (by whoever started
//! this), what is shared is revoked from here; when it runs again, it has lost what was revoked. Without a
//! number it stops and starts core 1 itself.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};

use capfmt::{CapType, MdbFlags};
use proto::PeerError;
use proto::iface::cores::CoreOp;
use proto::iface::spawn::Place;
use rt::chan::{Answer, Attach, Client};
use rt::{Capability, env, invoke, mem, println, task, time};
use tests::cores::{begin, operate};
use tests::partner::{PartnerReply, PartnerRequest, SELF, ask, done, done_with, is_gone, keep};
use tests::{Child, Suite};

rt::entry!(main);

const PAGE: u64 = 4096;
/// The core that it takes if nobody names one.
const OWN_CORE: u32 = 1;
/// Who does not answer within this is stopped (ns).
const SILENT_NS: u64 = 300_000_000;
/// How long it may take until it is stopped, or started again (ns).
const PATIENCE_NS: u64 = 60_000_000_000;

fn main() -> i32 {
    let core = env::args().nth(1).and_then(|word| word.parse().ok());
    task::block_on(async {
        match core {
            Some(core) => run(core, false).await,
            None => alone().await,
        }
    })
}

/// Sees to its core itself.
async fn alone() -> i32 {
    match begin(OWN_CORE).await {
        Ok(was_off) => {
            let failed = run(OWN_CORE, true).await;
            if was_off && let Err(e) = operate(OWN_CORE, CoreOp::Stop, "").await {
                println!("absent: {e}");
                return failed + 1;
            }
            failed
        }
        Err(e) => {
            println!("absent: {e}");
            1
        }
    }
}

/// What is shared with the partner.
struct Shared {
    child: Child,
    client: Client,
    /// Owned here; the partner has a copy, mapped.
    own: Capability,
    /// Owned there; a copy is here.
    theirs: Capability,
}

async fn run(core: u32, alone: bool) -> i32 {
    let mut suite = Suite::new("absent");
    match share(core).await {
        Err(e) => suite.report("share", Err(e)),
        Ok(shared) => {
            suite.report("share", Ok(()));
            if alone {
                suite.report("stop", operate(core, CoreOp::Stop, "").await.map(drop));
            }
            suite.report("stopped", until(&shared.client, false).await);
            suite.report("revoke", revoked(&shared, &shared.own).await);
            suite.report("revoke_by_holder", revoked(&shared, &shared.theirs).await);
            if alone {
                suite.report("start", operate(core, CoreOp::Start, "").await.map(drop));
            }
            suite.report("back", until(&shared.client, true).await);
            suite.report("lost", lost(&shared.client).await);
            // What it was given goes with it.
            suite.report("end", shared.child.kill().await.map(|_| ()));
        }
    }
    println!("absent: {} failed", suite.failed());
    suite.failed()
}

async fn share(core: u32) -> Result<Shared, String> {
    let name = format!("absent{}", env::pid());
    let words: [&str; 2] = [SELF, &name];
    let child = Child::start_on(&words, Place::Core, core.into()).await?;
    let client = Client::lookup_on(child.pid.osnode, &name).await;
    let client = client.map_err(|e| e.to_string())?;
    let text = |e| format!("{e:?}");
    let own = mem::alloc_frame(2 * PAGE).map_err(text)?;
    keep(&client, 1, own.addr()).await?;
    let sum = PartnerRequest::Sum {
        number: 1,
        write: 5,
    };
    done(&client, sum).await?;
    let ram = mem::alloc_ram(4 * PAGE).map_err(text)?;
    let with = Attach {
        give: true,
        ..Attach::cap(ram.addr())
    };
    done_with(&client, PartnerRequest::Keep { number: 2 }, with).await?;
    let made = PartnerRequest::Retype {
        number: 2,
        part: 2 << 32,
        made: 3,
        ram: 0,
    };
    done(&client, made).await?;
    let answer = ask(&client, PartnerRequest::Give { number: 3 }, Attach::NONE).await?;
    let theirs = answer.cap.ok_or("no capability came back")?;
    Ok(Shared {
        child,
        client,
        own,
        theirs,
    })
}

/// Whether the partner answers within a moment.
async fn answers(client: &Client) -> Result<bool, String> {
    let until = time::system_ns() + SILENT_NS;
    let request = PartnerRequest::Look { number: 1 };
    let answer: Result<Answer<PartnerReply>, _> =
        client.request_until(&request, Attach::NONE, until).await;
    match answer {
        Ok(_) => Ok(true),
        Err(PeerError::TimedOut) => Ok(false),
        Err(e) => Err(e.to_string()),
    }
}

/// Waits until the partner answers, or does not.
async fn until(client: &Client, there: bool) -> Result<(), String> {
    let end = time::system_ns() + PATIENCE_NS;
    while answers(client).await? != there {
        if time::system_ns() > end {
            return Err(format!("after a minute, answering: {}", !there));
        }
        time::sleep(10_000_000).await;
    }
    Ok(())
}

/// Nothing else has the object once the call returns, and the partner did not run meanwhile.
async fn revoked(shared: &Shared, cap: &Capability) -> Result<(), String> {
    invoke::revoke(cap.addr()).map_err(|e| e.message().to_string())?;
    let id = invoke::identify(cap.addr()).map_err(|e| e.message().to_string())?;
    if id.cap.kind != CapType::Frame || id.flags.contains(MdbFlags::REMOTE_COPIES) {
        return Err(format!("{:?} with flags {:?} is left", id.cap, id.flags));
    }
    match answers(&shared.client).await? {
        false => Ok(()),
        true => Err("the partner runs".into()),
    }
}

async fn lost(client: &Client) -> Result<(), String> {
    is_gone(client, 1).await?;
    is_gone(client, 3).await
}
