//! What capabilities to one pool of memory must do when several processes use them: a model that does one thing
//! after the other.
//!
//! [`Pool::choose`] picks steps at random, [`Pool::apply`] says what a step must bring, and [`Pool::judge`] whether
//! what several processes got for steps at the same time is what some order of them brings.

mod choose;
mod judge;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};

use abi::SysError;

pub use choose::Choice;
pub use judge::{Seen, Verdict, is_for_now};

/// Number of a process.
pub type Who = usize;
/// Number of a capability: never used twice in a run.
pub type Number = u32;

/// What a capability names: pages of memory, as `Ram` or as a `Frame`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Object {
    /// Whether it is a `Ram`.
    pub ram: bool,
    /// Number of the first page.
    pub base: u64,
    /// How many.
    pub pages: u64,
}

impl Object {
    /// The page after the last one.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.base + self.pages
    }
    /// Whether they have a page in common.
    #[must_use]
    pub const fn overlaps(&self, other: &Object) -> bool {
        self.base < other.end() && other.base < self.end()
    }
    const fn inside(&self, other: &Object) -> bool {
        other.base <= self.base && self.end() <= other.end()
    }
    /// Whether it is, or could have been, made from that.
    #[must_use]
    pub const fn descends(&self, from: &Object) -> bool {
        let smaller = self.ram != from.ram || self.pages != from.pages;
        self.inside(from) && (from.ram || !self.ram) && smaller
    }
}

/// Something that a process does: with the capability `from`, and `to` is the number of the one that comes of it, at
/// `peer` if there is one. Pages (`first`, `page`) count from the beginning of the object.
#[expect(missing_docs, reason = "said once, above")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// So many pages of Ram from the memory service.
    Alloc { to: Number, pages: u64 },
    /// A copy for oneself.
    Copy { from: Number, to: Number },
    /// A copy for another process.
    Send { from: Number, peer: Who, to: Number },
    /// The capability itself for another process.
    Give { from: Number, peer: Who, to: Number },
    /// Pages of it become an object of their own.
    Retype {
        from: Number,
        to: Number,
        ram: bool,
        first: u64,
        pages: u64,
    },
    /// It goes.
    Delete { from: Number },
    /// All of it goes but this capability.
    Revoke { from: Number },
    /// It is mapped.
    Map { from: Number },
    /// It is not mapped any more.
    Unmap { from: Number },
    /// A word for this process in a page of what is mapped.
    Write { from: Number, page: u64, value: u64 },
    /// The words of all processes in such a page.
    Read { from: Number, page: u64 },
}

/// Processes that have a word in each page.
pub const WORDS: usize = 3;

/// What a step brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was done: the words read, or the first page of what was allocated.
    Done([u64; WORDS]),
    /// It was not, and had no effect.
    Refused(SysError),
}

/// Who holds what, what is mapped, and what stands in it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Pool {
    caps: BTreeMap<(Who, Number), Object>,
    maps: BTreeMap<(Who, Number), Object>,
    words: BTreeMap<(u64, Who), u64>,
}

/// What is seen of it: capabilities, and mappings by the number of what they were made from.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Holdings {
    /// Capabilities.
    pub caps: BTreeMap<(Who, Number), Object>,
    /// Mappings.
    pub maps: BTreeSet<(Who, Number)>,
}

