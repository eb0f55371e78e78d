//! Services made of stubs: an endpoint, a name, and a type that implements the interface's server.

use alloc::rc::Rc;
use core::convert::Infallible;

use proto::{Dispatch, PeerError};

use super::{Request, Server};
use crate::task;

impl Server {
    /// Answers requests of interface `I`, one after the other, for ever.
    pub async fn serve<I: Dispatch<S, Request>, S>(&self, service: &S) -> Infallible {
        self.offer::<I>();
        loop {
            I::dispatch(service, self.next().await).await;
        }
    }

    /// As [`Server::serve`], but a request that waits does not hold up the others.
    pub async fn serve_side_by_side<I, S>(&self, service: Rc<S>) -> Infallible
    where
        I: Dispatch<S, Request> + 'static,
        S: 'static,
    {
        self.offer::<I>();
        loop {
            let request = self.next().await;
            if let Some(request) = I::notice(&*service, request) {
                let service = service.clone();
                task::spawn(async move { I::dispatch(&*service, request).await });
            }
        }
    }
}

/// Registers a service of interface `I` under a name and serves it for ever, one request after
/// the other.
///
/// # Errors
/// [`PeerError`]: why it cannot be registered.
pub async fn serve<I: Dispatch<S, Request>, S>(
    name: &str,
    service: &S,
) -> Result<Infallible, PeerError> {
    let server = Server::open()?;
    // Before anybody can find it.
    server.offer::<I>();
    server.register(name).await?;
    Ok(server.serve::<I, S>(service).await)
}

/// As [`serve`], but a request that waits does not hold up the others.
///
/// # Errors
/// [`PeerError`]: why it cannot be registered.
pub async fn serve_side_by_side<I, S>(name: &str, service: Rc<S>) -> Result<Infallible, PeerError>
where
    I: Dispatch<S, Request> + 'static,
    S: 'static,
{
    let server = Server::open()?;
    server.offer::<I>();
    server.register(name).await?;
    Ok(server.serve_side_by_side::<I, S>(service).await)
}
