//! The executor: futures of one dispatcher.

use core::future::Future;

/// Starts a task; it runs whenever some task is awaited or blocked on.
pub fn spawn(_future: impl Future<Output = ()> + 'static) {
    todo!()
}
/// Runs tasks until this future is done. May be nested.
pub fn block_on<F: Future>(_future: F) -> F::Output {
    todo!()
}
/// Lets every other ready task run once.
pub async fn yield_now() {
    todo!()
}
/// The first of two futures to be done.
pub enum Either<A, B> {
    /// The first.
    Left(A),
    /// The second.
    Right(B),
}
/// Waits for whichever is done first; the other is dropped.
pub async fn select<A: Future, B: Future>(_a: A, _b: B) -> Either<A::Output, B::Output> {
    todo!()
}
