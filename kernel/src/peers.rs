//! The peer table: which OSnodes the owners' indices in the derivation tree mean.
//!
//! An index is taken when the first capability of an OSnode comes. When all are taken, a
//! long operation walks over the whole tree, notes which are still named, and frees the
//! others; the call that needed one is then made again.

use abi::SysError;
use capfmt::undo::Transaction;
use capfmt::{Kcb, LongOpKind, PhysMap, mdb};

use crate::entry::{Caller, Entry, Res, Stop, refuse};
use crate::longop::{self, Piece};
use crate::{Machine, Policy, family, share};

/// Places in the table.
pub(crate) const PEERS: u64 = 256;
/// Capabilities looked at in one piece.
const LOOK: u32 = 16;

/// Place of `osnode` in the table, or the first free one, which [`enter`] takes. If there is none, the search for
/// one is started, and the caller repeats its call.
pub(crate) fn place_for<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    osnode: u64,
) -> Res<u64> {
    let kcb = e.kcb();
    if osnode == kcb.osnode(e.m) {
        return Ok(0);
    }
    if osnode == 0 {
        return refuse(SysError::BadArgument);
    }
    // What is named from now on, the search for free places would not see.
    if kcb.op_kind(e.m) == LongOpKind::Peers as u64 {
        return Err(Stop::Busy);
    }
    let count = kcb.peer_count(e.m).clamp(1, PEERS);
    let place = |id: u64| (1..count).find(|&k| kcb.peer(e.m, k) == id);
    if let Some(peer) = place(osnode).or_else(|| place(0)) {
        return Ok(peer);
    }
    if count < PEERS {
        return Ok(count);
    }
    longop::start_peers(e, c)?;
    Err(Stop::Started)
}

/// Takes the place that [`place_for`] found.
pub(crate) fn enter<M: PhysMap>(t: &mut Transaction<'_, M>, kcb: Kcb, peer: u64, osnode: u64) {
    if peer == 0 || kcb.peer(t, peer) == osnode {
        return;
    }
    kcb.set_peer(t, peer, osnode);
    if peer >= kcb.peer_count(t) {
        kcb.set_peer_count(t, peer + 1);
    }
}

/// Notes the owners of the next capabilities; after the last, frees what nobody named.
pub(crate) fn piece<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) -> Piece {
    let kcb = e.kcb();
    let mut named: [u64; 4] = core::array::from_fn(|k| kcb.op_word(e.m, k as u64));
    let mut at = family::position(e.m, kcb);
    let mut ended = false;
    for _ in 0..LOOK {
        let Some(cte) = mdb::following(e.m, kcb, &at) else {
            ended = true;
            break;
        };
        let owner = share::owner(e.m, cte) % PEERS;
        named[owner as usize / 64] |= 1 << (owner % 64);
        at = mdb::Position::of(e.m, cte);
    }
    let mut t = e.begin();
    for (k, word) in (0..).zip(named) {
        if kcb.op_word(&t, k) != word {
            kcb.set_op_word(&mut t, k, word);
        }
    }
    family::set_position(&mut t, kcb, &at);
    let mut freed = false;
    if ended {
        for k in (1..PEERS).filter(|k| named[*k as usize / 64] >> (k % 64) & 1 == 0) {
            if kcb.peer(&t, k) != 0 {
                kcb.set_peer(&mut t, k, 0);
                freed = true;
            }
        }
    }
    t.commit();
    match (ended, freed) {
        (false, _) => Piece::More,
        (true, true) => Piece::Ended(Ok(())),
        // A kernel that died after it had freed them comes here, too: then there is a free one.
        (true, false) if (1..PEERS).any(|k| kcb.peer(e.m, k) == 0) => Piece::Ended(Ok(())),
        (true, false) => Piece::Ended(Err(SysError::TableFull)),
    }
}
