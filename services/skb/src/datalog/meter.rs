//! The bound on work and memory: an error to the asker, never a hang.

use super::error::Error;
use alloc::string::{String, ToString};

/// How much one request may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Rows looked at and literals tested.
    pub steps: u64,
    /// Bytes of all facts, derived ones and those in flight included (estimated from above
    /// within a small factor).
    pub bytes: usize,
}

impl Default for Limits {
    /// A few seconds on the slowest board, and 32 MiB.
    fn default() -> Self {
        Self {
            steps: 10_000_000,
            bytes: 32 << 20,
        }
    }
}

/// What a request took.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Work {
    /// Rows looked at and literals tested.
    pub steps: u64,
    /// Largest number of bytes held at once.
    pub bytes: usize,
}

/// Counts one request.
pub(super) struct Meter {
    limits: Limits,
    steps: u64,
    bytes: usize,
    peak: usize,
    /// What is being evaluated, for the error.
    pub what: String,
}

impl Meter {
    /// `bytes` are held already.
    pub fn new(limits: Limits, bytes: usize) -> Self {
        Self {
            limits,
            steps: 0,
            bytes,
            peak: bytes,
            what: "the request".to_string(),
        }
    }

    /// One more step.
    pub fn step(&mut self) -> Result<(), Error> {
        self.steps += 1;
        if self.steps > self.limits.steps {
            return Err(Error::Steps(self.limits.steps, self.what.clone()));
        }
        Ok(())
    }

    /// More bytes are held.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.peak = self.peak.max(self.bytes);
        if self.bytes > self.limits.bytes {
            return Err(Error::Bytes(self.limits.bytes, self.what.clone()));
        }
        Ok(())
    }

    /// Bytes are given back.
    pub fn release(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// What was counted.
    pub fn work(&self) -> Work {
        Work {
            steps: self.steps,
            bytes: self.peak,
        }
    }
}
