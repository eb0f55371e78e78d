//! An OSnode is destroyed of whose memory others hold pages: all else is free at once, and each page when its last
//! holder drops it, whoever that is.

use alloc::format;
use alloc::string::{String, ToString};

use proto::iface::memory::MemoryClient;
use rt::chan::Client;
use rt::{Capability, time};
use tests::Suite;
use tests::partner::{PartnerRequest, done, keep};

use super::heirs::{destroy, partner_on, theirs};
use super::{PAGE, expect, text};

/// So many looks without a change are enough.
const STILL: u32 = 20;
/// What each Frame here has.
const FRAME: u64 = 2 * PAGE;
/// How often it is looked whether memory is free, and the pause between (ns).
const LOOKS: u32 = 200;
const LOOK_NS: u64 = 5_000_000;

/// The OSnode of core `dies` is destroyed; that of core `lives` holds pages of it, and so does this one.
pub async fn run(dies: u64, lives: u64) -> i32 {
    let mut suite = Suite::new("shared-estate");
    let partners = (partner_on(dies).await, partner_on(lives).await);
    let (Ok((_, dying)), Ok((other, living))) = partners else {
        suite.report("start", Err(String::from("a partner cannot be started")));
        return suite.failed();
    };
    suite.report("estate", estate(dies, &dying, &living).await);
    suite.report("other", other.kill().await.map(|_| ()).map_err(text));
    suite.failed()
}

/// Free bytes of all memory servers of this OSnode.
async fn free() -> Result<u64, String> {
    let endpoint = abi::slots::MEMORY;
    let memory = MemoryClient(Client::bind(endpoint).await.map_err(text)?);
    let mut sum = 0;
    for server in 0.. {
        match memory.stats(server).await {
            Ok(stats) => sum += stats.free,
            Err(_) if server > 0 => break,
            Err(e) => return Err(e.to_string()),
        }
    }
    Ok(sum)
}

/// Waits until so many bytes are free.
async fn until_free(what: &str, bytes: u64) -> Result<(), String> {
    let mut is = free().await?;
    for _ in 0..LOOKS {
        if is == bytes {
            return Ok(());
        }
        time::sleep(LOOK_NS).await;
        is = free().await?;
    }
    expect(what, is, bytes)
}

fn number_after(said: &str, words: &str) -> Option<u64> {
    let number = said.split(words).nth(1)?.split(' ').next()?;
    number.parse().ok()
}

/// The free bytes, once they stay the same for a while.
async fn settled() -> Result<u64, String> {
    let (mut last, mut same) = (free().await?, 0);
    while same < STILL {
        time::sleep(LOOK_NS).await;
        let now = free().await?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

async fn delete(living: &Client, number: u64) -> Result<(), String> {
    done(living, PartnerRequest::Delete { number })
        .await
        .map(|_| ())
}

/// A Frame of the dying one's, which is kept here, and by the living one, or either.
async fn shared(dying: &Client, living: &Client, number: u64) -> Result<Capability, String> {
    let frame = theirs(dying, number).await?;
    keep(living, number, frame.addr()).await?;
    Ok(frame)
}

async fn estate(dies: u64, dying: &Client, living: &Client) -> Result<(), String> {
    let own = theirs(dying, 1).await?;
    shared(dying, living, 2).await?.delete().map_err(text)?;
    let both = shared(dying, living, 3).await?;
    let last = shared(dying, living, 4).await?;
    let before = free().await?;
    let said = destroy(dies).await?;
    // Beside the four Frames the two of a channel with it, until those that have them let go.
    let held = number_after(&said, "but for ").ok_or("nothing is held")?;
    if !(4 * FRAME..=6 * FRAME).contains(&held) {
        return Err(format!("\"{said}\" does not say what is held"));
    }
    let block = number_after(&said, "its ").ok_or("no bytes")?;
    // Nobody has dropped anything yet. What this OSnode had for its channels with that one is free, too.
    let mut now = settled().await?;
    if now < before + block - 4 * FRAME {
        return Err(format!("{now} bytes are free, after {before}"));
    }
    now += FRAME;
    delete(living, 2).await?;
    until_free("what only the other had", now).await?;
    now += FRAME;
    own.delete().map_err(text)?;
    until_free("what only this one had", now).await?;
    both.delete().map_err(text)?;
    now += FRAME;
    delete(living, 3).await?;
    until_free("what the other dropped last", now).await?;
    delete(living, 4).await?;
    now += FRAME;
    last.delete().map_err(text)?;
    until_free("what this one dropped last", now).await
}
