//! An answer that comes later.

use alloc::rc::Rc;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};

/// Where one task waits for what another one will know. Copies are the same.
pub struct Soon<T>(Rc<RefCell<Place<T>>>);

struct Place<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

impl<T> Clone for Soon<T> {
    fn clone(&self) -> Soon<T> {
        Soon(self.0.clone())
    }
}

impl<T> Soon<T> {
    /// Not known yet.
    pub fn new() -> Soon<T> {
        let (value, waker) = (None, None);
        Soon(Rc::new(RefCell::new(Place { value, waker })))
    }
    /// It is known: whoever waits goes on.
    pub fn tell(&self, value: T) {
        let mut place = self.0.borrow_mut();
        place.value = Some(value);
        place.waker.take().into_iter().for_each(Waker::wake);
    }
    /// Waits for it.
    pub async fn wait(self) -> T {
        poll_fn(|cx| {
            let mut place = self.0.borrow_mut();
            match place.value.take() {
                Some(value) => Poll::Ready(value),
                None => {
                    place.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
