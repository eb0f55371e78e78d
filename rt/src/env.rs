//! What the process was started with.

use core::sync::atomic::{AtomicU64, Ordering};

use abi::{CapAddr, bootinfo, disp, slots, vaddr};
use proto::Pid;
use proto::start::{self, StartBlock};

use crate::invoke;
use crate::single::Single;
use crate::vspace::{self, Access};

/// `proto::start::FLAG_*` of this process.
static FLAGS: AtomicU64 = AtomicU64::new(0);

/// Words of the command line, and what they stand for.
const FLAG_WORDS: [(&str, u64); 2] = [
    ("icount", start::FLAG_ICOUNT),
    ("emulated", start::FLAG_EMULATED),
];

fn block() -> Option<StartBlock<'static>> {
    // SAFETY: the page at START_BLOCK is mapped, read only, in every process for as long as it
    // lives, and its writer finished before the process started.
    let bytes =
        unsafe { core::slice::from_raw_parts(vaddr::START_BLOCK as *const u8, start::BYTES) };
    StartBlock::parse(bytes)
}

/// Reads what is asked often.
pub(crate) fn init() {
    let mut flags = block().map(|b| b.flags()).unwrap_or_default();
    if let Some(info) = boot_info() {
        let told = FLAG_WORDS.iter().filter(|(word, _)| info.has_word(word));
        flags |= told.fold(0, |all, (_, flag)| all | flag);
    }
    // Whom it starts begins for the first time.
    FLAGS.store(flags & !start::FLAG_AGAIN, Ordering::Relaxed);
}

/// Program name and arguments.
pub fn args() -> impl Iterator<Item = &'static str> {
    block().into_iter().flat_map(|b| b.args())
}

/// The program's name.
#[must_use]
pub fn program() -> &'static str {
    args().next().unwrap_or("first")
}

/// The capability given under this name.
#[must_use]
pub fn given(name: &str) -> Option<CapAddr> {
    let mut all = block()?.given();
    all.find(|(n, _)| n.as_str() == name).map(|(_, slot)| slot)
}

/// Every capability given, with its name.
pub fn all_given() -> impl Iterator<Item = (proto::Name, CapAddr)> {
    block().into_iter().flat_map(|b| b.given())
}

/// Whether the program ended before and was started again.
#[must_use]
pub fn is_again() -> bool {
    block().is_some_and(|b| b.flags() & start::FLAG_AGAIN != 0)
}

/// The process's id (0.0 for an OSnode's first process).
#[must_use]
pub fn pid() -> Pid {
    block().map(|b| b.pid()).unwrap_or_default()
}

/// A number that differs from start to start.
#[must_use]
pub fn seed() -> u64 {
    block().map(|b| b.seed()).unwrap_or_default()
}

/// `proto::start::FLAG_*` that the process was started with, or follow from the command line, for whom it starts itself.
#[must_use]
pub fn flags() -> u64 {
    FLAGS.load(Ordering::Relaxed)
}

/// Whether spins must pause (instruction counting).
#[must_use]
#[inline]
pub fn is_icount() -> bool {
    flags() & start::FLAG_ICOUNT != 0
}

/// Whether the machine is emulated: a time that is printed says so then.
#[must_use]
pub fn is_emulated() -> bool {
    flags() & start::FLAG_EMULATED != 0
}

/// A word of the dispatcher page.
pub(crate) fn page_word(offset: u64) -> &'static AtomicU64 {
    // SAFETY: the dispatcher frame is mapped in every process for as long as it lives, shared
    // with the kernel, so only atomics reach it; offsets are 8-aligned and inside the frame.
    unsafe { &*((vaddr::DISP_FRAME + offset) as *const AtomicU64) }
}

/// OSnode that the process belongs to.
#[must_use]
pub fn osnode() -> u64 {
    page_word(disp::OSNODE).load(Ordering::Relaxed)
}

/// Core that the OSnode runs on now.
#[must_use]
pub fn core() -> u32 {
    page_word(disp::CORE).load(Ordering::Relaxed) as u32
}

/// Attach epoch of the OSnode.
#[must_use]
pub fn epoch() -> u64 {
    page_word(disp::EPOCH).load(Ordering::Relaxed)
}

/// Boot information (an OSnode's first process only).
#[must_use]
pub fn boot_info() -> Option<BootInfo> {
    // Only a first process has the capability, and then the frame is mapped.
    invoke::identify(slots::BOOT_INFO).ok()?;
    // SAFETY: mapped, read only, and written before the process started.
    let bytes = unsafe {
        core::slice::from_raw_parts(vaddr::BOOT_INFO as *const u8, bootinfo::BYTES as usize)
    };
    let info = BootInfo(bytes);
    (info.word(bootinfo::word::MAGIC) == bootinfo::MAGIC).then_some(info)
}

#[cfg_attr(nekton_user, thread_local)]
static ARCHIVE: Single<Option<&'static [u8]>> = Single::new(None);

/// The boot archive's bytes, mapped at the first call (`None` without its Frame).
#[must_use]
pub fn archive() -> Option<&'static [u8]> {
    if let Some(mapped) = ARCHIVE.with(|a| *a) {
        return Some(mapped);
    }
    let size = invoke::identify(slots::ARCHIVE).ok()?.cap.size;
    let at = vspace::map(slots::ARCHIVE, 0, size, Access::Read)
        .ok()?
        .leak();
    // SAFETY: mapped for ever; the archive's memory is read only everywhere once the loader is done.
    let bytes = unsafe { core::slice::from_raw_parts(at as *const u8, size as usize) };
    ARCHIVE.with(|a| *a = Some(bytes));
    Some(bytes)
}

/// The boot information frame.
#[derive(Clone, Copy, Debug)]
pub struct BootInfo(&'static [u8]);

impl BootInfo {
    /// Word at a byte offset (`abi::bootinfo::word`); 0 past the end.
    #[must_use]
    pub fn word(&self, offset: u64) -> u64 {
        let at = offset as usize;
        let bytes = self.0.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |b| u64::from_le_bytes(*b))
    }
    /// The command line (empty if it is not UTF-8 or not in the frame).
    #[must_use]
    pub fn command_line(&self) -> &'static str {
        let at = self.word(bootinfo::word::CMDLINE) as usize;
        let len = self.word(bootinfo::word::CMDLINE_BYTES) as usize;
        let end = at.saturating_add(len);
        let line = self.0.get(at..end).unwrap_or_default();
        core::str::from_utf8(line).unwrap_or_default()
    }
    /// Whether the command line has this word.
    #[must_use]
    pub fn has_word(&self, word: &str) -> bool {
        self.command_line()
            .split_ascii_whitespace()
            .any(|w| w == word)
    }
}
