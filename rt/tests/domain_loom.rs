//! The shipped locks, bell and waiting lines of domains under every interleaving that loom allows.

mod atomic {
    pub use loom::sync::atomic::{AtomicBool, AtomicU32, fence};
    use std::cell::Cell;

    pub struct UnsafeCell<T>(loom::cell::UnsafeCell<T>);
    impl<T> UnsafeCell<T> {
        pub fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(loom::cell::UnsafeCell::new(value))
        }
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            self.0.with_mut(f)
        }
    }

    loom::thread_local! {
        static ME: Cell<u32> = Cell::new(1);
    }
    pub fn set_me(me: u32) {
        ME.with(|m| m.set(me));
    }
    pub fn me() -> u32 {
        ME.with(Cell::get)
    }
    pub fn relax(_turn: u32) {
        loom::thread::yield_now();
    }
}
extern crate alloc;

#[path = "../src/domain/bell.rs"]
#[allow(dead_code)]
mod bell;
#[path = "../src/domain/spin.rs"]
mod spin;
/// The same folder as in the runtime: the files name their neighbours by `super::super`.
#[allow(dead_code)]
#[path = "../src/domain/sync"]
mod sync {
    pub mod barrier;
    pub mod channel;
    pub mod condition;
    pub mod mutex;
    pub mod waiters;
}

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use atomic::{AtomicBool, AtomicU32, UnsafeCell, set_me};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use spin::Spin;

/// A task's sleep: a flag that stays set until it is taken.
struct Parker(loom::sync::Mutex<bool>, loom::sync::Condvar);

impl Parker {
    fn new() -> Parker {
        Parker(loom::sync::Mutex::new(false), loom::sync::Condvar::new())
    }
    fn unpark(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_one();
    }
    fn park(&self) {
        let mut woken = self.0.lock().unwrap();
        while !*woken {
            woken = self.1.wait(woken).unwrap();
        }
        *woken = false;
    }
}

impl std::task::Wake for Parker {
    fn wake(self: std::sync::Arc<Self>) {
        self.unpark();
    }
}

/// Runs a future to its end, sleeping in between: a lost wake-up is a deadlock, which loom reports.
fn block_on<F: Future>(future: F) -> F::Output {
    let parker = std::sync::Arc::new(Parker::new());
    let waker = Waker::from(parker.clone());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(out) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return out;
        }
        parker.park();
    }
}

fn spin<T>(value: T) -> Spin<T> {
    Spin::of(AtomicU32::new(0), UnsafeCell::new(value))
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

/// Runs `f` as dispatcher `me`.
fn dispatcher(me: u32, f: impl FnOnce() + 'static) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        set_me(me);
        f();
    })
}

#[test]
fn a_spin_lock_lets_one_in() {
    model(|| {
        let lock = Arc::new(spin(0u32));
        let other = lock.clone();
        let there = dispatcher(2, move || other.with(|n| *n += 1));
        lock.with(|n| *n += 1);
        there.join().unwrap();
        assert_eq!(lock.with(|n| *n), 2);
    });
}

/// What is put down before the bell rings is found: either before the sleep, or because the sleeper is notified.
#[test]
fn a_bell_is_not_slept_through() {
    model(|| {
        let bell = Arc::new(bell::Bell::of(
            AtomicBool::new(false),
            AtomicBool::new(false),
        ));
        let mail = Arc::new(spin(0u32));
        // The kernel keeps a notification until it is taken.
        let notified = Arc::new(Parker::new());
        let (b, m, n) = (bell.clone(), mail.clone(), notified.clone());
        let there = dispatcher(2, move || {
            m.with(|m| *m += 1);
            if b.ring() {
                n.unpark();
            }
        });
        let mut found = 0;
        while found == 0 {
            if bell.take() {
                found += mail.with(std::mem::take);
                continue;
            }
            if bell.prepare_sleep() {
                notified.park();
                bell.awake();
            }
        }
        there.join().unwrap();
        assert_eq!(found, 1);
    });
}

fn mutex<T>(value: T) -> sync::mutex::Mutex<T> {
    sync::mutex::Mutex::of(spin(sync::mutex::Holding::new()), UnsafeCell::new(value))
}

#[test]
fn a_mutex_lets_one_in_and_wakes_the_next() {
    model(|| {
        let lock = Arc::new(mutex(0u32));
        let other = lock.clone();
        let there = dispatcher(2, move || block_on(async { *other.lock().await += 1 }));
        block_on(async { *lock.lock().await += 1 });
        there.join().unwrap();
        assert_eq!(block_on(async { *lock.lock().await }), 2);
    });
}

/// Who is told with the mutex in hand wakes, whatever comes between.
#[test]
fn a_condition_is_not_missed() {
    model(|| {
        let both = Arc::new((
            mutex(false),
            sync::condition::Condition::of(spin(sync::waiters::Waiters::new())),
        ));
        let other = both.clone();
        let there = dispatcher(2, move || {
            block_on(async {
                *other.0.lock().await = true;
                other.1.tell_one();
            });
        });
        block_on(async {
            let mut done = both.0.lock().await;
            while !*done {
                done = both.1.wait(done).await;
            }
        });
        there.join().unwrap();
    });
}

#[test]
fn a_barrier_lets_all_go_once_all_are_there() {
    model(|| {
        let meeting = Arc::new((
            sync::barrier::Barrier::of(2, spin(sync::barrier::Round::new())),
            AtomicUsize::new(0),
        ));
        let other = meeting.clone();
        let come = |m: &(sync::barrier::Barrier, AtomicUsize)| {
            m.1.fetch_add(1, Ordering::Relaxed);
            let last = block_on(m.0.wait());
            assert_eq!(
                m.1.load(Ordering::Relaxed),
                2,
                "one went on before the other came"
            );
            usize::from(last)
        };
        let lasts = Arc::new(AtomicUsize::new(0));
        let count = lasts.clone();
        let there = dispatcher(2, move || {
            count.fetch_add(come(&other), Ordering::Relaxed);
        });
        lasts.fetch_add(come(&meeting), Ordering::Relaxed);
        there.join().unwrap();
        assert_eq!(lasts.load(Ordering::Relaxed), 1);
    });
}

/// One place, two values: the sender must wait, the receiver gets both, then hears the end.
#[test]
fn a_channel_keeps_order_and_ends() {
    model(|| {
        let (sender, receiver) = sync::channel::ends(spin(sync::channel::Queue::new(1)));
        let there = dispatcher(2, move || {
            block_on(async {
                for n in 0..2u32 {
                    assert_eq!(sender.send(n).await, Ok(()));
                }
            });
        });
        let got = block_on(async {
            let mut got = Vec::new();
            while let Some(n) = receiver.receive().await {
                got.push(n);
            }
            got
        });
        there.join().unwrap();
        assert_eq!(got, [0, 1]);
    });
}

/// A task that is given up after it was woken wakes the next one: the mutex is not lost.
#[test]
fn a_waiter_that_gives_up_passes_the_mutex_on() {
    model(|| {
        let lock = Arc::new(mutex(0u32));
        let other = lock.clone();
        let held = lock.try_lock().expect("nobody has it");
        {
            let mut given_up = Box::pin(lock.lock());
            let mut cx = Context::from_waker(Waker::noop());
            assert!(given_up.as_mut().poll(&mut cx).is_pending());
            let there = dispatcher(2, move || block_on(async { *other.lock().await += 1 }));
            drop(held);
            // Woken or not, it goes now.
            drop(given_up);
            there.join().unwrap();
        }
        assert_eq!(block_on(async { *lock.lock().await }), 1);
    });
}
