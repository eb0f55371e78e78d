//! An OSnode is destroyed that shares memory with others, in both directions: these keep what they held, the
//! lowest of them owns it, and nobody waits for who is gone.

use alloc::format;
use alloc::string::{String, ToString};

use capfmt::CapType;
use proto::iface::cores::CoreOp;
use proto::iface::spawn::Place;
use rt::chan::{Attach, Client};
use rt::vspace::{self, Access};
use rt::{Capability, env, invoke, mem, time};
use tests::partner::{PartnerRequest, SELF, ask, done, is_gone, keep};
use tests::{Child, Suite, cores};

use super::{PAGE, SUM, expect, frame, text, until_private};

/// How long it may take until a ruined monitor has ended, and all know it (ns).
const END_NS: u64 = 20_000_000_000;
/// Pause between two looks (ns).
const LOOK_NS: u64 = 50_000_000;

/// How an OSnode goes.
#[derive(Clone, Copy)]
pub enum How {
    /// By command.
    Destroyed,
    /// Its monitor ends.
    Ended,
}

/// A partner on the OSnode of a core.
pub async fn partner_on(core: u64) -> Result<(Child, Client), String> {
    let name = format!("heir{core}.{}", env::pid());
    let child = Child::start_on(&[SELF, &name], Place::Core, core).await?;
    let client = Client::lookup_on(child.pid.osnode, &name).await;
    Ok((child, client.map_err(|e| e.to_string())?))
}

/// The OSnode of core `dies` is destroyed; that of core `lives` shares with it, too.
pub async fn run(dies: u64, lives: u64, how: How) -> i32 {
    let mut suite = Suite::new("shared-heirs");
    let partners = (partner_on(dies).await, partner_on(lives).await);
    let (Ok((child, dying)), Ok((other, living))) = partners else {
        suite.report("start", Err(String::from("a partner cannot be started")));
        return suite.failed();
    };
    let ends = async || match how {
        How::Destroyed => destroy(dies).await.map(drop),
        How::Ended => end(dies, child.pid.osnode).await,
    };
    suite.report("heirs", heirs(ends, &child, &dying, &living).await);
    suite.report("other", other.kill().await.map(|_| ()).map_err(text));
    suite.failed()
}

/// A Frame that the dying one made: two pages, the first with the usual words.
pub async fn theirs(dying: &Client, number: u64) -> Result<Capability, String> {
    done(dying, PartnerRequest::Make { number }).await?;
    let given = ask(dying, PartnerRequest::Give { number }, Attach::NONE).await?;
    given.cap.ok_or_else(|| String::from("no capability came"))
}

async fn heirs(
    ends: impl AsyncFnOnce() -> Result<(), String>,
    child: &Child,
    dying: &Client,
    living: &Client,
) -> Result<(), String> {
    // One of this OSnode's that both others hold.
    let (own, _mapped) = frame(2)?;
    keep(dying, 1, own.addr()).await?;
    keep(living, 1, own.addr()).await?;
    // One of the dying one's that this OSnode and the other hold, and one that only the other does.
    let both = theirs(dying, 2).await?;
    keep(living, 2, both.addr()).await?;
    let single = theirs(dying, 3).await?;
    keep(living, 3, single.addr()).await?;
    single.delete().map_err(text)?;
    let view = vspace::map(both.addr(), 0, 2 * PAGE, Access::ReadWrite).map_err(text)?;
    ends().await?;
    // Nobody is there any more.
    if ask(dying, PartnerRequest::Look { number: 1 }, Attach::NONE)
        .await
        .is_ok()
    {
        return Err(String::from("the partner that was destroyed answers"));
    }
    let again = Client::lookup_on(child.pid.osnode, "spawn").await;
    expect("a channel to it", again.is_ok(), false)?;
    // What it owned is there, with what stood in it, and is still shared.
    expect("first word", view.load(0), 1)?;
    let sum = |number, write| PartnerRequest::Sum { number, write };
    expect(
        "inherited by this one",
        done(living, sum(2, 55)).await?,
        SUM,
    )?;
    expect("written there", view.load(PAGE), 55)?;
    expect(
        "inherited by the other",
        done(living, sum(3, 0)).await?,
        SUM,
    )?;
    drop(view);
    // The heirs decide: this OSnode, and the other one.
    invoke::revoke(both.addr()).map_err(text)?;
    is_gone(living, 2).await?;
    let part = mem::retype_one(both.addr(), CapType::Frame, 0, PAGE, PAGE).map_err(text)?;
    part.delete().map_err(text)?;
    both.delete().map_err(text)?;
    let part = PartnerRequest::Retype {
        number: 3,
        part: 1 | 1 << 32,
        made: 4,
        ram: 0,
    };
    // Its mapping goes, too: then there is room for something made of it.
    done(living, PartnerRequest::Revoke { number: 3 }).await?;
    done(living, part).await?;
    done(living, PartnerRequest::Revoke { number: 3 }).await?;
    is_gone(living, 4).await?;
    done(living, PartnerRequest::Delete { number: 3 }).await?;
    // This one's own is private once the other gives it up.
    done(living, PartnerRequest::Delete { number: 1 }).await?;
    until_private(own.addr()).await
}

/// Destroys the OSnode of a core; what became of its memory, as a sentence.
pub async fn destroy(core: u64) -> Result<String, String> {
    let destroyed = cores::manager().await?.destroy(core as u32).await;
    let destroyed = destroyed.map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&destroyed.text).into_owned())
}

/// A kernel that ruins the monitor comes; whoever asks for the OSnode is answered by then, at the latest.
async fn end(core: u64, osnode: u64) -> Result<(), String> {
    cores::operate(core as u32, CoreOp::Update, "t-monitor").await?;
    let until = time::system_ns() + END_NS;
    while Client::lookup_on(osnode, "spawn").await.is_ok() {
        if time::system_ns() > until {
            return Err(String::from("its monitor goes on"));
        }
        time::sleep(LOOK_NS).await;
    }
    Ok(())
}
