//! The ring of a UMP channel: messages of one cache line in shared memory.
//!
//! The channel's memory is lines of eight words. Line 0 is written by side 0 only, line 1 by
//! side 1 only (*control lines*: messages taken so far, and whether the side sleeps). Then come
//! N lines written by side 0, then N lines written by side 1, N = (lines − 2) / 2.
//! A message line is seven payload words and, stored last with release, a word that has
//! the sequence number (48 bits, one more for each message) and 16 flag bits.
//!
//! Flow control: a sender may be at most N messages ahead of the count in the peer's
//! control line. Sleeping: see [`Ring::prepare_sleep`]; after each message or count that it
//! publishes, a side does a full fence and looks whether the peer sleeps (store–fence–recheck,
//! DESIGN §4), after a count whether it sleeps for that. Nothing that the peer writes is trusted: counts out of range end the channel.

/// Words of a line.
pub const LINE_WORDS: usize = 8;
/// Payload words of a message.
pub const PAYLOAD_WORDS: usize = 7;
/// Fewest lines of a channel: two control lines and one message line each way.
pub const MIN_LINES: usize = 4;

const SEQ_MASK: u64 = (1 << 48) - 1;
const CTRL_TAKEN: usize = 0;
const CTRL_SLEEPING: usize = 1;
const CTRL_CLOSED: usize = 2;

/// In the word that says whether a side sleeps: until a message comes.
const SLEEPS: u64 = 1;
/// Until a message comes, or room for one.
const SLEEPS_FOR_CREDIT: u64 = 2;

/// The shared memory, word by word. An index is below `len()`; each access is single-copy atomic.
pub trait SharedWords {
    /// Words of the channel's memory.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Loads, relaxed.
    fn load(&self, index: usize) -> u64;
    /// Loads, acquire.
    fn load_acquire(&self, index: usize) -> u64;
    /// Stores, relaxed.
    fn store(&self, index: usize, value: u64);
    /// Stores, release.
    fn store_release(&self, index: usize, value: u64);
    /// A full fence (sequentially consistent).
    fn fence(&self);
}

/// Which side of the channel one is. The asker of a binding is `A`, the service `B`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Side 0.
    A = 0,
    /// Side 1.
    B = 1,
}

/// A message as it stood in its line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Line {
    /// Payload.
    pub words: [u64; PAYLOAD_WORDS],
    /// Flags of the sender.
    pub flags: u16,
}

/// Why the ring cannot go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RingError {
    /// No credit: the peer has not taken enough yet.
    Full,
    /// The peer closed the channel, and every message before that was taken.
    Closed,
    /// The peer wrote what no correct peer writes; the channel is dead.
    Broken,
    /// The memory is too small for a channel.
    TooSmall,
}

/// What must happen after a publication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Wake {
    /// The peer polls.
    No,
    /// The peer sleeps: notify it.
    Peer,
}

/// One side's view of a channel: the shared words and what this side alone knows.
#[derive(Debug)]
pub struct Ring<M> {
    mem: M,
    side: Side,
    lines: u64,
    /// Messages sent, and where the next one goes.
    sent: u64,
    send_at: u64,
    /// Messages of ours that the peer is known to have taken.
    peer_taken: u64,
    /// Messages taken, and where the next one stands.
    taken: u64,
    take_at: u64,
    /// Count last published in our control line.
    published: u64,
    broken: bool,
}

impl<M: SharedWords> Ring<M> {
    /// One side of the channel in `mem`, whose words are all zero at the start of the channel.
    ///
    /// # Errors
    /// [`RingError::TooSmall`] below [`MIN_LINES`] lines.
    pub fn new(mem: M, side: Side) -> Result<Ring<M>, RingError> {
        let lines = mem.len() / LINE_WORDS;
        if lines < MIN_LINES {
            return Err(RingError::TooSmall);
        }
        Ok(Ring {
            mem,
            side,
            lines: (lines as u64 - 2) / 2,
            sent: 0,
            send_at: 0,
            peer_taken: 0,
            taken: 0,
            take_at: 0,
            published: 0,
            broken: false,
        })
    }

