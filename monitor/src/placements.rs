//! Where other OSnodes are, for trees: asked of the knowledge base when trees are needed.
//!
//! Nobody waits for the answer: a tree is made of what is known, and a task of its own asks. It does so after the
//! membership view changed, or after a second, in which other facts may have; so OSnodes at rest ask
//! nothing, and a core that starts or stops wakes nobody for it. The first OSnode's monitor asks for all others.

use alloc::vec::Vec;

use capfmt::OsnodeId;
use monitor::agree::membership::Status;
use monitor::agree::unmap::Tree;
use monitor::{Fan, Placement, Way};
use proto::iface::monitor as iface;
use proto::iface::skb::{Edge, Subject, Topic};
use proto::{CallError, Name, ServiceError};
use rt::skb::Knowledge;
use rt::{task, time};

use crate::world::World;
use crate::{bind, peers};

/// So long what is known counts as new (ns of system time).
const FRESH_NS: u64 = 1_000_000_000;
/// How long a knowledge base that did not answer is left alone (ns of system time).
const PAUSE_NS: u64 = 5_000_000_000;

/// What is known, and what of it was used.
#[derive(Default)]
pub struct Placements {
    known: Placement,
    /// What it follows from; 0 = nothing is known.
    version: u64,
    /// The membership view when it was asked for.
    view: u64,
    /// It counts as new until then (ns of system time).
    fresh_until_ns: u64,
    asking: bool,
    /// It did not answer last time, which was said.
    silent: bool,
    /// The tree of the last unmap that more than a few had to hear of.
    last: Option<(u64, Tree)>,
}

/// The tree to those who share a table, from what is known now.
pub fn tree(world: &World, sharers: &[OsnodeId]) -> Tree {
    let fan = Fan::default();
    let mut s = world.state.borrow_mut();
    let view = s.members.machine.view();
    let p = &mut s.placements;
    let tree = p.known.tree(sharers, fan);
    // A few are told directly, wherever they are.
    if sharers.len() <= usize::from(fan.0) {
        return tree;
    }
    p.last = Some((p.version, tree.clone()));
    let stale = p.view != view || time::system_ns() >= p.fresh_until_ns;
    if stale && !p.asking {
        p.asking = true;
        drop(s);
        let world = world.clone();
        task::spawn(async move { refresh(&world).await });
    }
    tree
}

/// The tree that was used last, or one to everybody there is, by what the knowledge base says now; and its version.
pub async fn shown(world: &World, last: bool) -> Option<(u64, Tree)> {
    if last {
        return world.state.borrow().placements.last.clone();
    }
    world.state.borrow_mut().placements.asking = true;
    refresh(world).await;
    let s = world.state.borrow();
    let others = s.members.machine.known().values();
    let others = others.filter(|f| f.osnode.0 != world.osnode && f.status != Status::Gone);
    let others: Vec<OsnodeId> = others.map(|f| f.osnode).collect();
    let p = &s.placements;
    Some((p.version, p.known.tree(&others, Fan::default())))
}

/// Asks; what was known stays if there is no answer.
async fn refresh(world: &World) {
    let (view, known) = {
        let s = world.state.borrow();
        (s.members.machine.view(), s.placements.version)
    };
    let found = ask(world, world.osnode, known).await;
    let mut s = world.state.borrow_mut();
    let p = &mut s.placements;
    p.asking = false;
    let now = time::system_ns();
    match found {
        Ok((version, placement)) => {
            if let Some(placement) = placement {
                p.known = placement;
            }
            let first = core::mem::replace(&mut p.version, version) == 0;
            p.view = view;
            p.silent = false;
            p.fresh_until_ns = now.saturating_add(FRESH_NS);
            drop(s);
            if first {
                let osnode = world.osnode;
                rt::io::log(format_args!(
                    "monitor: o{osnode} sends unmaps along the knowledge base's tree\n"
                ));
            }
        }
        Err(e) => {
            let news = !core::mem::replace(&mut p.silent, true);
            p.view = view;
            p.fresh_until_ns = now.saturating_add(PAUSE_NS);
            drop(s);
            if news {
                rt::io::log(format_args!(
                    "monitor: trees without the knowledge base: {e}\n"
                ));
            }
        }
    }
}

/// Groups as seen from an OSnode, if their version is not the one that is known.
async fn ask(
    world: &World,
    osnode: u64,
    known: u64,
) -> Result<(u64, Option<Placement>), ServiceError> {
    if world.home == 0 {
        return ask_here(world, osnode, known).await.map_err(refusal);
    }
    let home = peers::monitor(world, world.home).await?;
    let said = home.placement(osnode, known).await.map_err(peers::unsaid)?;
    let version = said.version;
    let (words, _) = said.words.as_chunks();
    let words: Vec<u64> = words.iter().map(|w| u64::from_le_bytes(*w)).collect();
    let news = (version != known).then(|| Placement::from_words(OsnodeId(osnode), &words));
    Ok((version, news))
}

async fn ask_here(
    world: &World,
    osnode: u64,
    known: u64,
) -> Result<(u64, Option<Placement>), CallError> {
    let name = Name::truncated(rt::skb::NAME);
    let client = bind::service(world, name).await;
    let client = client.map_err(|e| CallError::Refused(e.into()))?;
    let base = Knowledge::over(client.0);
    let version = base.version(Topic::Tree).await?;
    if version == known {
        return Ok((version, None));
    }
    let edges = base.tree(Subject::Osnode, osnode).await?;
    let way = |e: Edge| Way {
        from: OsnodeId(e.parent),
        to: OsnodeId(e.child),
        within: e.within,
    };
    let ways = edges.into_iter().map(way);
    Ok((version, Some(Placement::from_ways(OsnodeId(osnode), ways))))
}

fn refusal(why: CallError) -> ServiceError {
    peers::refusal(why.into())
}

/// Another monitor asks.
///
/// # Errors
/// The knowledge base does not answer.
pub async fn answer(
    world: &World,
    osnode: u64,
    known: u64,
) -> Result<iface::Placement, ServiceError> {
    let (version, placement) = ask(world, osnode, known).await?;
    let words = placement.iter().flat_map(Placement::to_words);
    let words = words.flat_map(u64::to_le_bytes).collect();
    Ok(iface::Placement { version, words })
}
