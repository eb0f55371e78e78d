//! How a further dispatcher comes into being.
//!
//! ```text
//! first dispatcher      its spawn service      the other one         the new dispatcher
//!   │ stack, TLS block    │                      │                     │
//!   │── Span, VNode ─────▶│── Member, VNode ────▶│ CSpace, root VNode, │
//!   │                     │                      │ private part, DCB ─▶│ its notification channel,
//!   │◀────────────────────│◀──────────── Spawned │                     │ Notify of the others
//!   │◀──────────────────────── Up ─────────────────────────────────────│
//!   │ Notify of the new one                                            │
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::Ordering;

use abi::{SysError, slots};
use proto::iface::names::NamesClient;
use proto::iface::spawn::SpawnClient;
use proto::{PeerError, ServiceError};

use super::place::{self, Mail, State};
use super::{Member, members, seats};
use crate::cap::Capability;
use crate::chan::Client;
use crate::event::Notification;
use crate::single::Single;
use crate::{env, start, time, vspace};

/// Bytes of a dispatcher's stack.
const STACK_BYTES: u64 = 256 << 10;
/// How long a new dispatcher may take to come up (ns of system time).
const UP_NS: u64 = 20_000_000_000;

/// Stacks of the dispatchers, once made: first address and end.
static STACKS: super::spin::Spin<[(u64, u64); place::PLACES]> =
    super::spin::Spin::new([(0, 0); place::PLACES]);

/// The channel by which this dispatcher is notified.
#[cfg_attr(nekton_user, thread_local)]
static CHANNEL: Single<Option<Notification>> = Single::new(None);

/// Starts a dispatcher of this process on another OSnode (or a further one on the same).
///
/// # Errors
/// [`PeerError`]: the OSnode or its spawn service refuses or does not answer.
pub async fn span(osnode: u64) -> Result<Member, PeerError> {
    if place::current() != 0 {
        return Member::FIRST.start(move || from_first(osnode)).join().await;
    }
    from_first(osnode).await
}

fn from_first(osnode: u64) -> Pin<Box<dyn Future<Output = Result<Member, PeerError>>>> {
    Box::pin(async move {
        place::span();
        if place::own().channel.load(Ordering::Relaxed) == u64::MAX {
            open_channel()?;
        }
        let full = PeerError::Refused(ServiceError::TableFull);
        let index = (1..place::PLACES).find(|i| place::at(*i).take());
        let index = index.ok_or(full)?;
        let started = begin(index, osnode).await;
        if started.is_err() && place::at(index).state() == State::Starting {
            place::at(index).set_state(State::Empty);
        }
        started.map(|()| Member(index))
    })
}

async fn begin(index: usize, osnode: u64) -> Result<(), PeerError> {
    let stack = stack_of(index)?;
    // SAFETY: the stack is nobody's: its dispatcher has not been started.
    let parts = unsafe { start::divide(stack.1) };
    let context = [start::member_entry(), parts.stack, parts.tls, index as u64];
    let blob: Vec<u8> = context.iter().flat_map(|w| w.to_le_bytes()).collect();
    let starter = SpawnClient(Client::bind(slots::PARENT).await?);
    starter.span(osnode, &blob, slots::VNODE_LEVEL2).await?;
    let until = time::system_ns().saturating_add(UP_NS);
    let up = async {
        let mut seen = 0;
        while place::at(index).state() != State::Up {
            seen = seats::changed(seen).await;
        }
    };
    time::system_timeout(until, up)
        .await
        .ok_or(PeerError::TimedOut)?;
    learn(index).await
}

/// The stack of place `index`; made once.
fn stack_of(index: usize) -> Result<(u64, u64), SysError> {
    let known = STACKS.with(|s| s[index]);
    if known.1 != 0 {
        return Ok(known);
    }
    let made = vspace::stack(STACK_BYTES)?;
    STACKS.with(|s| s[index] = made);
    Ok(made)
}

/// Opens the channel by which this dispatcher is notified, and says where it is.
fn open_channel() -> Result<(), SysError> {
    let channel = Notification::new()?;
    let number = channel.channel();
    CHANNEL.with(|c| *c = Some(channel));
    seats::write_own();
    place::own().channel.store(number, Ordering::Release);
    Ok(())
}

/// Gets the capability with which the dispatcher of place `index` is notified from here.
async fn learn(index: usize) -> Result<(), PeerError> {
    if index == place::current() || place::can_notify(index) {
        return Ok(());
    }
    let to = place::at(index);
    let channel = to.channel.load(Ordering::Acquire);
    let osnode = to.osnode.load(Ordering::Relaxed);
    let names = NamesClient(Client::names().await?);
    let found = match osnode == env::osnode() {
        true => names.mint_notify(channel).await,
        false => names.notify_of(osnode, channel).await,
    };
    place::set_notify(index, Capability::leak(found?.cap));
    Ok(())
}

/// A further dispatcher is about to run in place `index`: its stack.
#[cfg(nekton_user)]
pub fn enter(index: u64) -> (u64, u64) {
    let index = index as usize % place::PLACES;
    place::enter(index);
    STACKS.with(|s| s[index])
}

/// What a further dispatcher does until the process ends: what others have for it.
#[cfg(nekton_user)]
pub fn run(index: u64) -> ! {
    let index = index as usize % place::PLACES;
    crate::task::block_on(async move {
        if let Err(e) = come_up().await {
            crate::println!("dispatcher {index} cannot join its process: {e}");
            crate::process::exit(1);
        }
        core::future::pending::<()>().await;
    });
    crate::process::exit(1)
}

/// Says that this dispatcher is there, to all.
#[cfg_attr(
    not(nekton_user),
    expect(dead_code, reason = "only a process has dispatchers")
)]
async fn come_up() -> Result<(), PeerError> {
    open_channel()?;
    let index = place::current();
    // The first one must be reached: it passes on what cannot be said directly.
    learn(0).await?;
    for other in members() {
        // Another one is reached through the first if not directly.
        let _ = learn(other.index()).await;
    }
    place::own().set_state(State::Up);
    for other in members() {
        let get = move || {
            crate::task::spawn(async move {
                let _ = learn(index).await;
            });
        };
        if other.index() != index {
            place::post(other.index(), Mail::Run(Box::new(get)));
        }
    }
    seats::tell();
    Ok(())
}
