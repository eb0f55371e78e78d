//! Typed invocations: one function per operation of `abi::Op`, on capability addresses.
//!
//! Idempotent operations that a kernel replacement interrupted are repeated here; the others
//! report `KernelRestarted` (the call had no effect: the caller may repeat it, too).

use abi::{CapAddr, SysError};
use capfmt::{Cap, CapType, CoreCommand, MdbFlags, Rights};

/// Result of an invocation.
pub type Result<T> = core::result::Result<T, SysError>;

/// What [`identify`] says.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The capability.
    pub cap: Cap,
    /// Flags of its MDB part.
    pub flags: MdbFlags,
    /// Owner index in the peer table.
    pub owner: u16,
}

/// A retype: what to make of a region.
#[derive(Clone, Copy, Debug)]
pub struct Retype {
    /// First byte, from the start of the source.
    pub offset: u64,
    /// Type to make.
    pub kind: CapType,
    /// VNode level, CNode log2 of slots, else 0.
    pub param: u32,
    /// Bytes of each object (sized types).
    pub bytes: u64,
    /// How many.
    pub count: u64,
}

/// State of a dispatcher.
#[derive(Clone, Copy, Debug)]
pub struct DispInfo {
    /// `capfmt::DcbState` as a number.
    pub state: u64,
    /// Core time used, ns.
    pub used_ns: u64,
    /// System calls made.
    pub syscalls: u64,
    /// Times preempted.
    pub preemptions: u64,
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: proto::Name,
}

/// Identity of the running kernel.
#[derive(Clone, Copy, Debug)]
pub struct KernelIdentity {
    /// Build id.
    pub build_id: [u64; 3],
    /// Name.
    pub name: proto::Name,
    /// Newest KCB format that it reads.
    pub newest_format: u16,
    /// Oldest KCB format that it reads.
    pub oldest_format: u16,
    /// Core.
    pub core: u64,
}

/// OSnode facts.
#[derive(Clone, Copy, Debug)]
pub struct OsnodeInfo {
    /// OSnode id.
    pub osnode: u64,
    /// KCB (physical address).
    pub kcb: u64,
    /// Attaches so far.
    pub epoch: u64,
    /// Attaches that rolled back a transaction.
    pub rollbacks: u64,
    /// Attaches that found a long operation in progress.
    pub adopted_ops: u64,
    /// Notification page (physical address).
    pub notification: u64,
}

/// State of a core as its Core object says.
#[derive(Clone, Copy, Debug)]
pub struct CoreInfo {
    /// `capfmt::CoreStatus` as a number.
    pub status: u64,
    /// Sequence of the command last answered.
    pub target_seq: u64,
    /// Sequence of the last command.
    pub home_seq: u64,
    /// KCB being run, or 0.
    pub kcb: u64,
    /// Image record in use.
    pub image: u64,
    /// Epitaph kind, 0 = none.
    pub epitaph_kind: u64,
    /// Epitaph program counter.
    pub epitaph_pc: u64,
}

/// KCB facts.
#[derive(Clone, Copy, Debug)]
pub struct KcbInfo {
    /// OSnode id.
    pub osnode: u64,
    /// State word (`capfmt::Attachment`).
    pub state: u64,
    /// Format.
    pub format: u64,
    /// Instruction set.
    pub isa: u64,
    /// Features needed.
    pub features: u64,
    /// Address of the KCB.
    pub kcb: u64,
}

