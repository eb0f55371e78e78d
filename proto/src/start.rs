//! The start block: one read-only page that tells a process its name, arguments and capabilities.
//!
//! Words: magic, flags, argument count, bytes of arguments, given count, pid (2 words),
//! seed, then the given table (name 2 words, slot 1 word each) at [`GIVEN_OFFSET`], then the
//! arguments, each ended by a zero byte, at [`ARGS_OFFSET`]. Argument 0 is the program's name.

use abi::CapAddr;

use crate::wire::{Name, Pid};

/// Bytes of the block.
pub const BYTES: usize = 4096;
/// First word: "NKSTART" and the version.
pub const MAGIC: u64 = 0x0154_5241_5453_4b4e;
/// Offset of the given table.
pub const GIVEN_OFFSET: usize = 0x100;
/// Most capabilities given.
pub const MAX_GIVEN: usize = 64;
/// Offset of the arguments.
pub const ARGS_OFFSET: usize = 0x800;

/// `flags`: the machine runs under instruction counting, cross-core spins must pause.
pub const FLAG_ICOUNT: u64 = 1;
/// `flags`: the machine is emulated: times say nothing about hardware, and are labelled so.
pub const FLAG_EMULATED: u64 = 2;
/// `flags`: the program was started before, ended, and is started again.
pub const FLAG_AGAIN: u64 = 4;

/// Why a start block cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartError {
    /// The arguments have more than `BYTES - ARGS_OFFSET` bytes, or a zero byte.
    Arguments,
    /// More than [`MAX_GIVEN`] capabilities.
    Given,
}

/// What a start block says.
#[derive(Clone, Debug, Default)]
pub struct StartInfo<'a> {
    /// `FLAG_*`.
    pub flags: u64,
    /// Program name and arguments.
    pub args: &'a [&'a str],
    /// Names and slots of the capabilities given.
    pub given: &'a [(Name, CapAddr)],
    /// The process's own id.
    pub pid: Pid,
    /// A number that differs from start to start.
    pub seed: u64,
}

impl StartInfo<'_> {
    /// The bytes of the page.
    ///
    /// # Errors
    /// [`StartError`] when it does not fit.
    pub fn emit(&self) -> Result<[u8; BYTES], StartError> {
        let mut b = [0u8; BYTES];
        let mut put = |at: usize, w: u64| b[at..at + 8].copy_from_slice(&w.to_le_bytes());
        if self.given.len() > MAX_GIVEN {
            return Err(StartError::Given);
        }
        let arg_bytes: usize = self.args.iter().map(|a| a.len() + 1).sum();
        let zero = self.args.iter().any(|a| a.as_bytes().contains(&0));
        if arg_bytes > BYTES - ARGS_OFFSET || zero {
            return Err(StartError::Arguments);
        }
        let words = [
            MAGIC,
            self.flags,
            self.args.len() as u64,
            arg_bytes as u64,
            self.given.len() as u64,
            self.pid.osnode,
            self.pid.number,
            self.seed,
        ];
        for (i, w) in words.into_iter().enumerate() {
            put(8 * i, w);
        }
        for (i, (name, slot)) in self.given.iter().enumerate() {
            let [n0, n1] = name.words();
            for (k, w) in [n0, n1, u64::from(slot.0)].into_iter().enumerate() {
                put(GIVEN_OFFSET + 24 * i + 8 * k, w);
            }
        }
        let mut at = ARGS_OFFSET;
        for a in self.args {
            b[at..at + a.len()].copy_from_slice(a.as_bytes());
            at += a.len() + 1;
        }
        Ok(b)
    }
}

/// A start block as read; total on any bytes.
#[derive(Clone, Copy, Debug)]
pub struct StartBlock<'a>(&'a [u8]);

impl<'a> StartBlock<'a> {
    /// Reads a block; `None` unless it begins with [`MAGIC`] and has [`BYTES`] bytes.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<StartBlock<'a>> {
        let block = StartBlock(bytes);
        (bytes.len() >= BYTES && block.word(0) == MAGIC).then_some(block)
    }
    fn word(&self, at: usize) -> u64 {
        let mut w = [0; 8];
        match self.0.get(at..at + 8) {
            Some(b) => w.copy_from_slice(b),
            None => return 0,
        }
        u64::from_le_bytes(w)
    }
    /// `FLAG_*`.
    #[must_use]
    pub fn flags(&self) -> u64 {
        self.word(8)
    }
    /// The process's id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid {
            osnode: self.word(40),
            number: self.word(48),
        }
    }
    /// A number that differs from start to start.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.word(56)
    }
    /// Program name and arguments (those that are not UTF-8 read as empty).
    pub fn args(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let len = (self.word(24) as usize).min(BYTES - ARGS_OFFSET);
        let count = self.word(16) as usize;
        self.0[ARGS_OFFSET..ARGS_OFFSET + len]
            .split(|b| *b == 0)
            .take(count)
            .map(|a| core::str::from_utf8(a).unwrap_or(""))
    }
    /// Names and slots of the given capabilities.
    pub fn given(&self) -> impl Iterator<Item = (Name, CapAddr)> + use<'a> {
        let this = *self;
        let count = (this.word(32) as usize).min(MAX_GIVEN);
        (0..count).filter_map(move |i| {
            let w = |k: usize| this.word(GIVEN_OFFSET + 24 * i + 8 * k);
            let name = Name::from_words([w(0), w(1)])?;
            Some((name, CapAddr(w(2) as u32)))
        })
    }
}
