//! The ring on one thread: order, credit, wrap-around, and peers that lie.

use std::cell::Cell;
use std::rc::Rc;

use proptest::prelude::*;
use proto::ump::{LINE_WORDS, Line, Ring, RingError, SharedWords, Side, Wake};

#[derive(Clone)]
struct Plain(Rc<Vec<Cell<u64>>>);

impl Plain {
    fn new(words: usize) -> Plain {
        Plain(Rc::new((0..words).map(|_| Cell::new(0)).collect()))
    }
}

impl SharedWords for Plain {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn load(&self, index: usize) -> u64 {
        self.0[index].get()
    }
    fn load_acquire(&self, index: usize) -> u64 {
        self.load(index)
    }
    fn store(&self, index: usize, value: u64) {
        self.0[index].set(value);
    }
    fn store_release(&self, index: usize, value: u64) {
        self.store(index, value);
    }
    fn fence(&self) {}
}

fn pair(lines: usize) -> (Ring<Plain>, Ring<Plain>) {
    let mem = Plain::new(lines * LINE_WORDS);
    let a = Ring::new(mem.clone(), Side::A).unwrap();
    (a, Ring::new(mem, Side::B).unwrap())
}

fn line(n: u64) -> Line {
    Line {
        words: [n; 7],
        flags: n as u16,
    }
}

#[test]
fn too_small_memory_is_refused() {
    let r = Ring::new(Plain::new(31), Side::A);
    assert_eq!(r.err(), Some(RingError::TooSmall));
}

#[test]
fn a_sleeping_peer_must_be_notified_a_polling_one_not() {
    let (mut a, mut b) = pair(8);
    assert_eq!(a.send(&line(1)), Ok(Wake::No));
    assert_eq!(b.receive().unwrap().map(|(l, _)| l), Some(line(1)));
    assert!(b.prepare_sleep(false).unwrap().0);
    assert_eq!(a.send(&line(2)), Ok(Wake::Peer));
    b.awake();
    assert!(!b.prepare_sleep(false).unwrap().0, "a message is there");
    assert_eq!(
        a.send(&line(3)),
        Ok(Wake::No),
        "the announcement was withdrawn"
    );
}

#[test]
fn a_peer_that_claims_to_have_taken_more_than_was_sent_ends_the_channel() {
    let mem = Plain::new(8 * LINE_WORDS);
    let mut a = Ring::new(mem.clone(), Side::A).unwrap();
    while a.send(&line(0)).is_ok() {}
    mem.store(LINE_WORDS, 1 << 40);
    assert_eq!(a.send(&line(0)), Err(RingError::Broken));
    mem.store(LINE_WORDS, 3);
    assert_eq!(a.send(&line(0)), Err(RingError::Broken), "for good");
    assert_eq!(a.receive(), Err(RingError::Broken));
}

proptest! {
    /// Any mix of sends and receives both ways is a pair of queues of `capacity` messages.
    #[test]
    fn behaves_as_two_bounded_queues(lines in 4usize..40, ops in prop::collection::vec(0u8..4, 1..2000)) {
        let (a, b) = pair(lines);
        let capacity = a.capacity();
        let mut sides = [a, b];
        let mut queues: [std::collections::VecDeque<u64>; 2] = Default::default();
        let mut next = 0;
        for op in ops {
            let side = usize::from(op & 1);
            if op & 2 == 0 {
                next += 1;
                match sides[side].send(&line(next)) {
                    Ok(_) => queues[side].push_back(next),
                    Err(e) => {
                        prop_assert_eq!(e, RingError::Full);
                        // Counts are published at half a ring at the latest.
                        prop_assert!(queues[side].len() as u64 + capacity.div_ceil(2) > capacity);
                    }
                }
                prop_assert!(queues[side].len() as u64 <= capacity);
            } else {
                let got = sides[side].receive().unwrap().map(|(l, _)| l);
                let want = queues[1 - side].pop_front().map(line);
                prop_assert_eq!(got, want);
            }
        }
    }

    /// Whatever stands in the memory, a side never panics and never reads past it.
    #[test]
    fn any_memory_is_survived(words in prop::collection::vec(any::<u64>(), 32..400), ops in prop::collection::vec(0u8..5, 0..200)) {
        let mem = Plain::new(words.len());
        words.iter().enumerate().for_each(|(i, w)| mem.store(i, *w));
        let mut ring = Ring::new(mem, Side::B).unwrap();
        for op in ops {
            match op {
                0 => drop(ring.send(&line(5))),
                1 => drop(ring.receive()),
                2 => drop(ring.prepare_sleep(true)),
                3 => drop(ring.publish_taken()),
                _ => ring.awake(),
            }
        }
    }
}
