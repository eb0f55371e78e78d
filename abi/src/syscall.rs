//! System calls: numbers, registers, messages.
//!
//! Eight registers go in and come out, r0–r7: on x86_64 rax, rdi, rsi, rdx, r10,
//! r8, r9, r12 (SYSCALL; rcx and r11 are lost); on AArch64 x0–x7 (`svc #0`). All
//! other general registers, the stack and the TLS base are kept; FPU data
//! registers are lost as in an ordinary function call, FPU control is kept.
//!
//! | call | in | out |
//! |---|---|---|
//! | `Invoke` | r0 = 0 \| op << 8, r1 = cap, r2.. = arguments | r0 = status, r1.. = results |
//! | `Send` | r0 = 1 \| tag << 8, r1 = endpoint cap, r2..r7 = words | r0 = status |
//! | `Call` | as `Send`; then waits as `Wait` for endpoint tag.reply | as `Wait` |
//! | `Wait` | r0 = 3, r1 = absolute OSnode time to give up (ns; u64::MAX = never), r2 = endpoint + 1 or 0 for any event | r0 = status, r1 = [`WaitResult`], r2..r7 = words |
//! | `Yield` | r0 = 4 | r0 = status |
//! | `Resume` | r0 = 5, r1 = 0 | does not return: resumes the enabled save area, clears `disabled` |
//! | `Poll` | r0 = 6, r2 as in `Wait` | as `Wait`, at once: `TimedOut` when nothing is there |
//!
//! Status: 0, or a [`crate::SysError`] number.

/// Registers of a system call.
pub const SYSCALL_WORDS: usize = 8;
/// Words of an LMP message.
pub const MESSAGE_WORDS: usize = 6;

/// Numbers of the system calls (r0, low 8 bits).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Syscall {
    /// Invoke a capability.
    Invoke = 0,
    /// Send an LMP message; never blocks.
    Send = 1,
    /// Send, then wait for the answer on an endpoint of one's own; switches straight to a waiting receiver.
    Call = 2,
    /// Wait for a message, a notification, an interrupt or a time.
    Wait = 3,
    /// Give the core to another runnable dispatcher.
    Yield = 4,
    /// Leave an upcall: resume the enabled save area.
    Resume = 5,
    /// Take what is there without waiting.
    Poll = 6,
}

impl Syscall {
    /// Every call, in the order of their numbers.
    pub const ALL: [Syscall; 7] = [
        Syscall::Invoke,
        Syscall::Send,
        Syscall::Call,
        Syscall::Wait,
        Syscall::Yield,
        Syscall::Resume,
        Syscall::Poll,
    ];
    /// The call with this number.
    #[must_use]
    pub const fn from_u8(n: u8) -> Option<Syscall> {
        Some(match n {
            0 => Syscall::Invoke,
            1 => Syscall::Send,
            2 => Syscall::Call,
            3 => Syscall::Wait,
            4 => Syscall::Yield,
            5 => Syscall::Resume,
            6 => Syscall::Poll,
            _ => return None,
        })
    }
}

/// Address of a slot in a two-level CSpace: `l1 << 8 | l2`. 0 is never a capability.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct CapAddr(pub u32);

impl CapAddr {
    /// No slot.
    pub const NULL: CapAddr = CapAddr(0);
    /// Slot `l2` of the CNode in slot `l1` of the root CNode. Bit 24 set (see [`CapAddr::root`]) names a root slot.
    #[must_use]
    pub const fn new(l1: u32, l2: u32) -> CapAddr {
        CapAddr(l1 << 8 | (l2 & 0xff))
    }
    /// Slot `l1` of the root CNode itself.
    #[must_use]
    pub const fn root(l1: u32) -> CapAddr {
        CapAddr(1 << 24 | l1)
    }
}

/// What goes with a message (r0 of `Send` and `Call`, bits 8 and up).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MessageTag {
    /// Capability to pass along (24 bits + root flag), or null.
    pub cap: CapAddr,
    /// `Call`: own endpoint whose next message is the answer (0–31).
    pub reply: u8,
    /// Move the capability instead of copying it.
    pub give: bool,
    /// `Send`: switch to the receiver at once if it waits (the sender stays runnable).
    pub yield_to: bool,
}

impl MessageTag {
    /// r0 for `call` with this tag: bits 8–33 cap, 34–38 reply, 39 give, 40 yield_to.
    #[must_use]
    pub const fn r0(self, call: Syscall) -> u64 {
        call as u64
            | (self.cap.0 as u64 & 0x3ff_ffff) << 8
            | (self.reply as u64 & 31) << 34
            | (self.give as u64) << 39
            | (self.yield_to as u64) << 40
    }
    /// Reads the tag back from r0.
    #[must_use]
    pub const fn from_r0(r0: u64) -> MessageTag {
        MessageTag {
            cap: CapAddr((r0 >> 8 & 0x3ff_ffff) as u32),
            reply: (r0 >> 34 & 31) as u8,
            give: r0 >> 39 & 1 != 0,
            yield_to: r0 >> 40 & 1 != 0,
        }
    }
}

/// r1 after `Wait`, `Call`, `Poll`: what happened.
///
/// Bits 0–7: 0 nothing (time over or spurious), 1 message, 2 notification bits (r2 = bits of the
/// dispatcher's notification word, cleared), 3 interrupt (r2 = source number). Bits 8–12: endpoint
/// index; bit 13: a capability arrived in the receive slot; bits 32–63: low half of the badge (the
/// whole badge is at most 32 bits).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WaitResult(pub u64);

impl WaitResult {
    /// Nothing: the time is over.
    pub const NOTHING: u64 = 0;
    /// A message; r2..r7 are its words.
    pub const MESSAGE: u64 = 1;
    /// Notification bits; r2 has them.
    pub const NOTIFICATION: u64 = 2;
    /// A message with these properties.
    #[must_use]
    pub const fn message(endpoint: u64, cap: bool, badge: u32) -> WaitResult {
        WaitResult(Self::MESSAGE | endpoint << 8 | (cap as u64) << 13 | (badge as u64) << 32)
    }
    /// Which kind.
    #[must_use]
    pub const fn kind(self) -> u64 {
        self.0 & 0xff
    }
    /// Endpoint that the message came to.
    #[must_use]
    pub const fn endpoint(self) -> u64 {
        self.0 >> 8 & 31
    }
    /// Whether a capability came along.
    #[must_use]
    pub const fn has_cap(self) -> bool {
        self.0 >> 13 & 1 != 0
    }
    /// Badge of the endpoint capability that the sender used.
    #[must_use]
    pub const fn badge(self) -> u32 {
        (self.0 >> 32) as u32
    }
}
