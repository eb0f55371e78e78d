//! What a program does when its starter asks it to check itself, to stop, or tells it something.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use proto::iface::process::{Checked, Process, ProcessNotice, ProcessServer, Stopping};
use proto::{Later, Refusal, ServiceError};

use crate::chan::{Request, Server};
use crate::single::Single;
use crate::{io, process, task};

/// Result of a check or a command: clean or not, and text for people.
#[derive(Clone, Default, Debug)]
pub struct Verdict {
    /// Every check is clean.
    pub ok: bool,
    /// Text.
    pub text: String,
    /// Kernel changes that fell inside long operations of the program, if it counts them.
    pub inside: u64,
}

type Check = Box<dyn FnMut() -> Verdict>;
type Tell = Box<dyn FnMut(&str) -> Verdict>;
type Stop = Box<dyn FnMut()>;

struct Handlers {
    check: Option<Check>,
    tell: Option<Tell>,
    stop: Option<Stop>,
}

#[cfg_attr(nekton_user, thread_local)]
static HANDLERS: Single<Handlers> = Single::new(Handlers {
    check: None,
    tell: None,
    stop: None,
});

/// Installs what answers `check`.
pub fn on_check(f: Box<dyn FnMut() -> Verdict>) {
    let old = HANDLERS.with(|h| h.check.replace(f));
    drop(old);
}

/// Installs what answers a command of the program's own (its text is the argument).
pub fn on_tell(f: Box<dyn FnMut(&str) -> Verdict>) {
    let old = HANDLERS.with(|h| h.tell.replace(f));
    drop(old);
}

/// Installs what runs before the process ends at the starter's request.
pub fn on_stop(f: Box<dyn FnMut()>) {
    let old = HANDLERS.with(|h| h.stop.replace(f));
    drop(old);
}

/// Tells the starter that start-up is over. An OSnode's first process has no starter.
pub fn ready() {
    // Without a starter nobody waits for it.
    let _ = crate::link::tell_starter(&ProcessNotice::Ready {}, b"");
}

/// Serves the starter on endpoint 0, for ever.
pub(crate) fn start() {
    match Server::of_process() {
        Ok(server) => task::spawn(serve(server)),
        Err(e) => io::log(format_args!(
            "endpoint 0 cannot be served: {}\n",
            e.message()
        )),
    }
}

async fn serve(server: Server) {
    match server.serve::<Process, _>(&Control).await {}
}

/// Runs a handler that is taken out of its place meanwhile: it may install another.
fn run<H, R>(
    place: fn(&mut Handlers) -> &mut Option<H>,
    call: impl FnOnce(&mut H) -> R,
) -> Option<R> {
    let mut handler = HANDLERS.with(|h| place(h).take())?;
    let result = call(&mut handler);
    HANDLERS.with(|h| {
        let place = place(h);
        if place.is_none() {
            *place = Some(handler);
        }
    });
    Some(result)
}

/// The program, as its starter asks it.
struct Control;

fn checked(verdict: Option<Verdict>) -> Result<Checked, Refusal> {
    let v = verdict.ok_or(ServiceError::Unsupported)?;
    let mut text = v.text.into_bytes();
    text.truncate(proto::blob::MAX_BLOB);
    Ok(Checked {
        ok: v.ok,
        inside: v.inside,
        text,
    })
}

impl ProcessServer<Request> for Control {
    async fn check(&self, _: &Request) -> Result<Checked, Refusal> {
        checked(run(|h| &mut h.check, |f| f()))
    }
    fn stop(&self, asker: Later<Stopping, Request>) {
        run(|h| &mut h.stop, |f| f());
        // The starter is told twice: by the answer, and by the notice of `exit`.
        asker.answer(Ok(Stopping {}));
        process::exit(0)
    }
    async fn command(&self, _: &Request, text: Vec<u8>) -> Result<Checked, Refusal> {
        let text = String::from_utf8_lossy(&text);
        checked(run(|h| &mut h.tell, |f| f(&text)))
    }
    fn look(&self, _: &Request) {
        crate::chan::look_after_services();
    }
    fn adopted(&self, _: &Request) {
        process::keep_again();
    }
}
