//! Numbers of the marker instructions that shipped code carries (DESIGN §8).
//!
//! A marker does nothing; the TCG plugin sees it and records the instruction
//! counters of all vCPUs. x86_64: `nopl disp32(%rax)` with displacement
//! [`X86_MAGIC`] << 16 | number; AArch64: `movz xzr, #number`.

/// Upper half of the displacement of an x86 marker ("KN").
pub const X86_MAGIC: u32 = 0x4e4b;

/// First instructions of the loader.
pub const LOADER_ENTRY: u16 = 1;
/// The shell is about to print its first prompt, or to run the first command.
pub const PROMPT: u16 = 2;
/// A measured system call is about to be made.
pub const SYSCALL_BEGIN: u16 = 0x10;
/// It has returned.
pub const SYSCALL_END: u16 = 0x11;
/// A local message is about to be sent.
pub const LMP_SEND: u16 = 0x20;
/// Its handler runs.
pub const LMP_RECEIVE: u16 = 0x21;
/// A message to another OSnode is about to be sent.
pub const UMP_SEND: u16 = 0x30;
/// Its handler runs.
pub const UMP_RECEIVE: u16 = 0x31;
/// A message is about to be sent to a process on another core that sleeps.
pub const WAKE_BEGIN: u16 = 0x32;
/// Its answer has woken the sender, which had gone to sleep, too.
pub const WAKE_END: u16 = 0x33;
/// From here on, cores update cache lines that they share.
pub const SHARE_DIRECTLY: u16 = 0x34;
/// From here on, one core updates them for the others.
pub const SHARE_BY_MESSAGES: u16 = 0x35;
/// A core begins a round of updates, or of serving them.
pub const SHARE_BEGIN: u16 = 0x36;
/// Its round is over.
pub const SHARE_END: u16 = 0x37;
/// Updates of a core in a round.
pub const SHARE_UPDATES: u64 = 16;
/// A request with a capability is about to be sent to a process on another OSnode.
pub const COPY_BEGIN: u16 = 0x38;
/// It is answered: the other has its copy.
pub const COPY_END: u16 = 0x39;
/// The same without a capability: about to be sent.
pub const ASK_BEGIN: u16 = 0x3a;
/// It is answered.
pub const ASK_END: u16 = 0x3b;
/// The owner is about to revoke a capability that other OSnodes have copies of, or to unmap a page that they use.
pub const REVOKE_BEGIN: u16 = 0x3c;
/// The call has returned.
pub const REVOKE_END: u16 = 0x3d;
/// From here on, the next number of OSnodes has copies, or uses the page.
pub const SHARERS: u16 = 0x3e;
/// A monitor sends another one a message about capabilities or translations.
pub const AGREE_SEND: u16 = 0x3f;
/// A boot driver takes up the request to stop a core.
pub const STOP: u16 = 0x40;
/// A boot driver has seen the second acknowledgement of a stop command (of an update, too).
pub const STOPPED: u16 = 0x41;
/// A boot driver takes up the request for an operation that starts a kernel.
pub const START: u16 = 0x42;
/// The boot driver has seen that the kernel runs.
pub const STARTED: u16 = 0x43;
/// A kernel that was just started goes to its first dispatcher, or to sleep.
pub const DISPATCHED: u16 = 0x44;
/// Executed in a tight loop by the load whose interruptions are measured; recorded
/// only after a gap of more than [`HEARTBEAT_GAP`] instructions.
pub const HEARTBEAT: u16 = 0x50;
/// Instructions of a vCPU between two heartbeats that count as an interruption.
pub const HEARTBEAT_GAP: u64 = 1_000;
/// Everything is prepared: the boot driver is about to tell a running kernel to go.
pub const SWITCH: u16 = 0x45;
/// Begin of [`THOUSAND`] instructions, which show whether the plugin counts what a vCPU executes.
pub const THOUSAND_BEGIN: u16 = 0x60;
/// Their end.
pub const THOUSAND_END: u16 = 0x61;
/// Instructions from [`THOUSAND_BEGIN`], itself included, to [`THOUSAND_END`], itself excluded.
pub const THOUSAND: u64 = 1_000;
/// A second of rest begins.
pub const REST_BEGIN: u16 = 0x70;
/// It is over.
pub const REST_END: u16 = 0x71;
/// From here on the vCPU only waits for another core.
pub const WAIT_BEGIN: u16 = 0xfff0;
/// End of waiting.
pub const WAIT_END: u16 = 0xfff1;
/// Written by the plugin when the machine ends.
pub const END: u16 = 0xffff;
