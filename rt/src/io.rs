//! Output and device access: console text, memory-mapped registers, interrupts.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::fmt::{Arguments, Write};
use core::future::poll_fn;
use core::task::{Poll, Waker};

use abi::{CapAddr, MessageTag, SysError, slots};
use proto::Wire;
use proto::iface::console::{ConsoleRequest, write_message};
use proto::ump::{Line, RingError};

use crate::cap::{self, Capability};
use crate::chan::Client;
use crate::exec::driver::{self, Incoming, Sink};
use crate::single::Single;
use crate::ump::UmpError;
use crate::vspace::{self, Access, Mapped};
use crate::{env, invoke, link, lmp, time};

/// Bytes in one message to the console, and in one record of the kernel log.
const CHUNK: usize = 32;
/// Bytes that are written at a time: no other program's text comes in between.
const PIECE: usize = 256;

/// Where text goes.
enum Target {
    /// Not decided yet: a console given at the start, else the kernel log.
    Unset,
    Kernel,
    /// A connection of [`link::bind`].
    Given(CapAddr),
    Service(Client),
}

#[cfg_attr(nekton_user, thread_local)]
static TARGET: Single<Target> = Single::new(Target::Unset);

/// Pause between two looks for a console that ended (ns of system time).
const LOOK_NS: u64 = 20_000_000;
/// When it is looked for next.
#[cfg_attr(nekton_user, thread_local)]
static LOOK_AT: Single<u64> = Single::new(0);

/// Gathers text, and sends it in pieces of whole lines where lines are not longer than a piece.
struct Pieces<'a> {
    bytes: [u8; PIECE],
    len: usize,
    put: &'a mut dyn FnMut(&[u8]),
}

impl Pieces<'_> {
    /// Sends the first `n` bytes.
    fn send(&mut self, n: usize) {
        if n > 0 {
            (self.put)(&self.bytes[..n]);
            self.bytes.copy_within(n..self.len, 0);
            self.len -= n;
        }
    }
}

impl Write for Pieces<'_> {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        for b in s.bytes() {
            if self.len == PIECE {
                let lines = self.bytes.iter().rposition(|b| *b == b'\n');
                self.send(lines.map_or(PIECE, |end| end + 1));
            }
            self.bytes[self.len] = b;
            self.len += 1;
        }
        Ok(())
    }
}

fn write(text: Arguments<'_>, put: &mut dyn FnMut(&[u8])) {
    let mut pieces = Pieces {
        bytes: [0; PIECE],
        len: 0,
        put,
    };
    // `Pieces` never fails; a Display that does has printed what it could.
    let _ = pieces.write_fmt(text);
    pieces.send(pieces.len);
}

fn to_kernel(piece: &[u8]) {
    for chunk in piece.chunks(CHUNK) {
        // Without a Kernel capability there is nowhere to complain either.
        let _ = invoke::kernel_log(slots::KERNEL, chunk);
    }
}

/// The messages by which a console gets a piece: one that holds it, or the fragments of a blob, which it joins again.
fn messages(piece: &[u8]) -> impl Iterator<Item = [u64; 6]> + '_ {
    let (blob, last) = match write_message(piece) {
        Some(all) => (&piece[..0], all),
        None => (piece, ConsoleRequest::WriteBlob {}),
    };
    proto::blob::fragments(blob, 0).chain(core::iter::once(last.to_words(0)))
}

/// Prints to the console service if there is one, else to the kernel log. Blocks while the
/// console has no room; if the console is gone and none took its name, the text goes to the kernel
/// log.
pub fn print(text: Arguments<'_>) {
    decide();
    // A print from within a print (a Display that prints) goes to the kernel log.
    let printed = TARGET.try_with(|target| write(text, &mut |piece| put(target, piece)));
    if printed.is_none() {
        log(text);
    }
}

/// Puts a piece where text goes. A console that ended may be there again: it is looked for once,
/// and meanwhile the text goes to the kernel log.
fn put(target: &mut Target, piece: &[u8]) {
    if put_to(target, piece) {
        return;
    }
    if is_time_to_look()
        && let Ok(bound) = link::rebind("console")
    {
        match core::mem::replace(target, Target::Given(bound.leak())) {
            Target::Given(old) => drop(Capability::from_slot(old)),
            other => drop(other),
        }
        if put_to(target, piece) {
            return;
        }
    }
    to_kernel(piece);
}

/// Whether a console that ended is to be looked for: not for every piece of a long text.
fn is_time_to_look() -> bool {
    let now = time::system_ns();
    LOOK_AT.with(|at| {
        let due = now >= *at;
        if due {
            *at = now.saturating_add(LOOK_NS);
        }
        due
    })
}

/// Puts a piece; whether it was taken.
fn put_to(target: &Target, piece: &[u8]) -> bool {
    match target {
        Target::Unset | Target::Kernel => {
            to_kernel(piece);
            true
        }
        Target::Given(to) => put_lmp(*to, piece),
        Target::Service(client) => put_service(client, piece),
    }
}

/// At the first print: binds the console that was given at the start.
fn decide() {
    let unset = TARGET.try_with(|t| {
        let unset = matches!(t, Target::Unset);
        if unset {
            *t = Target::Kernel;
        }
        unset
    });
    if unset == Some(true)
        && let Some(given) = env::given("console")
        && let Ok(bound) = link::bind(given)
    {
        TARGET.with(|t| *t = Target::Given(bound.leak()));
    }
}

