//! The console service over any UART: one task for interrupts, one for requests.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use proto::iface::console::{
    Console, ConsoleServer, Interrupted, Key, Line, Written, written_bytes,
};
use proto::{Later, Refusal, ServiceError};
use rt::chan::{Request, Server};
use rt::io::Interrupt;
use rt::{SysError, task};

use crate::{Editor, Feedback, Output, take_interrupt};

/// A serial port whose interrupt the service waits for.
pub trait Uart {
    /// A byte that arrived.
    ///
    /// # Errors
    /// A system call for the device failed.
    fn receive(&mut self) -> Result<Option<u8>, SysError>;
    /// Sends a byte if there is room; whether it was taken.
    ///
    /// # Errors
    /// A system call for the device failed.
    fn send(&mut self, byte: u8) -> Result<bool, SysError>;
    /// What it interrupts for from now on: a byte that arrived, room for one to send. What came
    /// unwanted interrupts when it gets wanted.
    ///
    /// # Errors
    /// A system call for the device failed.
    fn want(&mut self, keys: bool, room: bool) -> Result<(), SysError>;
    /// Whether everything sent has left the machine.
    ///
    /// # Errors
    /// A system call for the device failed.
    fn is_idle(&mut self) -> Result<bool, SysError>;
    /// Whether the device asks for an interrupt; clears what it latches.
    ///
    /// # Errors
    /// A system call for the device failed.
    fn interrupted(&mut self) -> Result<bool, SysError>;
}

/// Keys typed ahead that are kept.
const MAX_KEYS: usize = 1024;

struct State<U> {
    uart: U,
    output: Output,
    keys: VecDeque<u8>,
    /// The device holds more keys than found a place in `keys`.
    held_up: bool,
    editor: Editor,
    /// Who reads.
    reader: Option<Reader>,
    /// Further readers.
    waiting: VecDeque<Reader>,
    /// Who wants to know of a Ctrl-C that no reader takes.
    interruptible: Option<Later<Interrupted, Request>>,
    /// Writes and flushes to be answered when their ticket is done.
    unanswered: VecDeque<(Writer, u64)>,
}

/// Who waits for input.
enum Reader {
    /// For a line, behind a prompt.
    Line(Later<Line, Request>, String),
    /// For a key.
    Key(Later<Key, Request>),
}

/// The console as it is asked.
struct Served<U>(Rc<RefCell<State<U>>>);

impl<U: Uart> Served<U> {
    fn with(&self, take: impl FnOnce(&mut State<U>)) {
        let mut s = self.0.borrow_mut();
        take(&mut s);
        if let Err(e) = s.go_on() {
            rt::io::log(format_args!("console: the device fails: {}\n", e.message()));
        }
    }
}

impl<U: Uart> ConsoleServer<Request> for Served<U> {
    fn write(&self, asker: Writer, len: u8, low: (u64, u64), high: (u64, u64)) {
        let (bytes, n) = written_bytes(len, low, high);
        self.with(|s| s.write(asker, &bytes[..n]));
    }
    fn write_text(&self, asker: Writer, text: Vec<u8>) {
        self.with(|s| s.write(asker, &text));
    }
    fn read_line(&self, asker: Later<Line, Request>, prompt: Vec<u8>) {
        let prompt = String::from_utf8_lossy(&prompt).into_owned();
        self.with(|s| s.read(Reader::Line(asker, prompt)));
    }
    fn read_key(&self, asker: Later<Key, Request>) {
        self.with(|s| s.read(Reader::Key(asker)));
    }
    fn flush(&self, asker: Writer) {
        self.with(|s| {
            let ticket = s.output.write(&[]);
            s.unanswered.push_back((asker, ticket));
        });
    }
    fn await_interrupt(&self, asker: Later<Interrupted, Request>) {
        self.with(|s| {
            if let Some(before) = s.interruptible.replace(asker) {
                before.answer(Err(ServiceError::End.into()));
            }
            s.interrupt();
        });
    }
}

/// Who writes.
type Writer = Later<Written, Request>;

/// Serves the console until the service cannot go on; returns an exit status.
pub async fn serve<U: Uart + 'static>(name: &str, uart: U, interrupt: Interrupt) -> i32 {
    let server = match Server::open() {
        Ok(s) => s,
        Err(e) => {
            rt::io::log(format_args!(
                "{name}: no endpoint for the service: {}\n",
                e.message()
            ));
            return 1;
        }
    };
    let state = Rc::new(RefCell::new(State::new(uart)));
    // What was typed before there was an interrupt for it.
    if let Err(e) = state.borrow_mut().take_keys() {
        rt::io::log(format_args!("{name}: the device fails: {}\n", e.message()));
    }
    let shared = state.clone();
    task::spawn(async move {
        loop {
            interrupt.next().await;
            if let Err(e) = shared.borrow_mut().serve_interrupt() {
                rt::io::log(format_args!("console: the device fails: {}\n", e.message()));
            }
            // A failed acknowledgement leaves the source masked; output still goes out by polling.
            let _ = interrupt.acknowledge();
        }
    });
    server.offer::<Console>();
    if let Err(e) = server.register("console").await {
        rt::io::log(format_args!("{name}: cannot register the service: {e}\n"));
        return 1;
    }
    match server.serve::<Console, _>(&Served(state)).await {}
}

