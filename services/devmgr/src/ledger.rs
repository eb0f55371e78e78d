//! What the device manager tells the knowledge base: what holds now, and what of it was told.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use skb::collect;
use skb::datalog::{Changes, Fact, Value};

/// Most bytes of a part: it goes in one message.
pub const PART_BYTES: usize = 6 << 10;

/// A part of a change, as `rt::skb` sends it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Part {
    /// Atoms, one on each line.
    pub withdrawn: String,
    /// Facts.
    pub asserted: String,
}

impl Part {
    fn bytes(&self) -> usize {
        self.withdrawn.len() + self.asserted.len() + 1
    }
}

/// The facts.
#[derive(Clone, Default, Debug)]
pub struct Ledger {
    holds: BTreeSet<Fact>,
    /// Numbers of arguments of everything that was ever told.
    names: BTreeMap<Rc<str>, usize>,
    /// What the knowledge base was told; `None`: it may hold anything.
    told: Option<BTreeSet<Fact>>,
}

impl Ledger {
    /// One without facts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Facts that hold from now on.
    pub fn add(&mut self, changes: Changes) {
        for fact in changes.asserted {
            self.hold(fact);
        }
    }

    /// A fact that holds from now on.
    pub fn assert(&mut self, name: &str, values: &[Value]) {
        let fact = Fact {
            name: name.into(),
            values: values.to_vec(),
        };
        self.hold(fact);
    }

    fn hold(&mut self, fact: Fact) {
        self.names.insert(fact.name.clone(), fact.values.len());
        self.holds.insert(fact);
    }

    /// These, and no others with this name, hold from now on.
    pub fn replace(&mut self, name: &str, rows: &[Vec<Value>]) {
        self.holds.retain(|f| &*f.name != name);
        for row in rows {
            self.assert(name, row);
        }
    }

    /// Nothing about this core holds any more.
    pub fn take_core_away(&mut self, core: u32) {
        self.holds.retain(|f| !collect::is_about(f, core));
    }

    /// The knowledge base was lost, or is another one: all is to be told anew.
    pub fn forget(&mut self) {
        self.told = None;
    }

    /// What the knowledge base lacks, in parts. It counts as told from now on: whoever sends it
    /// calls [`Ledger::forget`] if it does not arrive.
    #[must_use]
    pub fn tell(&mut self) -> Vec<Part> {
        let mut parts = Parts::default();
        match &self.told {
            Some(told) => {
                for fact in told.difference(&self.holds) {
                    parts.withdraw(&alloc::format!("{fact}"));
                }
                for fact in self.holds.difference(told) {
                    parts.assert(fact);
                }
            }
            None => {
                // Whatever an earlier device manager told about the same goes, too.
                for (name, arity) in &self.names {
                    let any = alloc::vec!["_"; *arity].join(", ");
                    parts.withdraw(&alloc::format!("{name}({any})"));
                }
                self.holds.iter().for_each(|f| parts.assert(f));
            }
        }
        self.told = Some(self.holds.clone());
        parts.finish()
    }
}

/// Parts in the making.
#[derive(Default)]
struct Parts {
    done: Vec<Part>,
    last: Part,
}

impl Parts {
    fn room_for(&mut self, text: &str) {
        if self.last.bytes() + text.len() + 2 > PART_BYTES {
            self.done.push(core::mem::take(&mut self.last));
        }
    }

    fn withdraw(&mut self, atom: &str) {
        self.room_for(atom);
        // Writing to a String never fails.
        let _ = writeln!(self.last.withdrawn, "{atom}");
    }

    fn assert(&mut self, fact: &Fact) {
        let text = alloc::format!("{fact}");
        self.room_for(&text);
        let _ = writeln!(self.last.asserted, "{text}.");
    }

    fn finish(mut self) -> Vec<Part> {
        if self.last != Part::default() {
            self.done.push(self.last);
        }
        self.done
    }
}
