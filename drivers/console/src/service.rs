//! The console service over any UART: one task for interrupts, one for requests.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;

use proto::ServiceError;
use proto::iface::console::{ConsoleReply, ConsoleRequest, written_bytes};
use rt::chan::{Attach, Request, Server};
use rt::io::Interrupt;
use rt::{SysError, task};

use crate::{Editor, Feedback, Output};

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
    /// Asks for an interrupt when there is room again, or no longer.
    ///
    /// # Errors
    /// A system call for the device failed.
    fn want_room(&mut self, wanted: bool) -> Result<(), SysError>;
    /// Whether everything sent has left the machine.
    ///
    /// # Errors
    /// A system call for the device failed.
    fn is_idle(&mut self) -> Result<bool, SysError>;
    /// Takes note of an interrupt (clears what the device latches).
    ///
    /// # Errors
    /// A system call for the device failed.
    fn interrupted(&mut self) -> Result<(), SysError>;
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
    /// A `ReadLine` or `ReadKey` that waits.
    reader: Option<(Request, bool)>,
    /// Further readers.
    waiting: VecDeque<(Request, bool)>,
    /// Writes and flushes to be answered when their ticket is done.
    unanswered: VecDeque<(Request, u64)>,
}

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
    let state = Rc::new(RefCell::new(State {
        uart,
        output: Output::new(),
        keys: VecDeque::new(),
        held_up: false,
        editor: Editor::new(""),
        reader: None,
        waiting: VecDeque::new(),
        unanswered: VecDeque::new(),
    }));
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
    if let Err(e) = server.register("console").await {
        rt::io::log(format_args!("{name}: cannot register the service: {e}\n"));
        return 1;
    }
    loop {
        let request = server.next().await;
        let mut s = state.borrow_mut();
        s.take(request);
        if let Err(e) = s.go_on() {
            rt::io::log(format_args!("console: the device fails: {}\n", e.message()));
        }
    }
}

impl<U: Uart> State<U> {
    fn serve_interrupt(&mut self) -> Result<(), SysError> {
        self.uart.interrupted()?;
        self.take_keys()?;
        self.pump()
    }

    /// After a request: takes what the device had to keep, and sends what waits.
    fn go_on(&mut self) -> Result<(), SysError> {
        if self.held_up {
            self.take_keys()?;
        }
        self.pump()
    }

    /// Takes keys from the device until it has none. Those without a place stay there until
    /// somebody reads: a full device holds the sender up, where a dropped key would be lost.
    fn take_keys(&mut self) -> Result<(), SysError> {
        loop {
            while self.keys.len() < MAX_KEYS {
                let Some(b) = self.uart.receive()? else {
                    self.held_up = false;
                    self.feed_readers();
                    return Ok(());
                };
                self.keys.push_back(b);
            }
            self.feed_readers();
            if self.keys.len() == MAX_KEYS {
                self.held_up = true;
                return Ok(());
            }
        }
    }

    /// Takes one request over: it is answered now or later.
    fn take(&mut self, request: Request) {
        match request.decode::<ConsoleRequest>() {
            Ok(ConsoleRequest::Write { len, low, high }) => {
                let (bytes, n) = written_bytes(len, low, high);
                self.write(request, &bytes[..n]);
            }
            Ok(ConsoleRequest::WriteBlob {}) => {
                let bytes = request.blob.clone();
                self.write(request, &bytes);
            }
            Ok(ConsoleRequest::Flush {}) => {
                let ticket = self.output.write(&[]);
                self.unanswered.push_back((request, ticket));
            }
            Ok(ConsoleRequest::ReadLine {}) => self.read(request, true),
            Ok(ConsoleRequest::ReadKey {}) => self.read(request, false),
            Err(_) => {
                let error = ServiceError::BadMessage;
                // A client that is gone needs no answer; so everywhere below.
                let _ = request.answer(&ConsoleReply::Refused { error }, Attach::NONE);
            }
        }
    }

    fn write(&mut self, request: Request, bytes: &[u8]) {
        let ticket = self.output.write(bytes);
        if self.output.is_full() {
            self.unanswered.push_back((request, ticket));
        } else {
            let _ = request.answer(&ConsoleReply::Written {}, Attach::NONE);
        }
    }

    fn read(&mut self, request: Request, line: bool) {
        if self.reader.is_some() {
            self.waiting.push_back((request, line));
            return;
        }
        self.begin(request, line);
        self.feed_readers();
    }

    fn begin(&mut self, request: Request, line: bool) {
        if line {
            let mut shown = String::new();
            self.editor.set_prompt(&request.text());
            self.editor.start(&mut shown);
            self.output.write(shown.as_bytes());
        }
        self.reader = Some((request, line));
    }

    /// Gives typed keys to whoever reads.
    fn feed_readers(&mut self) {
        loop {
            if self.reader.is_none() {
                let Some((request, line)) = self.waiting.pop_front() else {
                    return;
                };
                self.begin(request, line);
            }
            let Some(key) = self.keys.pop_front() else {
                return;
            };
            self.key(key);
        }
    }

    fn key(&mut self, byte: u8) {
        let Some((request, line)) = self.reader.take() else {
            return;
        };
        if !line {
            let _ = request.answer(&ConsoleReply::Key { byte }, Attach::NONE);
            return;
        }
        let mut shown = String::new();
        let feedback = self.editor.feed(byte, &mut shown);
        self.output.write(shown.as_bytes());
        let (reply, text) = match feedback {
            Feedback::Editing => {
                self.reader = Some((request, line));
                return;
            }
            Feedback::Line(text) => (ConsoleReply::Line {}, text),
            Feedback::Interrupted => (ConsoleReply::Line {}, String::new()),
            Feedback::End => {
                let error = ServiceError::End;
                (ConsoleReply::Refused { error }, String::new())
            }
        };
        let _ = request.answer(&reply, Attach::blob(text.as_bytes()));
    }

    /// Sends what the device takes; answers what is done.
    fn pump(&mut self) -> Result<(), SysError> {
        while let Some(b) = self.output.peek() {
            if !self.uart.send(b)? {
                break;
            }
            self.output.advance();
        }
        self.uart.want_room(self.output.peek().is_some())?;
        while let Some((_, ticket)) = self.unanswered.front() {
            if !self.output.is_done(*ticket) {
                break;
            }
            // What the device still holds leaves in microseconds; polling is shorter than an interrupt.
            while !self.uart.is_idle()? {
                rt::time::spin_pause();
            }
            if let Some((request, _)) = self.unanswered.pop_front() {
                let _ = request.answer(&ConsoleReply::Written {}, Attach::NONE);
            }
        }
        Ok(())
    }
}