impl<U: Uart> State<U> {
    fn new(uart: U) -> State<U> {
        State {
            uart,
            output: Output::new(),
            keys: VecDeque::new(),
            held_up: false,
            editor: Editor::new(""),
            reader: None,
            waiting: VecDeque::new(),
            interruptible: None,
            unanswered: VecDeque::new(),
        }
    }

    /// Serves the device until it asks for nothing. An interrupt is the rise of its line: what comes
    /// while the line is up for something else raises nothing, and would never be heard of.
    fn serve_interrupt(&mut self) -> Result<(), SysError> {
        // Some devices ask for a byte that they do not have, and would for ever. One round in vain may have been
        // for keys without a place, beside which room came up.
        let mut in_vain = 0;
        while in_vain < 2 && self.uart.interrupted()? {
            let taken = self.take_keys()?;
            let sent = self.pump()?;
            in_vain = if taken || sent { 0 } else { in_vain + 1 };
        }
        Ok(())
    }

    /// After a request: takes what the device had to keep, and sends what waits.
    fn go_on(&mut self) -> Result<(), SysError> {
        if self.held_up {
            self.take_keys()?;
        }
        self.pump().map(drop)
    }

    /// Takes keys from the device until it has none; whether there was one. Those without a place stay there until
    /// somebody reads: a full device holds the sender up, where a dropped key would be lost.
    fn take_keys(&mut self) -> Result<bool, SysError> {
        let mut taken = false;
        loop {
            while self.keys.len() < MAX_KEYS {
                let Some(b) = self.uart.receive()? else {
                    self.held_up = false;
                    self.feed_readers();
                    self.interrupt();
                    return Ok(taken);
                };
                self.keys.push_back(b);
                taken = true;
            }
            self.feed_readers();
            self.interrupt();
            if self.keys.len() == MAX_KEYS {
                self.held_up = true;
                return Ok(taken);
            }
        }
    }

    fn write(&mut self, asker: Writer, bytes: &[u8]) {
        let ticket = self.output.write(bytes);
        if self.output.is_full() {
            self.unanswered.push_back((asker, ticket));
        } else {
            asker.answer(Ok(Written {}));
        }
    }

    fn read(&mut self, reader: Reader) {
        if self.reader.is_some() {
            self.waiting.push_back(reader);
            return;
        }
        self.begin(reader);
        self.feed_readers();
    }

    fn begin(&mut self, reader: Reader) {
        if let Reader::Line(_, prompt) = &reader {
            let mut shown = String::new();
            self.editor.set_prompt(prompt);
            self.editor.start(&mut shown);
            self.output.write(shown.as_bytes());
        }
        self.reader = Some(reader);
    }

    /// Gives typed keys to whoever reads.
    fn feed_readers(&mut self) {
        loop {
            if self.reader.is_none() {
                let Some(reader) = self.waiting.pop_front() else {
                    return;
                };
                self.begin(reader);
            }
            let Some(key) = self.keys.pop_front() else {
                return;
            };
            self.key(key);
        }
    }

    /// Tells of a Ctrl-C among the keys that nobody reads.
    fn interrupt(&mut self) {
        if self.reader.is_none()
            && let Some(asker) = self.interruptible.take()
        {
            if take_interrupt(&mut self.keys) {
                self.output.write(b"^C\n");
                asker.answer(Ok(Interrupted {}));
            } else {
                self.interruptible = Some(asker);
            }
        }
    }

    fn key(&mut self, byte: u8) {
        let (asker, prompt) = match self.reader.take() {
            Some(Reader::Line(asker, prompt)) => (asker, prompt),
            Some(Reader::Key(asker)) => {
                asker.answer(Ok(Key { byte }));
                return;
            }
            None => return,
        };
        let mut shown = String::new();
        let feedback = self.editor.feed(byte, &mut shown);
        self.output.write(shown.as_bytes());
        let text = match feedback {
            Feedback::Editing => {
                self.reader = Some(Reader::Line(asker, prompt));
                return;
            }
            Feedback::Line(text) => Ok(text),
            Feedback::TooLong | Feedback::Interrupted => Ok(String::new()),
            Feedback::End => Err(Refusal::from(ServiceError::End)),
        };
        asker.answer(text.map(|text| Line {
            text: text.into_bytes(),
        }));
    }

    /// Sends what the device takes; answers what is done. Whether anything was sent.
    fn pump(&mut self) -> Result<bool, SysError> {
        let mut sent = false;
        while let Some(b) = self.output.peek() {
            if !self.uart.send(b)? {
                break;
            }
            self.output.advance();
            sent = true;
        }
        // Keys without a place are not asked for: they would keep the line up.
        self.uart
            .want(!self.held_up, self.output.peek().is_some())?;
        while let Some((_, ticket)) = self.unanswered.front() {
            if !self.output.is_done(*ticket) {
                break;
            }
            // What the device still holds leaves in microseconds; polling is shorter than an interrupt.
            while !self.uart.is_idle()? {
                rt::time::spin_pause();
            }
            if let Some((asker, _)) = self.unanswered.pop_front() {
                asker.answer(Ok(Written {}));
            }
        }
        Ok(sent)
    }
}

#[cfg(test)]
mod tests;
