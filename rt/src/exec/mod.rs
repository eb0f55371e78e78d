//! The executor: futures of one dispatcher, first woken, first polled.

pub mod driver;
pub mod timers;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::task::Wake;
use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};

use crate::domain::place::{self, Mail};
use crate::single::Single;

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// Ids of the tasks that want to be polled, in the order of their wake-ups.
struct Ready(Single<VecDeque<u64>>);

/// Wakes a task, from any dispatcher of the process.
pub struct TaskWaker {
    id: u64,
    queued: AtomicBool,
    ready: Arc<Ready>,
    /// Place of the task's dispatcher.
    home: usize,
}

impl TaskWaker {
    /// Its own dispatcher: the task is polled in its turn.
    pub fn enqueue(&self) {
        self.ready.0.with(|q| q.push_back(self.id));
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        if self.home == place::current() {
            self.enqueue();
        } else {
            place::post(self.home, Mail::Task(self.clone()));
        }
    }
}

struct Task {
    /// `None` while it is being polled.
    future: Option<Boxed>,
    waker: Arc<TaskWaker>,
}

/// The tasks of a dispatcher.
pub struct Executor {
    tasks: BTreeMap<u64, Task>,
    next: u64,
    ready: Arc<Ready>,
}

/// Where an executor lives: created at its first use.
pub type Cell = Single<Option<Executor>>;

fn with<R>(cell: &Cell, f: impl FnOnce(&mut Executor) -> R) -> R {
    cell.with(|e| {
        f(e.get_or_insert_with(|| Executor {
            tasks: BTreeMap::new(),
            next: 0,
            ready: Arc::new(Ready(Single::new(VecDeque::new()))),
        }))
    })
}

/// Adds a task, ready to be polled.
pub fn spawn(cell: &Cell, future: impl Future<Output = ()> + 'static) {
    let future: Boxed = Box::pin(future);
    let waker = with(cell, |e| {
        let id = e.next;
        e.next += 1;
        let waker = Arc::new(TaskWaker {
            id,
            queued: AtomicBool::new(false),
            ready: e.ready.clone(),
            home: place::current(),
        });
        let task = Task {
            future: Some(future),
            waker: waker.clone(),
        };
        e.tasks.insert(id, task);
        waker
    });
    waker.wake_by_ref();
}

/// Number of tasks that want to be polled.
fn ready(cell: &Cell) -> usize {
    let ready = with(cell, |e| e.ready.clone());
    ready.0.with(|q| q.len())
}

/// Polls the task that was woken first; `false` when none was.
fn run_one(cell: &Cell) -> bool {
    let ready = with(cell, |e| e.ready.clone());
    let Some(id) = ready.0.with(|q| q.pop_front()) else {
        return false;
    };
    let taken = with(cell, |e| {
        let task = e.tasks.get_mut(&id)?;
        // Cleared before the poll: a wake-up during it queues the task again.
        task.waker.queued.store(false, Ordering::Release);
        Some((task.future.take()?, task.waker.clone()))
    });
    // A task that is being polled further up the stack (nested `block_on`) was woken:
    // it looks again by itself when control returns to it.
    let Some((mut future, waker)) = taken else {
        return true;
    };
    let w = Waker::from(waker);
    let done = future
        .as_mut()
        .poll(&mut Context::from_waker(&w))
        .is_ready();
    // What the future owned is dropped while nothing is borrowed.
    let finished = with(cell, |e| {
        if done {
            e.tasks.remove(&id);
            return Some(future);
        }
        if let Some(task) = e.tasks.get_mut(&id) {
            task.future = Some(future);
        }
        None
    });
    drop(finished);
    true
}

struct Root {
    woken: AtomicBool,
    /// Place of its dispatcher.
    home: usize,
}

impl Wake for Root {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        if self.home != place::current() {
            place::ring(self.home);
        }
    }
}

/// Runs tasks until `future` is done. `turn(may_block)` lets events in; it may sleep only when
/// told so, and returns after something happened.
pub fn block_on<F: Future>(cell: &Cell, future: F, turn: &mut dyn FnMut(bool)) -> F::Output {
    let mut future = pin!(future);
    let root = Arc::new(Root {
        woken: AtomicBool::new(true),
        home: place::current(),
    });
    let w = Waker::from(root.clone());
    loop {
        if root.woken.swap(false, Ordering::AcqRel)
            && let Poll::Ready(out) = future.as_mut().poll(&mut Context::from_waker(&w))
        {
            return out;
        }
        // As many as are ready now: those that wake themselves wait for the next round.
        for _ in 0..ready(cell) {
            run_one(cell);
        }
        let idle = !root.woken.load(Ordering::Acquire) && ready(cell) == 0;
        turn(idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Either, select, yield_now};
    use alloc::rc::Rc;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::cell::RefCell;
    use core::future::poll_fn;

    fn no_sleep(may_block: bool) {
        assert!(!may_block, "everything is blocked for ever");
    }

    #[test]
    fn tasks_take_turns() {
        let cell = Cell::new(None);
        let log = Rc::new(RefCell::new(Vec::new()));
        for name in ["a", "b"] {
            let log = log.clone();
            spawn(&cell, async move {
                for i in 0..3 {
                    log.borrow_mut().push((name, i));
                    yield_now().await;
                }
            });
        }
        let waiting = log.clone();
        let all = poll_fn(move |cx| {
            if waiting.borrow().len() == 6 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        block_on(&cell, all, &mut no_sleep);
        let want = vec![("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)];
        assert_eq!(*log.borrow(), want);
    }

    #[test]
    fn sleeps_only_when_nothing_is_ready_and_wakes_by_event() {
        let cell = Cell::new(None);
        let slot: Rc<RefCell<Option<Waker>>> = Rc::default();
        let fired = Rc::new(RefCell::new(false));
        let (s, f) = (slot.clone(), fired.clone());
        let event = poll_fn(move |cx| {
            if *f.borrow() {
                return Poll::Ready(7);
            }
            *s.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        });
        let mut sleeps = 0;
        let out = block_on(&cell, event, &mut |may_block| {
            assert!(may_block);
            sleeps += 1;
            *fired.borrow_mut() = true;
            slot.borrow_mut().take().unwrap().wake();
        });
        assert_eq!((out, sleeps), (7, 1));
    }

    #[test]
    fn nested_block_on_runs_the_other_tasks() {
        static CELL: Cell = Cell::new(None);
        let order = Rc::new(RefCell::new(Vec::new()));
        let (o1, o2) = (order.clone(), order.clone());
        spawn(&CELL, async move {
            o1.borrow_mut().push(1);
            block_on(
                &CELL,
                async {
                    yield_now().await;
                    yield_now().await;
                },
                &mut no_sleep,
            );
            o1.borrow_mut().push(3);
        });
        spawn(&CELL, async move { o2.borrow_mut().push(2) });
        let done = order.clone();
        let all = poll_fn(move |cx| {
            cx.waker().wake_by_ref();
            if done.borrow().len() == 3 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        block_on(&CELL, all, &mut no_sleep);
        assert_eq!(*order.borrow(), vec![1, 2, 3]);
    }

    #[test]
    fn select_takes_the_first() {
        let cell = Cell::new(None);
        let never = core::future::pending::<()>();
        let quick = async {
            yield_now().await;
            5
        };
        match block_on(&cell, select(never, quick), &mut no_sleep) {
            Either::Right(n) => assert_eq!(n, 5),
            Either::Left(()) => unreachable!("never is never done"),
        }
    }
}
