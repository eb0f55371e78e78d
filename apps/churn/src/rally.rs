//! A numbered, hashed ball between two processes: never more and never less than one in flight.
//!
//! Both sides fold each ball into a running hash. A lost, doubled, reordered or
//! damaged ball, or a receiver that was never woken for it, cannot go unseen.

use core::fmt;

/// What goes back and forth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ball {
    /// From 0 on, one more at each serve.
    pub number: u64,
    /// Running hash of the sender.
    pub hash: u64,
    /// Some bits that depend on the number.
    pub filling: u64,
}

impl Ball {
    fn new(number: u64, hash: u64) -> Ball {
        Ball {
            number,
            hash,
            filling: mix(number, 0x6e65_6b74_6f6e),
        }
    }
    /// The words of the message.
    #[must_use]
    pub fn words(self) -> [u64; 3] {
        [self.number, self.hash, self.filling]
    }
    /// Reads the words.
    #[must_use]
    pub fn from_words(w: [u64; 3]) -> Ball {
        Ball {
            number: w[0],
            hash: w[1],
            filling: w[2],
        }
    }
}

/// Folds a word into a hash (splitmix64's finisher over both).
fn mix(hash: u64, word: u64) -> u64 {
    let mut x = hash.rotate_left(23) ^ word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// What went wrong in a rally.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RallyFault {
    /// (expected, got): a ball is missing or came twice.
    Number(u64, u64),
    /// The ball with this number is damaged, or one before it was.
    Hash(u64),
    /// (number, ns): nobody answered this ball for so long: a message or notification was lost.
    Unanswered(u64, u64),
}

impl fmt::Display for RallyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(want, got) => write!(f, "ball {want} was to come, not {got}"),
            Self::Hash(n) => write!(f, "ball {n} does not carry the right hash"),
            Self::Unanswered(n, ns) => write!(
                f,
                "ball {n} is unanswered after {ns} ns: a message or notification was lost"
            ),
        }
    }
}

/// The side that serves.
#[derive(Clone, Debug, Default)]
pub struct Rally {
    number: u64,
    hash: u64,
    in_flight_since: Option<u64>,
    returned: u64,
    slowest_ns: u64,
    fault: Option<RallyFault>,
}

impl Rally {
    /// Before the first serve.
    #[must_use]
    pub fn new() -> Rally {
        Rally::default()
    }
    /// The next ball, served at `now`.
    pub fn serve(&mut self, now: u64) -> Ball {
        self.in_flight_since = Some(now);
        Ball::new(self.number, self.hash)
    }
    /// A ball came back at `now`.
    pub fn returned(&mut self, ball: Ball, now: u64) {
        let expected = answer(Ball::new(self.number, self.hash));
        if ball.number != expected.number {
            self.fail(RallyFault::Number(expected.number, ball.number));
        } else if ball != expected {
            self.fail(RallyFault::Hash(ball.number));
        }
        if let Some(since) = self.in_flight_since.take() {
            self.slowest_ns = self.slowest_ns.max(now.saturating_sub(since));
        }
        self.returned += 1;
        self.number = expected.number.wrapping_add(1);
        self.hash = mix(expected.hash, expected.filling);
    }
    fn fail(&mut self, fault: RallyFault) {
        self.fault.get_or_insert(fault);
    }
    /// Looks at the rally at `now`: a ball in flight for more than `grace` ns is a fault.
    pub fn check(&mut self, now: u64, grace: u64) -> Option<RallyFault> {
        if let Some(since) = self.in_flight_since {
            let waited = now.saturating_sub(since);
            if waited > grace {
                self.fail(RallyFault::Unanswered(self.number, waited));
            }
        }
        self.fault
    }
    /// Balls that came back.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.returned
    }
    /// Longest time that a ball was away, in ns.
    #[must_use]
    pub fn slowest_ns(&self) -> u64 {
        self.slowest_ns
    }
}

/// What a right peer sends back for a ball.
fn answer(ball: Ball) -> Ball {
    Ball::new(ball.number, mix(mix(ball.hash, ball.number), ball.filling))
}

/// The side that returns.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    next: u64,
    fault: Option<RallyFault>,
}

impl Peer {
    /// Before the first ball.
    #[must_use]
    pub fn new() -> Peer {
        Peer::default()
    }
    /// A ball came: what to send back.
    pub fn hit(&mut self, ball: Ball) -> Ball {
        if ball.number != self.next {
            self.fault
                .get_or_insert(RallyFault::Number(self.next, ball.number));
        } else if ball.filling != Ball::new(ball.number, 0).filling {
            self.fault.get_or_insert(RallyFault::Hash(ball.number));
        }
        self.next = ball.number.wrapping_add(1);
        answer(ball)
    }
    /// The first fault seen.
    #[must_use]
    pub fn fault(&self) -> Option<RallyFault> {
        self.fault
    }
    /// Balls returned.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.next
    }
}
