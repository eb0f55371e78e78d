//! A model checker: every state that a system can reach, breadth first.
//!
//! States are told apart by 128 bits of hash, kept with the event that led there; the
//! states themselves live only at the frontier. A violation is reported with a shortest
//! run that leads to it. A run that never ends (a cycle of events that must happen) is
//! a violation, too.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What is explored.
pub trait System {
    /// A state.
    type State: Clone + Hash;
    /// What can happen in one.
    type Event: fmt::Display;

    /// The first state.
    fn initial(&self) -> Self::State;
    /// What can happen. An empty list is the end of a run.
    fn events(&self, state: &Self::State) -> Vec<Self::Event>;
    /// What follows.
    ///
    /// # Errors
    /// Something forbidden happened on the way, or is true afterwards.
    fn next(&self, state: &Self::State, event: &Self::Event) -> Result<Self::State, String>;
    /// Looks at a state in which nothing has to happen any more, if this is one.
    ///
    /// # Errors
    /// Work is left, or something is wrong with what is left.
    fn at_rest(&self, state: &Self::State) -> Result<(), String>;
}

/// What an exploration covered.
#[derive(Clone, Copy, Default, Debug)]
pub struct Covered {
    /// Distinct states.
    pub states: u64,
    /// Transitions between them.
    pub transitions: u64,
    /// Events in the longest shortest run.
    pub depth: u64,
    /// More states are left, which were not looked at.
    pub bounded: bool,
}

impl Covered {
    /// Adds another exploration.
    pub fn add(&mut self, other: Covered) {
        self.states += other.states;
        self.transitions += other.transitions;
        self.depth = self.depth.max(other.depth);
        self.bounded |= other.bounded;
    }
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (states, transitions, depth) = (self.states, self.transitions, self.depth);
        write!(
            f,
            "{states} states, {transitions} transitions, depth {depth}{}",
            if self.bounded { " (bounded)" } else { "" }
        )
    }
}

/// A run that ends badly.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// What is wrong.
    pub what: String,
    /// The events that lead there.
    pub trace: Vec<String>,
    /// States looked at until then.
    pub states: u64,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (after {} states):", self.what, self.states)?;
        for (i, event) in self.trace.iter().enumerate() {
            writeln!(f, "  {:2}. {event}", i + 1)?;
        }
        Ok(())
    }
}

/// Two multiplicative hashes side by side.
#[derive(Clone, Copy)]
struct Wide(u64, u64);

impl Hasher for Wide {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.1 = (self.1 ^ n).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.1 ^= self.1 >> 29;
    }
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
    fn write_isize(&mut self, n: isize) {
        self.write_u64(n as u64);
    }
}

/// 128 bits that stand for a value.
#[must_use]
pub fn digest(value: &impl Hash) -> u128 {
    let mut wide = Wide(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);
    value.hash(&mut wide);
    let mix = |x: u64| {
        let x = (x ^ x >> 32).wrapping_mul(0xe703_7ed1_a0b4_28db);
        x ^ x >> 29
    };
    u128::from(mix(wide.0)) << 64 | u128::from(mix(wide.1))
}

/// Digests need no further hashing.
#[derive(Clone, Copy, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u128(&mut self, n: u128) {
        self.0 = n as u64;
    }
}

/// How each state was reached: from which, by which of its events.
struct Seen {
    index: HashMap<u128, u32, BuildHasherDefault<AsIs>>,
    origin: Vec<(u32, u16)>,
}

/// Explores everything, up to `limit` states.
///
/// # Errors
/// The first violation found; reaching the limit is one.
pub fn explore<S: System>(system: &S, limit: usize) -> Result<Covered, Counterexample> {
    let covered = explore_some(system, limit)?;
    if covered.bounded {
        let what = format!("more than {limit} states");
        let (trace, states) = (Vec::new(), covered.states);
        return Err(Counterexample {
            what,
            trace,
            states,
        });
    }
    Ok(covered)
}

/// Explores the first `limit` states, those first to which the shortest runs lead; the same ones every time.
///
/// # Errors
/// The first violation found.
pub fn explore_some<S: System>(system: &S, limit: usize) -> Result<Covered, Counterexample> {
    let first = system.initial();
    let mut seen = Seen {
        index: HashMap::default(),
        origin: vec![(0, 0)],
    };
    seen.index.insert(digest(&first), 0);
    let mut edges: Vec<(u32, u32)> = Vec::new();
    let mut covered = Covered::default();
    let mut frontier = VecDeque::from([(first, 0_u32, 0_u64)]);
    while let Some((state, at, depth)) = frontier.pop_front() {
        covered.depth = depth;
        if let Err(what) = system.at_rest(&state) {
            return Err(counterexample(system, &seen, at, None, what));
        }
        for (k, event) in system.events(&state).iter().enumerate() {
            let next = match system.next(&state, event) {
                Ok(next) => next,
                Err(what) => return Err(counterexample(system, &seen, at, Some(k), what)),
            };
            let new = seen.origin.len() as u32;
            let to = *seen.index.entry(digest(&next)).or_insert(new);
            edges.push((at, to));
            if to == new {
                seen.origin.push((at, k as u16));
                frontier.push_back((next, new, depth + 1));
            }
        }
        if seen.origin.len() > limit {
            covered.bounded = true;
            break;
        }
    }
    if let Some(at) = on_a_cycle(seen.origin.len(), &edges) {
        let what = "a run that never ends passes here".into();
        return Err(counterexample(system, &seen, at, None, what));
    }
    covered.states = seen.origin.len() as u64;
    covered.transitions = edges.len() as u64;
    Ok(covered)
}

/// A state from which a cycle can be reached that leads to it, if there is one.
fn on_a_cycle(states: usize, edges: &[(u32, u32)]) -> Option<u32> {
    // Whoever has no way in is on no cycle; without it, others have none.
    let mut ways_in = vec![0_u32; states];
    let mut first_out = vec![0_u32; states + 1];
    for (from, to) in edges {
        ways_in[*to as usize] += 1;
        first_out[*from as usize + 1] += 1;
    }
    for i in 0..states {
        first_out[i + 1] += first_out[i];
    }
    // The edges are sorted by their origin: states are expanded in order.
    let mut free: Vec<u32> = (0..states as u32)
        .filter(|s| ways_in[*s as usize] == 0)
        .collect();
    while let Some(s) = free.pop() {
        let out = first_out[s as usize] as usize..first_out[s as usize + 1] as usize;
        for (_, to) in &edges[out] {
            ways_in[*to as usize] -= 1;
            if ways_in[*to as usize] == 0 {
                free.push(*to);
            }
        }
    }
    (0..states as u32).find(|s| ways_in[*s as usize] != 0)
}

/// The run to state `at` and, if `last` is given, one of its events.
fn counterexample<S: System>(
    system: &S,
    seen: &Seen,
    at: u32,
    last: Option<usize>,
    what: String,
) -> Counterexample {
    let mut choices = Vec::new();
    let mut s = at;
    while s != 0 {
        let (from, k) = seen.origin[s as usize];
        choices.push(k as usize);
        s = from;
    }
    choices.reverse();
    choices.extend(last);
    let mut state = system.initial();
    let mut trace = Vec::new();
    for k in choices {
        let event = system.events(&state).swap_remove(k);
        trace.push(event.to_string());
        match system.next(&state, &event) {
            Ok(next) => state = next,
            Err(_) => break,
        }
    }
    Counterexample {
        what,
        trace,
        states: seen.origin.len() as u64,
    }
}