/// Any capability: what is it?
pub fn identify(_cap: CapAddr) -> Result<Identity> {
    todo!()
}
/// Copies `source` to `dest` of the CSpace whose root is `dest_root`.
pub fn cnode_copy(
    _dest_root: CapAddr,
    _source: CapAddr,
    _dest: CapAddr,
    _rights: Rights,
    _badge: Option<u32>,
) -> Result<()> {
    todo!()
}
/// Moves `source` to `dest` of the CSpace whose root is `dest_root`.
pub fn cnode_move(_dest_root: CapAddr, _source: CapAddr, _dest: CapAddr) -> Result<()> {
    todo!()
}
/// Deletes a capability of one's own.
pub fn delete(_cap: CapAddr) -> Result<()> {
    todo!()
}
/// Revokes a capability of one's own: every descendant and other copy goes.
pub fn revoke(_cap: CapAddr) -> Result<()> {
    todo!()
}
/// Makes objects of a region; returns how many.
pub fn retype(_source: CapAddr, _what: Retype, _dest_root: CapAddr, _dest: CapAddr) -> Result<u64> {
    todo!()
}
/// Maps `count` pages (or tables) from byte `offset` of `region` at `index` of a VNode.
pub fn vnode_map(
    _vnode: CapAddr,
    _region: CapAddr,
    _index: u64,
    _offset: u64,
    _count: u64,
    _rights: Rights,
    _uncached: bool,
    _mapping: CapAddr,
) -> Result<()> {
    todo!()
}
/// Unmaps a Mapping.
pub fn unmap(_mapping: CapAddr) -> Result<()> {
    todo!()
}
/// Changes a Mapping's rights.
pub fn protect(_mapping: CapAddr, _rights: Rights) -> Result<()> {
    todo!()
}
/// Configures a dispatcher (null = leave).
pub fn disp_configure(
    _disp: CapAddr,
    _cspace: CapAddr,
    _vspace: CapAddr,
    _frame: CapAddr,
    _fault: CapAddr,
) -> Result<()> {
    todo!()
}
/// Starts or stops a dispatcher.
pub fn disp_run(_disp: CapAddr, _run: bool) -> Result<()> {
    todo!()
}
/// Scheduling parameters: class 0 round robin, 1 budget.
pub fn disp_schedule(_disp: CapAddr, _class: u64, _budget_ns: u64, _period_ns: u64) -> Result<()> {
    todo!()
}
/// Names a dispatcher.
pub fn disp_name(_disp: CapAddr, _name: proto::Name) -> Result<()> {
    todo!()
}
/// State of a dispatcher.
pub fn disp_info(_disp: CapAddr) -> Result<DispInfo> {
    todo!()
}
/// Opens endpoint `index` of a dispatcher with ring slots `first`.. (`count`, a power of two); its capability goes to `dest`.
pub fn endpoint_open(
    _disp: CapAddr,
    _index: u64,
    _first: u64,
    _count: u64,
    _dest: CapAddr,
) -> Result<()> {
    todo!()
}
/// Sets the receive slot of endpoint `index` of a dispatcher.
pub fn endpoint_receive(_disp: CapAddr, _index: u64, _slot: CapAddr) -> Result<()> {
    todo!()
}
/// Binds a word of the notification page to a dispatcher; returns its first channel.
pub fn notify_bind(_disp: CapAddr) -> Result<u64> {
    todo!()
}
/// Sets the bit of a Notify capability.
pub fn signal(_notify: CapAddr) -> Result<()> {
    todo!()
}
/// Mints a Notify capability for `channel` into `dest`.
pub fn notify_mint(_notification: CapAddr, _channel: u64, _dest: CapAddr) -> Result<()> {
    todo!()
}
/// Mints an IrqDest for `source` into `dest`.
pub fn irq_mint(_sources: CapAddr, _source: u64, _dest: CapAddr) -> Result<()> {
    todo!()
}
/// Binds an IrqDest to an endpoint of one's own.
pub fn irq_bind(_irq: CapAddr, _endpoint: CapAddr) -> Result<()> {
    todo!()
}
/// Acknowledges an interrupt.
pub fn irq_ack(_irq: CapAddr) -> Result<()> {
    todo!()
}
/// Reads an I/O port (x86).
pub fn port_in(_ports: CapAddr, _port: u16, _width: u8) -> Result<u32> {
    todo!()
}
/// Writes an I/O port (x86).
pub fn port_out(_ports: CapAddr, _port: u16, _width: u8, _value: u32) -> Result<()> {
    todo!()
}
/// Identity of the running kernel.
pub fn kernel_identify(_kernel: CapAddr) -> Result<KernelIdentity> {
    todo!()
}
/// Appends at most 40 bytes to the kernel log.
pub fn kernel_log(_kernel: CapAddr, _text: &[u8]) -> Result<()> {
    todo!()
}
/// Halts the machine.
pub fn kernel_halt(_kernel: CapAddr, _code: u64) -> Result<()> {
    todo!()
}
/// OSnode facts.
pub fn osnode_info(_kernel: CapAddr) -> Result<OsnodeInfo> {
    todo!()
}
/// Counter facts: Hz, mult, shift.
pub fn clock_info(_kernel: CapAddr) -> Result<(u64, u64, u64)> {
    todo!()
}
/// Makes a Frame the sealed object of type `kind` that its holder wrote in it at `offset`.
pub fn seal(_kernel: CapAddr, _frame: CapAddr, _kind: CapType, _offset: u64) -> Result<()> {
    todo!()
}
/// Creates an Id or Domain capability in `dest`.
pub fn id_create(_kernel: CapAddr, _kind: CapType, _dest: CapAddr) -> Result<()> {
    todo!()
}
/// Mints a CoreControl into `dest`.
pub fn core_mint(_core: CapAddr, _dest: CapAddr) -> Result<()> {
    todo!()
}
/// Hands a core's control to another OSnode.
pub fn core_hand_over(_control: CapAddr, _osnode: u64) -> Result<()> {
    todo!()
}
/// Commands a core; returns the command's sequence number.
pub fn core_command(
    _control: CapAddr,
    _command: CoreCommand,
    _kcb: CapAddr,
    _image: u64,
) -> Result<u64> {
    todo!()
}
/// Signals a core: 0 wake, 1 stop, 2 NMI, 3 INIT, 4 power on with `argument`; returns the firmware's status.
pub fn core_signal(_control: CapAddr, _signal: u64, _argument: u64) -> Result<u64> {
    todo!()
}
/// State of a core.
pub fn core_info(_control: CapAddr) -> Result<CoreInfo> {
    todo!()
}
/// Reads a word of the Core object.
pub fn core_read(_control: CapAddr, _offset: u64) -> Result<u64> {
    todo!()
}
/// Writes the operation record.
pub fn core_phase(_control: CapAddr, _op: u64, _phase: u64, _kcb: u64) -> Result<()> {
    todo!()
}
/// Writes word `word` of image record `image`.
pub fn core_image(_control: CapAddr, _image: u64, _word: u64, _value: u64) -> Result<()> {
    todo!()
}
/// KCB facts.
pub fn kcb_info(_kcb: CapAddr) -> Result<KcbInfo> {
    todo!()
}