fn put_lmp(to: CapAddr, piece: &[u8]) -> bool {
    let none = MessageTag::default();
    messages(piece).all(|words| link::send_patiently(to, none, words).is_ok())
}

fn put_service(client: &Client, piece: &[u8]) -> bool {
    let outbox = client.outbox();
    if let Some(endpoint) = outbox.endpoint() {
        return put_lmp(endpoint, piece);
    }
    let Some(channel) = outbox.channel() else {
        return false;
    };
    messages(piece).all(|words| {
        let mut line = Line::default();
        line.words[..6].copy_from_slice(&words);
        loop {
            match channel.try_send(&line) {
                Ok(()) => return true,
                Err(UmpError::Ring(RingError::Full)) => lmp::yield_core(),
                Err(_) => return false,
            }
        }
    })
}

/// Sends further output of this process to the console service of this connection.
pub fn set_console(client: Client) {
    let old = TARGET.with(|t| core::mem::replace(t, Target::Service(client)));
    drop(old);
}

/// Writes to the kernel log, whatever console there is.
pub fn log(text: Arguments<'_>) {
    write(text, &mut to_kernel);
}

/// Registers of a device, mapped uncached.
#[derive(Debug)]
pub struct Registers(Mapped);

macro_rules! register {
    ($($read:ident $write:ident $t:ty;)*) => { $(
        #[doc = concat!("Reads a `", stringify!($t), "` at an aligned byte offset. Panics past the end.")]
        #[must_use]
        pub fn $read(&self, at: u64) -> $t {
            let at = self.0.check_access(at, size_of::<$t>() as u64);
            // SAFETY: in the mapping (just checked), aligned, and device memory has no references to it.
            unsafe { core::ptr::read_volatile(at as *const $t) }
        }
        #[doc = concat!("Writes a `", stringify!($t), "` at an aligned byte offset. Panics past the end.")]
        pub fn $write(&self, at: u64, value: $t) {
            let at = self.0.check_access(at, size_of::<$t>() as u64);
            // SAFETY: as for the read.
            unsafe { core::ptr::write_volatile(at as *mut $t, value) }
        }
    )* };
}

impl Registers {
    /// Maps `bytes` from `offset` of a DevFrame (page multiples).
    ///
    /// # Errors
    /// As [`vspace::map`].
    pub fn map(frame: CapAddr, offset: u64, bytes: u64) -> Result<Registers, SysError> {
        vspace::map(frame, offset, bytes, Access::Device).map(Registers)
    }
    register! {
        read8 write8 u8;
        read16 write16 u16;
        read32 write32 u32;
        read64 write64 u64;
    }
}

/// What became of one interrupt source.
#[derive(Default)]
struct Source {
    fired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// All interrupt sources of the process come to one endpoint.
#[derive(Default)]
struct Sources(RefCell<BTreeMap<u64, Rc<Source>>>);

impl Sink for Sources {
    fn deliver(&self, incoming: Incoming) {
        let source = self.0.borrow().get(&incoming.words[0]).cloned();
        if let Some(source) = source {
            source.fired.set(true);
            let waker = source.waker.borrow_mut().take();
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg_attr(nekton_user, thread_local)]
static SOURCES: Single<Option<(CapAddr, Rc<Sources>)>> = Single::new(None);

fn sources() -> Result<(CapAddr, Rc<Sources>), SysError> {
    if let Some(open) = SOURCES.with(|s| s.clone()) {
        return Ok(open);
    }
    let sources = Rc::new(Sources::default());
    let (_, endpoint) = driver::open_endpoint(16, sources.clone())?;
    let open = (endpoint.leak(), sources);
    SOURCES.with(|s| *s = Some(open.clone()));
    Ok(open)
}

/// A device's interrupt.
pub struct Interrupt {
    irq: Capability,
    number: u64,
    source: Rc<Source>,
}

impl core::fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Interrupt({})", self.number)
    }
}

impl Interrupt {
    /// Mints and binds interrupt `source` from an IrqSource capability.
    ///
    /// # Errors
    /// Any of `Op::IrqMint`, `Op::IrqBind`.
    pub fn mint(sources: CapAddr, source: u64) -> Result<Interrupt, SysError> {
        Interrupt::bind(cap::in_slot(|slot| {
            invoke::irq_mint(sources, source, slot)
        })?)
    }
    /// Binds an IrqDest capability.
    ///
    /// # Errors
    /// Any of `Op::IrqBind`.
    pub fn bind(irq: Capability) -> Result<Interrupt, SysError> {
        let (endpoint, all) = sources()?;
        let number = invoke::identify(irq.addr())?.cap.base.0;
        let source = Rc::new(Source::default());
        all.0.borrow_mut().insert(number, source.clone());
        invoke::irq_bind(irq.addr(), endpoint)?;
        Ok(Interrupt {
            irq,
            number,
            source,
        })
    }
    /// Number of the source.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
    /// Waits for it; it stays masked until [`Interrupt::acknowledge`].
    pub async fn next(&self) {
        poll_fn(|cx| {
            if self.source.fired.replace(false) {
                return Poll::Ready(());
            }
            *self.source.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
    /// Unmasks it.
    ///
    /// # Errors
    /// Any of `Op::IrqAck`.
    pub fn acknowledge(&self) -> Result<(), SysError> {
        invoke::irq_ack(self.irq.addr())
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        if let Some((_, all)) = SOURCES.with(|s| s.clone()) {
            all.0.borrow_mut().remove(&self.number);
        }
    }
}
