//! Capability operations against an obvious model.
//!
//! The model knows one RAM region (slot 0, never touched otherwise) and what was
//! made from it: pieces of RAM and Frames. A thing is the same thing in all its
//! slots (copies); things made by retype stand below the thing they were made of.

use alloc::vec::Vec;
use core::fmt;

use crate::Random;

/// Bytes of the smallest piece.
pub const UNIT: u64 = 4096;

/// What a slot holds, as `Identify` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapView {
    /// It is a Frame, not RAM.
    pub frame: bool,
    /// First byte, relative to the region in slot 0.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
    /// Rights bits.
    pub rights: u8,
}

/// An operation to carry out on slots `0..slots` of the harness.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CapOp {
    /// Copy `from` to `to` with at most these rights.
    Mint {
        /// Source slot.
        from: usize,
        /// Destination slot.
        to: usize,
        /// Rights that the copy may have.
        rights: u8,
    },
    /// Move `from` to `to`.
    Move {
        /// Source slot.
        from: usize,
        /// Destination slot.
        to: usize,
    },
    /// Make one object of `bytes` from `from` at `offset` in it.
    Retype {
        /// Source slot.
        from: usize,
        /// Destination slot.
        to: usize,
        /// A Frame, not RAM.
        frame: bool,
        /// Offset in the source.
        offset: u64,
        /// Bytes of the object.
        bytes: u64,
    },
    /// Delete the slot.
    Delete {
        /// Slot.
        at: usize,
    },
    /// Revoke the slot.
    Revoke {
        /// Slot.
        at: usize,
    },
}

/// Whether an operation was done or refused.
pub type Done = bool;

