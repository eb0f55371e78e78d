//! UMP connections of a server: the monitor brings them, a task takes what arrives.

use alloc::rc::{Rc, Weak};

use proto::iface::names::{Accept, AcceptReply, AcceptServer, Accepted};
use proto::ump::Side;
use proto::{Dispatch, Header, Later, Refusal, ServiceError, WireError, stub};

use super::outbox::{Carrier, refusal};
use super::server::{Core, Session};
use super::{Request, transfer};
use crate::cap::Capability;
use crate::event::Notification;
use crate::ump::{UmpChannel, UmpError};
use crate::{invoke, task};

impl AcceptServer<Request> for Core {
    fn ump(&self, call: Bringing, bind: u64, _osnode: u64, frame: Capability) {
        call.answer(taken(self.accept_channel(bind, frame)));
    }
    fn notify(&self, call: Bringing, bind: u64, notify: Capability) {
        call.answer(taken(self.accept_notify(bind, notify)));
    }
    fn closed(&self, call: Bringing, bind: u64) {
        if let Some(session) = self.bound(bind) {
            self.close(&session);
        }
        call.answer(taken(Ok(u64::MAX)));
    }
}

/// The monitor brings something.
type Bringing = Later<Accepted, Request>;

fn taken(channel: Result<u64, ServiceError>) -> Result<Accepted, Refusal> {
    Ok(Accepted { channel: channel? })
}

impl Core {
    /// The monitor brings a client of another OSnode, or what it has to say of one. Nobody else may: it would close
    /// others' channels, or take their place.
    pub fn accept(&self, request: Request, by_monitor: bool) {
        if !by_monitor {
            return stub::refuse::<AcceptReply, _>(&request, WireError::UnknownOp);
        }
        if let Some(bad) = Accept::notice(self, request) {
            stub::refuse::<AcceptReply, _>(&bad, WireError::BadField);
        }
    }

    fn bound(&self, bind: u64) -> Option<Rc<Session>> {
        let id = self.bindings.borrow().get(&bind).copied()?;
        self.sessions.borrow().get(&id).cloned()
    }

    fn accept_channel(&self, bind: u64, frame: Capability) -> Result<u64, ServiceError> {
        let bytes = invoke::identify(frame.addr())?.cap.size;
        let own = Notification::new()?;
        let opened = UmpChannel::open(frame, bytes, Side::B, Some(own));
        let channel = opened.map_err(|e| match e {
            UmpError::Sys(e) => ServiceError::Sys(e),
            UmpError::Ring(_) => ServiceError::BadArgument,
        })?;
        let number = channel.own_channel();
        let session = self.serve(channel, 0);
        session.outbox.set_binding(bind);
        self.bindings.borrow_mut().insert(bind, session.id);
        Ok(number)
    }

    fn accept_notify(&self, bind: u64, notify: Capability) -> Result<u64, ServiceError> {
        let session = self.bound(bind).ok_or(ServiceError::NotFound)?;
        let channel = session.outbox.channel().ok_or(ServiceError::NotFound)?;
        channel.set_notify(notify);
        Ok(channel.own_channel())
    }

    pub fn serve(&self, channel: UmpChannel, introducer: u32) -> Rc<Session> {
        let session = self.add_session(introducer, Carrier::Ump(channel.clone()));
        task::spawn(pump(channel, self.this.clone(), Rc::downgrade(&session)));
        session
    }
}

/// Takes the requests of a UMP connection until either side closes it.
async fn pump(channel: UmpChannel, core: Weak<Core>, session: Weak<Session>) {
    loop {
        let line = channel.receive().await;
        let (Some(core), Some(session)) = (core.upgrade(), session.upgrade()) else {
            return;
        };
        let Ok(line) = line else {
            return core.close(&session);
        };
        let [w0, w1, w2, w3, w4, w5, number] = line.words;
        let header = Header::unpack(w0);
        match transfer::take(session.outbox.binding(), number).await {
            Ok(cap) => core.take(&session, header, [w0, w1, w2, w3, w4, w5], cap),
            // The request without its capability is none.
            Err(why) => session.tell(&refusal(why), header.tag),
        }
    }
}
