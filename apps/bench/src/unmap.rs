//! A page of an address space that dispatchers on several OSnodes share is unmapped, after all of
//! them have used it.
//!
//! The messages by which monitors have each other flush are marked as those about capabilities are.

use abi::marker;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use rt::domain::{self, Member, SharedMemory};
use rt::time;

use crate::copies::SHARERS;

const PAGE: u64 = 4096;
/// Rest between two measurements, in which what the last one left is done (ns).
const REST_NS: u64 = 5_000_000;

type Outcome<T = ()> = Result<T, String>;

/// Sections for as many of `SHARERS` as there are OSnodes for, o2 to o`cores`.
pub async fn measure(rounds: usize, cores: u64) -> Outcome {
    let mut sharing: Vec<Member> = Vec::new();
    for count in SHARERS.into_iter().filter(|n| (*n as u64) < cores) {
        while sharing.len() < count {
            let osnode = sharing.len() as u64 + 2;
            let member = domain::span(osnode).await;
            sharing.push(member.map_err(|e| format!("o{osnode}: {e}"))?);
        }
        rt::marker::<{ marker::SHARERS }>();
        for round in 0..rounds as u64 {
            unmap(&sharing, round + 1).await?;
        }
    }
    Ok(())
}

/// Each of them has the translation of the page when it goes.
async fn unmap(sharing: &[Member], value: u64) -> Outcome {
    let memory = SharedMemory::new(PAGE).map_err(|e| e.message().to_string())?;
    memory.word(0).store(value, Ordering::SeqCst);
    let memory = Arc::new(memory);
    for member in sharing {
        let seen = Arc::clone(&memory);
        let thread = member.start(move || async move { seen.word(0).load(Ordering::SeqCst) });
        let seen = thread.join().await;
        if seen != value {
            return Err(format!("{member:?} reads {seen}, not {value}"));
        }
    }
    let memory = Arc::into_inner(memory).ok_or("somebody still has the memory")?;
    time::sleep(REST_NS).await;
    rt::marker::<{ marker::REVOKE_BEGIN }>();
    let done = memory.unmap();
    rt::marker::<{ marker::REVOKE_END }>();
    time::sleep(REST_NS).await;
    done.map_err(|e| format!("unmap: {}", e.message()))
}
