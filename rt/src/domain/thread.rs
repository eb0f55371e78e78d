//! Threads: tasks started on another dispatcher.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::task::{Poll, Waker};

use super::place::{self, Mail};
use super::spin::Spin;
use super::sync::wake;
use crate::task;

#[derive(Debug)]
struct End<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

/// A thread that was started. Dropped, it goes on by itself.
#[derive(Debug)]
pub struct Thread<T>(Arc<Spin<End<T>>>);

impl<T> Thread<T> {
    /// Waits for its end; what it returned.
    pub async fn join(self) -> T {
        poll_fn(|cx| {
            self.0.with(|end| match end.value.take() {
                Some(value) => Poll::Ready(value),
                None => {
                    end.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            })
        })
        .await
    }
}

pub fn start<F, R>(to: usize, f: F) -> Thread<R::Output>
where
    F: FnOnce() -> R + Send + 'static,
    R: Future + 'static,
    R::Output: Send + 'static,
{
    let end = Arc::new(Spin::new(End {
        value: None,
        waker: None,
    }));
    let thread = Thread(end.clone());
    let begin = move || {
        task::spawn(async move {
            let value = f().await;
            let waker = end.with(|end| {
                end.value = Some(value);
                end.waker.take()
            });
            wake(waker);
        });
    };
    if to == place::current() {
        begin();
    } else {
        place::post(to, Mail::Run(Box::new(begin)));
    }
    thread
}
