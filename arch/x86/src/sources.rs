//! Which interrupt sources a core serves, and what to do when one fires or may fire again.
//!
//! A source that fired is closed until it is acknowledged. For a level source that is the
//! IO-APIC's mask, or the line would fire again at once. An edge that comes while the IO-APIC masks
//! is lost (82093AA, 3.2.4), so an edge source is programmed once and closed in memory: an edge
//! that comes meanwhile is remembered, and repeated when the source is opened.

use crate::apic::{IRQ_SOURCES, Redirection};

/// A bit for each source.
type Set = [u64; IRQ_SOURCES.div_ceil(64) as usize];

/// Word and bit of `source`.
const fn place(source: u64) -> (usize, u64) {
    ((source / 64) as usize, 1 << (source % 64))
}

fn has(set: &Set, source: u64) -> bool {
    let (word, bit) = place(source);
    set[word] & bit != 0
}

/// Adds `source`; whether it was there.
fn add(set: &mut Set, source: u64) -> bool {
    let was = has(set, source);
    let (word, bit) = place(source);
    set[word] |= bit;
    was
}

/// Takes `source` out; whether it was there.
fn remove(set: &mut Set, source: u64) -> bool {
    let was = has(set, source);
    let (word, bit) = place(source);
    set[word] &= !bit;
    was
}

/// The sources of one core. All take a source below [`IRQ_SOURCES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sources {
    routed: Set,
    open: Set,
    missed: Set,
}

impl Sources {
    /// Whether the IO-APIC's entry must be written before `source` is opened. For an edge source
    /// that is routed here it must not: it is masked while it is written.
    #[must_use]
    pub fn is_to_be_routed(&self, source: u64) -> bool {
        Redirection::is_level(source) || !has(&self.routed, source)
    }

    /// `source` is routed here and may fire; whether it is to be repeated: it fired while it was
    /// closed, or may have fired before it was routed here.
    #[must_use]
    pub fn open(&mut self, source: u64) -> bool {
        let was_routed = add(&mut self.routed, source);
        add(&mut self.open, source);
        let missed = remove(&mut self.missed, source);
        !Redirection::is_level(source) && (missed || !was_routed)
    }

    /// `source` may not fire.
    pub fn close(&mut self, source: u64) {
        remove(&mut self.open, source);
    }

    /// `source` fired, which closes it. Whether somebody is to be told; else it is remembered.
    #[must_use]
    pub fn fired(&mut self, source: u64) -> bool {
        let told = remove(&mut self.open, source) || Redirection::is_level(source);
        if !told {
            add(&mut self.missed, source);
        }
        told
    }

    /// All that are routed here, which none is any more.
    pub fn take_routed(&mut self) -> impl Iterator<Item = u64> + use<> {
        let routed = core::mem::take(&mut self.routed);
        (0..IRQ_SOURCES).filter(move |source| has(&routed, *source))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    const EDGE: u64 = 4;
    const LEVEL: u64 = 20;

    /// An edge source, its IO-APIC pin and local APIC, and a driver that looks at the device for
    /// each message, and acknowledges it.
    #[derive(Clone, Copy, Default)]
    struct Pin {
        sources: Sources,
        /// The IO-APIC lets edges through.
        programmed: bool,
        /// The local APIC has the vector.
        pending: bool,
        /// The driver has a message; it has looked at the device for it.
        told: bool,
        looked: bool,
        /// The device asked, and nobody has looked since.
        unserved: bool,
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Edge,
        Take,
        Look,
        /// Acknowledges; an edge comes at the worst moment if `true`.
        Acknowledge(bool),
    }

    impl Pin {
        fn edge(&mut self) {
            self.unserved = true;
            self.pending |= self.programmed;
        }
        fn open(&mut self, edge: bool) {
            if self.sources.is_to_be_routed(EDGE) {
                self.programmed = false;
            }
            if edge {
                self.edge();
            }
            self.programmed = true;
            self.pending |= self.sources.open(EDGE);
        }
        fn step(&mut self, step: Step) {
            match step {
                Step::Edge => self.edge(),
                Step::Take if self.pending => {
                    self.pending = false;
                    self.told |= self.sources.fired(EDGE);
                }
                Step::Look if self.told => (self.looked, self.unserved) = (true, false),
                Step::Acknowledge(edge) if self.looked => {
                    (self.told, self.looked) = (false, false);
                    self.open(edge);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn no_edge_is_lost_whenever_it_comes() {
        const STEPS: [Step; 5] = [
            Step::Edge,
            Step::Take,
            Step::Look,
            Step::Acknowledge(false),
            Step::Acknowledge(true),
        ];
        for bound_with_edge in [false, true] {
            let mut start = Pin::default();
            start.open(bound_with_edge);
            for number in 0..STEPS.len().pow(7) {
                let steps: Vec<_> = (0..7)
                    .map(|digit| STEPS[number / STEPS.len().pow(digit) % STEPS.len()])
                    .collect();
                let mut pin = start;
                steps.iter().for_each(|step| pin.step(*step));
                for _ in 0..3 {
                    pin.step(Step::Take);
                    pin.step(Step::Look);
                    pin.step(Step::Acknowledge(false));
                }
                assert!(!pin.unserved, "{bound_with_edge}, then {steps:?}");
                assert!(!pin.pending, "it comes to rest: {steps:?}");
            }
        }
    }

    #[test]
    fn a_level_source_is_written_each_time_and_never_repeated() {
        let mut s = Sources::default();
        assert!(s.is_to_be_routed(LEVEL));
        assert!(!s.open(LEVEL));
        assert!(s.fired(LEVEL) && s.fired(LEVEL));
        assert!(s.is_to_be_routed(LEVEL));
        assert!(!s.open(LEVEL));
    }

    #[test]
    fn what_is_closed_or_routed_elsewhere_is_remembered() {
        let mut s = Sources::default();
        assert!(s.open(EDGE), "what came before is not known");
        assert!(s.fired(EDGE));
        assert!(!s.open(EDGE));
        s.close(EDGE);
        assert!(!s.fired(EDGE));
        assert!(!s.is_to_be_routed(EDGE));
        assert!(s.open(EDGE));
        assert!(!s.open(LEVEL));
        assert_eq!(s.take_routed().collect::<Vec<_>>(), [EDGE, LEVEL]);
        assert_eq!(s.take_routed().count(), 0);
        assert!(s.is_to_be_routed(EDGE));
    }
}