impl Pool {
    /// What must be seen of it.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        Holdings {
            caps: self.caps.clone(),
            maps: self.maps.keys().copied().collect(),
        }
    }

    /// Whether nobody has anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.caps.is_empty() && self.maps.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &Object> {
        self.caps.values().chain(self.maps.values())
    }

    /// What a process gets for a step, done alone; `seen`: what it got, for what the model cannot know.
    pub fn apply(&mut self, who: Who, step: &Step, seen: &Outcome) -> Outcome {
        match self.act(who, step, seen) {
            Ok(words) => Outcome::Done(words),
            Err(why) => Outcome::Refused(why),
        }
    }

    fn act(&mut self, who: Who, step: &Step, seen: &Outcome) -> Result<[u64; WORDS], SysError> {
        let none = [0; WORDS];
        match *step {
            Step::Alloc { to, pages } => return self.alloc((who, to), pages, seen),
            Step::Copy { from, to } => {
                let object = self.cap(who, from)?;
                self.caps.insert((who, to), object);
            }
            Step::Send { from, peer, to } => {
                let object = self.cap(who, from)?;
                self.caps.insert((peer, to), object);
            }
            Step::Give { from, peer, to } => {
                let object = self.cap(who, from)?;
                self.caps.remove(&(who, from));
                self.caps.insert((peer, to), object);
            }
            Step::Retype {
                from,
                to,
                ram,
                first,
                pages,
            } => {
                let made = self.retype(self.cap(who, from)?, ram, first, pages)?;
                self.caps.insert((who, to), made);
            }
            Step::Delete { from } => {
                self.cap(who, from)?;
                self.caps.remove(&(who, from));
            }
            Step::Revoke { from } => {
                let object = self.cap(who, from)?;
                self.caps
                    .retain(|at, c| *at == (who, from) || !(*c == object || c.descends(&object)));
                self.maps.retain(|_, m| !is_mapping_of(m, &object));
            }
            Step::Map { from } => match self.cap(who, from)? {
                Object { ram: true, .. } => return Err(SysError::WrongType),
                frame => {
                    self.maps.insert((who, from), frame);
                }
            },
            Step::Unmap { from } => {
                let gone = self.maps.remove(&(who, from));
                gone.ok_or(SysError::NotMapped)?;
            }
            Step::Write { from, page, value } => {
                let frame = self.maps.get(&(who, from)).ok_or(SysError::NotMapped)?;
                self.words.insert((frame.base + page, who), value);
            }
            Step::Read { from, page } => {
                let frame = self.maps.get(&(who, from)).ok_or(SysError::NotMapped)?;
                let word = |w| self.words.get(&(frame.base + page, w)).copied();
                return Ok(core::array::from_fn(|w| word(w).unwrap_or(0)));
            }
        }
        Ok(none)
    }

    /// Whether a step makes the very object that it makes it of: a copy, if nobody else has to be asked.
    fn is_copying_retype(&self, who: Who, step: &Step) -> bool {
        let Step::Retype {
            from, ram, pages, ..
        } = *step
        else {
            return false;
        };
        let source = self.caps.get(&(who, from));
        source.is_some_and(|o| o.ram == ram && o.pages == pages)
    }

    fn cap(&self, who: Who, number: Number) -> Result<Object, SysError> {
        let cap = self.caps.get(&(who, number)).copied();
        cap.ok_or(SysError::NoCapability)
    }

    /// What is allocated is nobody's.
    fn alloc(
        &mut self,
        at: (Who, Number),
        pages: u64,
        seen: &Outcome,
    ) -> Result<[u64; WORDS], SysError> {
        let Outcome::Done([base, ..]) = *seen else {
            return Err(SysError::BadObject);
        };
        let ram = true;
        let new = Object { ram, base, pages };
        if self.all().any(|o| o.overlaps(&new)) {
            return Err(SysError::Overlaps);
        }
        self.caps.insert(at, new);
        let mut words = [0; WORDS];
        words[0] = base;
        Ok(words)
    }

    fn retype(
        &mut self,
        from: Object,
        ram: bool,
        first: u64,
        pages: u64,
    ) -> Result<Object, SysError> {
        if ram && !from.ram {
            return Err(SysError::BadRetype);
        }
        if pages == 0 || first + pages > from.pages {
            return Err(SysError::BadArgument);
        }
        let base = from.base + first;
        let made = Object { ram, base, pages };
        let in_the_way = |o: &&Object| o.overlaps(&made) && o.descends(&from);
        let mapped = |m: &&Object| m.overlaps(&made) && is_mapping_of(m, &from);
        if self.caps.values().any(|o| in_the_way(&o)) || self.maps.values().any(|m| mapped(&m)) {
            return Err(SysError::Overlaps);
        }
        if from.ram && !ram {
            self.words.retain(|(page, _), _| {
                let inside = made.base <= *page && *page < made.end();
                !inside
            });
        }
        Ok(made)
    }
}

/// Whether the mapping of frame `m` goes with `object`.
fn is_mapping_of(m: &Object, object: &Object) -> bool {
    m == object || m.descends(object)
}
