//! Bytes on their way out: a queue that says when its writers should wait.

use alloc::collections::VecDeque;

/// Bytes from which on writers wait.
const HIGH: usize = 16 * 1024;

/// The queue. Each write gets a ticket; a ticket is *done* when its last byte has left the queue.
#[derive(Clone, Debug, Default)]
pub struct Output {
    bytes: VecDeque<u8>,
    put: u64,
    taken: u64,
}

impl Output {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Output {
        Output::default()
    }
    /// Appends bytes, a lone line feed becoming carriage return and line feed; returns the ticket.
    pub fn write(&mut self, bytes: &[u8]) -> u64 {
        for b in bytes {
            let after_return = self.bytes.back() == Some(&b'\r');
            if *b == b'\n' && !after_return {
                self.push(b'\r');
            }
            self.push(*b);
        }
        self.put
    }
    fn push(&mut self, b: u8) {
        self.bytes.push_back(b);
        self.put += 1;
    }
    /// The next byte, which stays.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.front().copied()
    }
    /// The byte that [`Output::peek`] showed has left.
    pub fn advance(&mut self) {
        if self.bytes.pop_front().is_some() {
            self.taken += 1;
        }
    }
    /// Whether everything up to this ticket has left.
    #[must_use]
    pub fn is_done(&self, ticket: u64) -> bool {
        self.taken >= ticket
    }
    /// Whether a writer should wait before it is answered.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= HIGH
    }
}