    /// Messages that fit each way.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.lines
    }

    /// The shared memory.
    pub fn memory(&self) -> &M {
        &self.mem
    }

    /// Which side this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.side
    }

    fn own_control(&self, word: usize) -> usize {
        self.side as usize * LINE_WORDS + word
    }
    fn peer_control(&self, word: usize) -> usize {
        (1 - self.side as usize) * LINE_WORDS + word
    }
    fn message_line(&self, writer: usize, at: u64) -> usize {
        (2 + writer * self.lines as usize + at as usize) * LINE_WORDS
    }

    /// Reads the peer's count when what is known does not suffice.
    fn refresh_credit(&mut self) -> Result<(), RingError> {
        let taken = self.mem.load_acquire(self.peer_control(CTRL_TAKEN));
        if taken < self.peer_taken || taken > self.sent {
            self.broken = true;
            return Err(RingError::Broken);
        }
        self.peer_taken = taken;
        Ok(())
    }

    /// Messages that may be sent now.
    ///
    /// # Errors
    /// [`RingError::Broken`].
    pub fn credit(&mut self) -> Result<u64, RingError> {
        if self.broken {
            return Err(RingError::Broken);
        }
        if self.sent - self.peer_taken >= self.lines {
            self.refresh_credit()?;
        }
        Ok(self.lines - (self.sent - self.peer_taken))
    }

    /// Sends one message. The answer says whether the peer must be notified.
    ///
    /// # Errors
    /// [`RingError::Full`] (nothing was sent), [`RingError::Broken`], [`RingError::Closed`].
    #[inline(always)]
    pub fn send(&mut self, message: &Line) -> Result<Wake, RingError> {
        let unsure = self.broken || self.sent - self.peer_taken >= self.lines;
        if unsure && self.credit()? == 0 {
            return Err(if self.peer_closed() {
                RingError::Closed
            } else {
                RingError::Full
            });
        }
        let line = self.message_line(self.side as usize, self.send_at);
        for (i, w) in message.words.iter().enumerate() {
            self.mem.store(line + i, *w);
        }
        self.sent += 1;
        let seq = self.sent & SEQ_MASK | u64::from(message.flags) << 48;
        self.mem.store_release(line + PAYLOAD_WORDS, seq);
        self.send_at = if self.send_at + 1 == self.lines {
            0
        } else {
            self.send_at + 1
        };
        Ok(self.look_for_sleeper(SLEEPS))
    }

    /// After a publication: full fence, then the peer's word, which must be at least `deep`.
    #[inline]
    fn look_for_sleeper(&self, deep: u64) -> Wake {
        self.mem.fence();
        if self.mem.load(self.peer_control(CTRL_SLEEPING)) < deep {
            Wake::No
        } else {
            Wake::Peer
        }
    }

    /// Whether a message is there.
    #[must_use]
    #[inline]
    pub fn has_message(&self) -> bool {
        let line = self.message_line(1 - self.side as usize, self.take_at);
        let word = self.mem.load_acquire(line + PAYLOAD_WORDS);
        word & SEQ_MASK == (self.taken + 1) & SEQ_MASK
    }

    /// Takes the next message, if there is one. The answer says whether the peer must be
    /// notified that it has credit again.
    ///
    /// # Errors
    /// [`RingError::Closed`] once the peer closed and all was taken; [`RingError::Broken`].
    #[inline(always)]
    pub fn receive(&mut self) -> Result<Option<(Line, Wake)>, RingError> {
        if self.broken {
            return Err(RingError::Broken);
        }
        let line = self.message_line(1 - self.side as usize, self.take_at);
        let word = self.mem.load_acquire(line + PAYLOAD_WORDS);
        if word & SEQ_MASK != (self.taken + 1) & SEQ_MASK {
            return self.nothing_there();
        }
        let mut message = Line {
            words: [0; PAYLOAD_WORDS],
            flags: (word >> 48) as u16,
        };
        for (i, w) in message.words.iter_mut().enumerate() {
            *w = self.mem.load(line + i);
        }
        self.taken += 1;
        self.take_at = if self.take_at + 1 == self.lines {
            0
        } else {
            self.take_at + 1
        };
        // Publishing every count would make the line bounce; half a ring keeps the sender going.
        let wake = if self.taken - self.published >= self.lines.div_ceil(2) {
            self.publish_taken()
        } else {
            Wake::No
        };
        Ok(Some((message, wake)))
    }

    /// No message: is it because the peer closed? Its last messages come before its mark.
    fn nothing_there(&self) -> Result<Option<(Line, Wake)>, RingError> {
        if self.peer_closed() && !self.has_message() {
            return Err(RingError::Closed);
        }
        Ok(None)
    }

    /// Whether the peer closed its side (messages of it may still be there).
    #[must_use]
    pub fn peer_closed(&self) -> bool {
        self.mem.load_acquire(self.peer_control(CTRL_CLOSED)) != 0
    }

    /// Tells the peer how many messages were taken so far.
    pub fn publish_taken(&mut self) -> Wake {
        self.published = self.taken;
        let at = self.own_control(CTRL_TAKEN);
        self.mem.store_release(at, self.taken);
        self.look_for_sleeper(SLEEPS_FOR_CREDIT)
    }

    /// Announces sleep, then looks again. `Ok(true)`: one may sleep until notified, and must
    /// call [`Ring::awake`] afterwards. `Ok(false)`: something is there, the announcement is
    /// withdrawn. `want_credit`: also look for room to send.
    ///
    /// The peer's count is published first, so that two sides that both wait always see
    /// what the other did: no wake-up is lost (checked under loom).
    ///
    /// # Errors
    /// [`RingError::Broken`], [`RingError::Closed`] (nothing will ever arrive).
    pub fn prepare_sleep(&mut self, want_credit: bool) -> Result<(bool, Wake), RingError> {
        let wake = if self.published == self.taken {
            Wake::No
        } else {
            self.publish_taken()
        };
        let at = self.own_control(CTRL_SLEEPING);
        let deep = if want_credit {
            SLEEPS_FOR_CREDIT
        } else {
            SLEEPS
        };
        self.mem.store(at, deep);
        self.mem.fence();
        let something = self.has_message()
            || self.peer_closed()
            || want_credit && !matches!(self.credit(), Ok(0));
        if something {
            self.mem.store(at, 0);
        }
        Ok((!something, wake))
    }

    /// Ends the announcement of [`Ring::prepare_sleep`].
    pub fn awake(&mut self) {
        let at = self.own_control(CTRL_SLEEPING);
        self.mem.store(at, 0);
    }

    /// Closes this side: the peer takes what was sent, then sees [`RingError::Closed`].
    pub fn close(&mut self) -> Wake {
        let at = self.own_control(CTRL_CLOSED);
        self.mem.store_release(at, 1);
        self.look_for_sleeper(SLEEPS)
    }
}
