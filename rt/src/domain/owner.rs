//! What only the first dispatcher can do: its OSnode owns the page tables that all share. The
//! others ask it, without heap and executor, because the heap itself asks for more memory so.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use abi::SysError;

use super::atomic::relax;
use super::place;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum What {
    /// More heap for a block of `a` bytes aligned to `b`.
    Grow = 1,
    /// `a` bytes of memory that all dispatchers see; the answer is their address.
    Map = 2,
    /// The memory at `a` is unmapped for all, and freed.
    Unmap = 3,
    /// The memory at `a` becomes read only (`b` = 0) or writable (1) for all.
    Protect = 4,
}

impl What {
    fn from_word(word: u64) -> Option<What> {
        [What::Grow, What::Map, What::Unmap, What::Protect]
            .into_iter()
            .find(|w| *w as u64 == word)
    }
}

/// Nothing is asked.
const IDLE: u32 = 0;
/// The words are there.
const ASKED: u32 = 1;
/// The answer is there.
const ANSWERED: u32 = 2;

/// One question at a time, of one dispatcher.
pub struct Ask {
    state: AtomicU32,
    /// What, `a`, `b`.
    words: [AtomicU64; 3],
    /// Error code or 0, and the result.
    answer: [AtomicU64; 2],
}

impl Ask {
    pub const fn new() -> Ask {
        Ask {
            state: AtomicU32::new(IDLE),
            words: [const { AtomicU64::new(0) }; 3],
            answer: [const { AtomicU64::new(0) }; 2],
        }
    }
}

/// Places whose dispatchers ask.
static ASKING: AtomicU64 = AtomicU64::new(0);
/// The first dispatcher answers already: what it does for that may spin and look again.
static SERVING: AtomicU32 = AtomicU32::new(0);

/// Has the first dispatcher do something, and waits for it.
///
/// # Errors
/// As the first dispatcher says.
pub fn ask(what: What, a: u64, b: u64) -> Result<u64, SysError> {
    if place::current() == 0 {
        return perform(what, a, b);
    }
    let ask = &place::own().ask;
    for (word, value) in ask.words.iter().zip([what as u64, a, b]) {
        word.store(value, Ordering::Relaxed);
    }
    ask.state.store(ASKED, Ordering::Release);
    ASKING.fetch_or(1 << place::current(), Ordering::AcqRel);
    place::ring(0);
    let mut turn = 0;
    while ask.state.load(Ordering::Acquire) != ANSWERED {
        relax(turn);
        turn = turn.wrapping_add(1);
    }
    ask.state.store(IDLE, Ordering::Relaxed);
    let [code, result] = [0, 1].map(|i: usize| ask.answer[i].load(Ordering::Relaxed));
    match code {
        0 => Ok(result),
        code => Err(SysError::from_code(code as u16).unwrap_or(SysError::BadCall)),
    }
}

/// The first dispatcher: runs `f`; nobody is answered meanwhile.
pub fn alone<R>(f: impl FnOnce() -> R) -> R {
    let before = SERVING.swap(1, Ordering::Relaxed);
    let result = f();
    SERVING.store(before, Ordering::Relaxed);
    result
}

/// The first dispatcher: answers all who ask.
pub fn serve() {
    answer_all(|_| true);
}

/// The first dispatcher, which spins: answers those who want heap. One of them may hold what it
/// spins for.
pub fn serve_heap() {
    answer_all(|what| what == What::Grow as u64);
}

fn answer_all(now: fn(u64) -> bool) {
    if ASKING.load(Ordering::Acquire) == 0 || SERVING.load(Ordering::Relaxed) != 0 {
        return;
    }
    let asking = ASKING.swap(0, Ordering::AcqRel);
    alone(|| {
        for index in (0..place::PLACES).filter(|i| asking >> i & 1 != 0) {
            let ask = &place::at(index).ask;
            if now(ask.words[0].load(Ordering::Relaxed)) {
                answer(ask);
            } else {
                ASKING.fetch_or(1 << index, Ordering::AcqRel);
            }
        }
    });
}

fn answer(ask: &Ask) {
    if ask.state.load(Ordering::Acquire) != ASKED {
        return;
    }
    let [what, a, b] = [0, 1, 2].map(|i: usize| ask.words[i].load(Ordering::Relaxed));
    let done = match What::from_word(what) {
        Some(what) => perform(what, a, b),
        None => Err(SysError::BadArgument),
    };
    let (code, result) = match done {
        Ok(result) => (0, result),
        Err(e) => (e as u64, 0),
    };
    ask.answer[0].store(code, Ordering::Relaxed);
    ask.answer[1].store(result, Ordering::Relaxed);
    ask.state.store(ANSWERED, Ordering::Release);
}

fn perform(what: What, a: u64, b: u64) -> Result<u64, SysError> {
    match what {
        What::Grow => crate::heap::grow_for(a, b).map(|()| 0),
        What::Map => super::memory::map(a),
        What::Unmap => super::memory::unmap(a).map(|()| 0),
        What::Protect => super::memory::protect(a, b != 0).map(|()| 0),
    }
}
