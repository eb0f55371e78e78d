//! Connections as what stubs stand on.

use proto::{Ask, Pass, PeerError, Raw, Wire};

use super::{Attach, Client, given};
use crate::cap::Capability;
use crate::time;

impl Ask for Client {
    type Cap = Capability;
    async fn ask<Q: Wire>(
        &self,
        request: &Q,
        blob: &[u8],
        cap: Option<Pass<Capability>>,
    ) -> Result<Raw<Capability>, PeerError> {
        let with = Attach::of(blob, cap.as_ref());
        let answer = self.inner().ask(request, with).await?;
        given(cap);
        Ok(answer)
    }
    fn tell<Q: Wire>(
        &self,
        message: &Q,
        blob: &[u8],
        cap: Option<Pass<Capability>>,
    ) -> Result<(), PeerError> {
        let with = Attach::of(blob, cap.as_ref());
        self.outbox().post(message, 0, with)?;
        given(cap);
        Ok(())
    }
}

/// A connection whose notices wake nobody ([`Client::leaving`]).
#[derive(Clone, Debug)]
pub struct Leaving(pub(super) Client);

impl Ask for Leaving {
    type Cap = Capability;
    fn ask<Q: Wire>(
        &self,
        request: &Q,
        blob: &[u8],
        cap: Option<Pass<Capability>>,
    ) -> impl Future<Output = Result<Raw<Capability>, PeerError>> {
        self.0.ask(request, blob, cap)
    }
    fn tell<Q: Wire>(
        &self,
        message: &Q,
        blob: &[u8],
        cap: Option<Pass<Capability>>,
    ) -> Result<(), PeerError> {
        match cap {
            None => self.0.outbox().leave(message, blob),
            cap => self.0.tell(message, blob, cap),
        }
    }
}

/// A connection whose calls never look whether the service still lives ([`Client::unprobed`]).
#[derive(Clone, Debug)]
pub struct Unprobed(pub(super) Client);

impl Ask for Unprobed {
    type Cap = Capability;
    async fn ask<Q: Wire>(
        &self,
        request: &Q,
        blob: &[u8],
        cap: Option<Pass<Capability>>,
    ) -> Result<Raw<Capability>, PeerError> {
        let with = Attach::of(blob, cap.as_ref());
        let answer = self.0.inner().ask_once(request, with).await?;
        given(cap);
        Ok(answer)
    }
    fn tell<Q: Wire>(
        &self,
        message: &Q,
        blob: &[u8],
        cap: Option<Pass<Capability>>,
    ) -> Result<(), PeerError> {
        self.0.tell(message, blob, cap)
    }
}

/// A connection whose calls have a deadline ([`Client::until`]).
#[derive(Clone, Debug)]
pub struct Until {
    client: Client,
    deadline_ns: u64,
}

impl Until {
    pub(super) fn new(client: Client, deadline_ns: u64) -> Until {
        Until {
            client,
            deadline_ns,
        }
    }
}

impl Ask for Until {
    type Cap = Capability;
    async fn ask<Q: Wire>(
        &self,
        request: &Q,
        blob: &[u8],
        cap: Option<Pass<Capability>>,
    ) -> Result<Raw<Capability>, PeerError> {
        let asked = self.client.ask(request, blob, cap);
        let answer = time::system_timeout(self.deadline_ns, asked).await;
        answer.unwrap_or(Err(PeerError::TimedOut))
    }
    fn tell<Q: Wire>(
        &self,
        message: &Q,
        blob: &[u8],
        cap: Option<Pass<Capability>>,
    ) -> Result<(), PeerError> {
        self.client.tell(message, blob, cap)
    }
}
