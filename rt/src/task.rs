//! Tasks: futures that run side by side on the process's dispatcher.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;

use crate::exec;

#[cfg_attr(nekton_user, thread_local)]
static EXECUTOR: exec::Cell = exec::Cell::new(None);

/// Starts a task; it runs whenever some task is awaited or blocked on.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    exec::spawn(&EXECUTOR, future);
}

/// Runs tasks until this future is done. May be nested, but then the outer one waits for the
/// inner one even if it could go on: prefer `await`.
pub fn block_on<F: Future>(future: F) -> F::Output {
    exec::block_on(&EXECUTOR, future, &mut exec::driver::turn)
}

/// Lets every other ready task run once.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The first of two futures to be done.
#[derive(Debug)]
pub enum Either<A, B> {
    /// The first.
    Left(A),
    /// The second.
    Right(B),
}

/// Waits for whichever is done first (the first one, when both are); the other is dropped.
pub async fn select<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| {
        if let Poll::Ready(out) = a.as_mut().poll(cx) {
            return Poll::Ready(Either::Left(out));
        }
        match b.as_mut().poll(cx) {
            Poll::Ready(out) => Poll::Ready(Either::Right(out)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Runs futures side by side until all are done; their results in the same order.
pub async fn join<'a, T>(futures: Vec<Pin<Box<dyn Future<Output = T> + 'a>>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(Some).collect();
    let mut results: Vec<Option<T>> = running.iter().map(|_| None).collect();
    poll_fn(move |cx| {
        for (slot, result) in running.iter_mut().zip(&mut results) {
            let Some(future) = slot else { continue };
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                *result = Some(value);
                *slot = None;
            }
        }
        if running.iter().any(Option::is_some) {
            return Poll::Pending;
        }
        Poll::Ready(results.iter_mut().filter_map(Option::take).collect())
    })
    .await
}
