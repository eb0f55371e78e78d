//! The shipped ring under every interleaving that loom allows: nothing is lost, and nobody
//! sleeps for ever.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, fence};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use proto::ump::{LINE_WORDS, Line, MIN_LINES, Ring, RingError, SharedWords, Side, Wake};

/// Shared words as loom models them.
#[derive(Clone)]
struct Shared(Arc<Vec<AtomicU64>>);

impl Shared {
    fn new(lines: usize) -> Shared {
        let words = (0..lines * LINE_WORDS).map(|_| AtomicU64::new(0));
        Shared(Arc::new(words.collect()))
    }
}

impl SharedWords for Shared {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn load(&self, index: usize) -> u64 {
        self.0[index].load(Relaxed)
    }
    fn load_acquire(&self, index: usize) -> u64 {
        self.0[index].load(Acquire)
    }
    fn store(&self, index: usize, value: u64) {
        self.0[index].store(value, Relaxed);
    }
    fn store_release(&self, index: usize, value: u64) {
        self.0[index].store(value, Release);
    }
    fn fence(&self) {
        fence(SeqCst);
    }
}

/// A notification: a bit that stays set until it is taken, as in an OSnode's notification page.
#[derive(Clone)]
struct Bell(Arc<(Mutex<bool>, Condvar)>);

impl Bell {
    fn new() -> Bell {
        Bell(Arc::new((Mutex::new(false), Condvar::new())))
    }
    fn ring(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_one();
    }
    fn wait(&self) {
        let mut set = self.0.0.lock().unwrap();
        while !*set {
            set = self.0.1.wait(set).unwrap();
        }
        *set = false;
    }
}

fn line(n: u64) -> Line {
    Line {
        words: [n, n ^ 1, n ^ 2, n ^ 3, n ^ 4, n ^ 5, n ^ 6],
        flags: n as u16,
    }
}

fn answer(wake: Wake, peer: &Bell) {
    if wake == Wake::Peer {
        peer.ring();
    }
}

/// Sends `count` messages; sleeps while there is no room.
fn send(mut ring: Ring<Shared>, own: &Bell, peer: &Bell, count: u64) {
    let mut n = 0;
    while n < count {
        match ring.send(&line(n)) {
            Ok(wake) => {
                answer(wake, peer);
                n += 1;
            }
            Err(RingError::Full) => {
                let (sleep, wake) = ring.prepare_sleep(true).unwrap();
                answer(wake, peer);
                if sleep {
                    own.wait();
                    ring.awake();
                }
            }
            Err(e) => panic!("{e:?}"),
        }
    }
}

/// Receives `count` messages in order; sleeps while there is none.
fn receive(mut ring: Ring<Shared>, own: &Bell, peer: &Bell, count: u64) {
    let mut n = 0;
    while n < count {
        match ring.receive().unwrap() {
            Some((got, wake)) => {
                assert_eq!(got, line(n));
                answer(wake, peer);
                n += 1;
            }
            None => {
                let (sleep, wake) = ring.prepare_sleep(false).unwrap();
                answer(wake, peer);
                if sleep {
                    own.wait();
                    ring.awake();
                }
            }
        }
    }
    answer(ring.publish_taken(), peer);
}

fn run(lines: usize, count: u64) {
    let mem = Shared::new(lines);
    let (a, b) = (Bell::new(), Bell::new());
    let ring = Ring::new(mem.clone(), Side::A).unwrap();
    let (own, peer) = (a.clone(), b.clone());
    let sender = thread::spawn(move || send(ring, &own, &peer, count));
    let ring = Ring::new(mem, Side::B).unwrap();
    receive(ring, &b, &a, count);
    sender.join().unwrap();
}

fn model(preemptions: usize) -> loom::model::Builder {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder
}

#[test]
fn one_message_wakes_a_sleeping_receiver() {
    model(4).check(|| run(MIN_LINES, 1));
}

#[test]
fn a_full_ring_wakes_the_sender_again() {
    model(3).check(|| run(MIN_LINES, 3));
}

#[test]
fn two_lines_each_way() {
    model(2).check(|| run(6, 4));
}

#[test]
fn closing_wakes_a_sleeping_receiver() {
    model(4).check(|| {
        let mem = Shared::new(MIN_LINES);
        let (a, b) = (Bell::new(), Bell::new());
        let mut ring = Ring::new(mem.clone(), Side::A).unwrap();
        let peer = b.clone();
        let sender = thread::spawn(move || {
            answer(ring.send(&line(0)).unwrap(), &peer);
            answer(ring.close(), &peer);
        });
        let mut ring = Ring::new(mem, Side::B).unwrap();
        let mut got = 0;
        loop {
            match ring.receive() {
                Ok(Some((l, wake))) => {
                    assert_eq!(l, line(0));
                    answer(wake, &a);
                    got += 1;
                }
                Ok(None) => {
                    let (sleep, wake) = ring.prepare_sleep(false).unwrap();
                    answer(wake, &a);
                    if sleep {
                        b.wait();
                        ring.awake();
                    }
                }
                Err(RingError::Closed) => break,
                Err(e) => panic!("{e:?}"),
            }
        }
        assert_eq!(got, 1, "what was sent before closing arrives");
        sender.join().unwrap();
    });
}