/// Model and kernel disagree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mismatch {
    /// The operation, whether the model allows it, whether the kernel did it.
    Outcome(CapOp, Done, Done),
    /// The slot, what the model has there, what the kernel has there.
    Slot(usize, Option<CapView>, Option<CapView>),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outcome(op, want, got) => {
                let word = |done: &Done| if *done { "done" } else { "refused" };
                write!(f, "{op:?} was {}, not {}", word(got), word(want))
            }
            Self::Slot(i, want, got) => write!(f, "slot {i} holds {got:?}, not {want:?}"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    thing: u32,
    rights: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Thing {
    id: u32,
    frame: bool,
    offset: u64,
    bytes: u64,
    parent: u32,
}

/// The model: what stands in each slot.
#[derive(Clone, Debug)]
pub struct CapModel {
    slots: Vec<Option<Entry>>,
    things: Vec<Thing>,
    next: u32,
    operations: u64,
}

const ALL_RIGHTS: u8 = 15;
const WRITE: u8 = 2;

impl CapModel {
    /// `slots` slots, the first of which holds RAM of `bytes` bytes with all rights.
    #[must_use]
    pub fn new(slots: usize, bytes: u64) -> CapModel {
        let mut s = alloc::vec![None; slots.max(1)];
        s[0] = Some(Entry {
            thing: 0,
            rights: ALL_RIGHTS,
        });
        let root = Thing {
            id: 0,
            frame: false,
            offset: 0,
            bytes,
            parent: 0,
        };
        CapModel {
            slots: s,
            things: alloc::vec![root],
            next: 1,
            operations: 0,
        }
    }

    /// Operations applied so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.operations
    }
    /// Number of slots.
    #[must_use]
    pub fn slot_count(&self) -> usize {
        self.slots.len()
    }

    fn thing(&self, id: u32) -> Option<&Thing> {
        self.things.iter().find(|t| t.id == id)
    }

    /// What the model has in a slot.
    #[must_use]
    pub fn view(&self, slot: usize) -> Option<CapView> {
        let e = (*self.slots.get(slot)?)?;
        let t = self.thing(e.thing)?;
        Some(CapView {
            frame: t.frame,
            offset: t.offset,
            bytes: t.bytes,
            rights: e.rights,
        })
    }

    /// A random operation, mostly one that is allowed.
    pub fn choose(&self, random: &mut Random) -> CapOp {
        let n = self.slots.len() as u64;
        let used: Vec<usize> = (0..self.slots.len())
            .filter(|i| self.slots[*i].is_some())
            .collect();
        let empty: Vec<usize> = (1..self.slots.len())
            .filter(|i| self.slots[*i].is_none())
            .collect();
        let pick = |random: &mut Random, of: &[usize]| {
            let any = random.below(n) as usize;
            if random.below(16) == 0 {
                return any;
            }
            let i = random.below(of.len() as u64) as usize;
            of.get(i).copied().unwrap_or(any)
        };
        let from = pick(random, &used);
        let to = pick(random, &empty).max(1);
        match random.below(16) {
            0..=4 => CapOp::Mint {
                from,
                to,
                rights: random.below(16) as u8,
            },
            5..=6 => CapOp::Move {
                from: from.max(1),
                to,
            },
            7..=11 => self.choose_retype(from, to, random),
            12..=14 => CapOp::Delete { at: from.max(1) },
            _ => CapOp::Revoke { at: from },
        }
    }

    /// A retype, never of the whole source to its own kind: that would be a copy.
    fn choose_retype(&self, from: usize, to: usize, random: &mut Random) -> CapOp {
        let v = self.view(from);
        let bytes = v.map_or(UNIT, |v| v.bytes);
        let piece = UNIT << random.below(3);
        let is_copy = |frame| v.is_some_and(|v| v.frame == frame && piece >= v.bytes);
        let frame = random.below(2) == 0;
        if is_copy(frame) {
            return CapOp::Revoke { at: from };
        }
        CapOp::Retype {
            from,
            to,
            frame,
            offset: random.below(bytes / piece + 1) * piece,
            bytes: piece,
        }
    }

    /// Applies an operation to the model; whether it is allowed.
    pub fn apply(&mut self, op: CapOp) -> Done {
        self.operations += 1;
        match op {
            CapOp::Mint { from, to, rights } => self.mint(from, to, rights),
            CapOp::Move { from, to } => {
                let moved = self.slots[from].is_some() && self.slots[to].is_none();
                if moved {
                    self.slots[to] = self.slots[from].take();
                }
                moved
            }
            CapOp::Retype {
                from,
                to,
                frame,
                offset,
                bytes,
            } => self.retype(from, to, frame, offset, bytes),
            CapOp::Delete { at } => self.slots[at].take().is_some(),
            CapOp::Revoke { at } => self.revoke(at),
        }
    }

    fn mint(&mut self, from: usize, to: usize, rights: u8) -> Done {
        let (Some(e), None) = (self.slots[from], self.slots[to]) else {
            return false;
        };
        self.slots[to] = Some(Entry {
            thing: e.thing,
            rights: e.rights & rights,
        });
        true
    }

    fn is_live(&self, id: u32) -> bool {
        self.slots.iter().flatten().any(|e| e.thing == id)
    }

    fn is_below(&self, id: u32, above: u32) -> bool {
        let mut at = id;
        while let Some(t) = self.thing(at) {
            if t.id == 0 {
                return false;
            }
            if t.parent == above {
                return true;
            }
            at = t.parent;
        }
        false
    }

    fn retype(&mut self, from: usize, to: usize, frame: bool, offset: u64, bytes: u64) -> Done {
        let (Some(e), None) = (self.slots[from], self.slots[to]) else {
            return false;
        };
        let Some(source) = self.thing(e.thing).copied() else {
            return false;
        };
        let end = offset + bytes;
        let same = source.frame == frame;
        if source.frame && !frame || end > source.bytes || bytes == 0 {
            return false;
        }
        if !same && e.rights & WRITE == 0 {
            return false;
        }
        let first = source.offset + offset;
        let taken = |t: &Thing| {
            self.is_live(t.id)
                && self.is_below(t.id, source.id)
                && t.offset < first + bytes
                && first < t.offset + t.bytes
        };
        if self.things.iter().any(taken) {
            return false;
        }
        let id = self.next;
        self.next += 1;
        self.things.push(Thing {
            id,
            frame,
            offset: first,
            bytes,
            parent: source.id,
        });
        // A part of the same kind keeps its source's rights; a new kind has all.
        let rights = if same { e.rights } else { ALL_RIGHTS };
        self.slots[to] = Some(Entry { thing: id, rights });
        true
    }

    fn revoke(&mut self, at: usize) -> Done {
        // Only who has every right revokes.
        let Some(e) = self.slots[at].filter(|e| e.rights == ALL_RIGHTS) else {
            return false;
        };
        for i in 0..self.slots.len() {
            let Some(other) = self.slots[i] else { continue };
            let copy = i != at && other.thing == e.thing;
            if copy || self.is_below(other.thing, e.thing) {
                self.slots[i] = None;
            }
        }
        self.forget();
        true
    }

    /// Drops things without slots that nothing stands below any more.
    fn forget(&mut self) {
        let keep: Vec<u32> = self
            .things
            .iter()
            .filter(|t| {
                let live_below = |o: &Thing| self.is_live(o.id) && self.is_below(o.id, t.id);
                t.id == 0 || self.is_live(t.id) || self.things.iter().any(live_below)
            })
            .map(|t| t.id)
            .collect();
        self.things.retain(|t| keep.contains(&t.id));
    }

    /// Compares an outcome.
    ///
    /// # Errors
    /// [`Mismatch::Outcome`].
    pub fn compare(op: CapOp, allowed: Done, done: Done) -> Result<(), Mismatch> {
        if allowed == done {
            Ok(())
        } else {
            Err(Mismatch::Outcome(op, allowed, done))
        }
    }

    /// Compares a slot with what the kernel shows there.
    ///
    /// # Errors
    /// [`Mismatch::Slot`].
    pub fn compare_slot(&self, slot: usize, seen: Option<CapView>) -> Result<(), Mismatch> {
        let want = self.view(slot);
        if want == seen {
            Ok(())
        } else {
            Err(Mismatch::Slot(slot, want, seen))
        }
    }
}
