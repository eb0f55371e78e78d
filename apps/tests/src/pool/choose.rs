//! Steps at random, so that those of several processes meet.

use alloc::vec::Vec;

use super::{Number, Object, Pool, Step, Who};
use crate::Random;

/// Pages of what is allocated at most, as a power of two.
const LARGEST: u64 = 5;
/// Capabilities of a process from which on it rather gets rid of some.
const MANY: usize = 12;
/// A number that nothing ever has.
const NOTHING: Number = u32::MAX;

/// What holds for all steps of a round.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// Nothing is revoked; memory is used.
    pub calm: bool,
    /// Pages that the steps are about if they can.
    pub about: Option<Object>,
}

/// One of these.
fn pick<T: Copy>(random: &mut Random, from: &[T]) -> Option<T> {
    from.get(random.below(from.len() as u64) as usize).copied()
}

impl Pool {
    /// What the next round is about.
    pub fn choice(&self, random: &mut Random) -> Choice {
        let objects: Vec<Object> = self.caps.values().copied().collect();
        Choice {
            calm: random.below(2) == 0,
            about: pick(random, &objects),
        }
    }

    /// The next step of a process, and the numbers used so far; `peers`: the processes that it may give something.
    pub fn choose(
        &self,
        random: &mut Random,
        who: Who,
        peers: &[Who],
        choice: &Choice,
        used: &mut Number,
    ) -> Step {
        let near = |o: &Object| choice.about.is_none_or(|about| about.overlaps(o));
        let mine = |all: bool| -> Vec<(Number, Object)> {
            let own = self.caps.range((who, 0)..=(who, NOTHING));
            let own = own.filter(|(_, o)| all || near(o));
            own.map(|((_, n), o)| (*n, *o)).collect()
        };
        let close = mine(false);
        let held = match close.is_empty() || random.below(4) == 0 {
            true => mine(true),
            false => close,
        };
        *used += 1;
        let to = *used;
        let Some((from, object)) = pick(random, &held) else {
            return alloc(random, to);
        };
        let from = if random.below(40) == 0 { NOTHING } else { from };
        let many = mine(true).len() > MANY;
        let peer = pick(random, peers);
        match (random.below(24), peer) {
            (0, _) if !many => alloc(random, to),
            (1..=3, _) if !many => Step::Copy { from, to },
            (4..=6, Some(peer)) => Step::Send { from, peer, to },
            (7..=8, Some(peer)) => Step::Give { from, peer, to },
            (9..=12, _) if !many => retype(random, from, to, &object),
            (13..=15, _) if !choice.calm => Step::Revoke { from },
            (13..=20, _) if choice.calm => self.memory(random, who, from),
            (16..=19, _) => self.mapping(random, who, from),
            _ => Step::Delete { from },
        }
    }

    /// Maps a Frame, or not any more; sometimes what is none.
    fn mapping(&self, random: &mut Random, who: Who, from: Number) -> Step {
        let own = self.caps.range((who, 0)..=(who, NOTHING));
        let frames: Vec<Number> = own.filter(|(_, o)| !o.ram).map(|((_, n), _)| *n).collect();
        let from = match random.below(10) {
            0 => from,
            _ => pick(random, &frames).unwrap_or(from),
        };
        match self.maps.contains_key(&(who, from)) {
            true => Step::Unmap { from },
            false => Step::Map { from },
        }
    }

    /// Uses something that is mapped, and sometimes unmaps it.
    fn memory(&self, random: &mut Random, who: Who, from: Number) -> Step {
        let own = self.maps.range((who, 0)..=(who, NOTHING));
        let mapped: Vec<(Number, u64)> = own.map(|((_, n), o)| (*n, o.pages)).collect();
        let Some((from, pages)) = pick(random, &mapped) else {
            return self.mapping(random, who, from);
        };
        let page = random.below(pages);
        match random.below(8) {
            0 => Step::Unmap { from },
            1..=3 => Step::Read { from, page },
            _ => Step::Write {
                from,
                page,
                value: 1 + random.below(1 << 40),
            },
        }
    }
}

fn alloc(random: &mut Random, to: Number) -> Step {
    let pages = 1 << random.below(LARGEST + 1);
    Step::Alloc { to, pages }
}

/// Of a few pages, or of all, or of more than there are, or of what it cannot be.
fn retype(random: &mut Random, from: Number, to: Number, object: &Object) -> Step {
    let (first, pages) = match random.below(8) {
        0 => (0, object.pages),
        1 => (random.below(object.pages), object.pages),
        _ => {
            let first = random.below(object.pages);
            let most = (object.pages - first).min(6);
            (first, 1 + random.below(most))
        }
    };
    let ram = match object.ram {
        true => random.below(2) == 0,
        false => random.below(10) == 0,
    };
    Step::Retype {
        from,
        to,
        ram,
        first,
        pages,
    }
}
