//! Typed invocations: one function per operation of `abi::Op`, on capability addresses.
//!
//! A call that a kernel replacement interrupted had no effect and is repeated here; only the
//! operations of `CoreControl` report `KernelRestarted`, because their caller must look first
//! what became of the core.

use abi::{CapAddr, Op, SysError, Syscall, slots};
use capfmt::{CapType, CoreCommand, MdbFlags, RawCap, Rights};
use proto::Name;

use crate::{event, isa, lmp, returns};

mod shared;
mod types;

pub use shared::{
    Answer, Flushes, Found, Holding, Keep, Pending, Removals, cap_answer, cap_lock, cap_mark,
    cap_next, cap_owner, cap_pending, cap_pending_child, cap_removals, cap_remove, cap_set_owner,
    cap_set_remote, cap_sweep, cap_unmark, flushed, monitor_bind, reclaim_bind, tlb_flush,
};
pub use types::{CoreInfo, DispInfo, Identity, KcbInfo, KernelIdentity, Map, OsnodeInfo, Retype};

/// How often the process that empties the CNode of [`crate::returns`] looks whether a deletion has ended.
const DELETE_TRIES: u32 = 10_000;

/// Result of an invocation.
pub type Result<T> = core::result::Result<T, SysError>;

/// Results of an invocation, r1 to r7.
type Results = [u64; 7];

#[inline]
fn once(op: Op, cap: CapAddr, a: [u64; 6]) -> Result<Results> {
    let r0 = Syscall::Invoke as u64 | (op as u64) << 8;
    let r = isa::syscall([r0, cap.0.into(), a[0], a[1], a[2], a[3], a[4], a[5]]);
    lmp::status(r[0])?;
    Ok([r[1], r[2], r[3], r[4], r[5], r[6], r[7]])
}

#[inline]
fn invoke(op: Op, cap: CapAddr, a: [u64; 6]) -> Result<Results> {
    loop {
        match once(op, cap, a) {
            Err(SysError::KernelRestarted) => event::note_retry(),
            // Others wait for this process: it never waits for them.
            Err(SysError::BackFull) if returns::make_room() => {}
            result => return result,
        }
    }
}

fn name_of(w: [u64; 2]) -> Name {
    Name::from_words(w).unwrap_or_default()
}

/// Any capability: its four words, and MDB flags | owner << 16, as the kernel answers.
#[inline]
pub fn identify_raw(cap: CapAddr) -> Result<[u64; 5]> {
    let r = invoke(Op::Identify, cap, [0; 6])?;
    Ok([r[0], r[1], r[2], r[3], r[4]])
}
/// Any capability: what is it?
pub fn identify(cap: CapAddr) -> Result<Identity> {
    let r = identify_raw(cap)?;
    let parsed = RawCap([r[0], r[1], r[2], r[3]]).parse();
    Ok(Identity {
        cap: parsed.ok_or(SysError::BadObject)?,
        flags: MdbFlags(r[4] as u16),
        owner: (r[4] >> 16) as u16,
    })
}
/// Copies `source` to `dest` of the CSpace whose root is `dest_root`.
pub fn cnode_copy(
    dest_root: CapAddr,
    source: CapAddr,
    dest: CapAddr,
    rights: Rights,
    badge: Option<u32>,
) -> Result<()> {
    let badge = badge.map_or((0, 0), |b| (1 << 8, u64::from(b)));
    invoke(
        Op::Copy,
        dest_root,
        [
            source.0.into(),
            dest.0.into(),
            u64::from(rights.0) | badge.0,
            badge.1,
            0,
            0,
        ],
    )
    .map(|_| ())
}
/// Moves `source` to `dest` of the CSpace whose root is `dest_root`.
pub fn cnode_move(dest_root: CapAddr, source: CapAddr, dest: CapAddr) -> Result<()> {
    invoke(
        Op::Move,
        dest_root,
        [source.0.into(), dest.0.into(), 0, 0, 0, 0],
    )
    .map(|_| ())
}
/// Deletes a capability of one's own.
pub fn delete(cap: CapAddr) -> Result<()> {
    let args = [cap.0.into(), 0, 0, 0, 0, 0];
    let mut left = DELETE_TRIES;
    loop {
        match invoke(Op::Delete, slots::ROOT_CNODE, args) {
            // What the one who must not wait began goes on in every system call.
            Err(SysError::InDelete) if left > 0 && returns::is_collector() => {
                left -= 1;
                returns::make_room();
            }
            result => return result.map(|_| ()),
        }
    }
}
/// Revokes a capability of one's own: every descendant and other copy goes.
pub fn revoke(cap: CapAddr) -> Result<()> {
    invoke(Op::Revoke, slots::ROOT_CNODE, [cap.0.into(), 0, 0, 0, 0, 0]).map(|_| ())
}
/// Makes objects of a region; returns how many.
pub fn retype(source: CapAddr, what: Retype, dest_root: CapAddr, dest: CapAddr) -> Result<u64> {
    let kind = what.kind as u64 | u64::from(what.param) << 8;
    let args = [
        what.offset,
        kind,
        what.bytes,
        what.count,
        dest_root.0.into(),
        dest.0.into(),
    ];
    invoke(Op::Retype, source, args).map(|r| r[0])
}
/// Makes `ram` cover `next` as well, which begins where it ends and whose slot is empty then.
pub fn merge(ram: CapAddr, next: CapAddr) -> Result<()> {
    invoke(Op::Merge, ram, [next.0.into(), 0, 0, 0, 0, 0]).map(|_| ())
}
/// Maps part of `region`, or a lower table whole, in a VNode; the Mapping goes to `mapping`.
pub fn vnode_map(vnode: CapAddr, region: CapAddr, what: Map, mapping: CapAddr) -> Result<()> {
    let packed = what.count | u64::from(what.rights.0) << 32 | u64::from(what.uncached) << 40;
    let args = [
        region.0.into(),
        what.index,
        what.offset,
        packed,
        mapping.0.into(),
        0,
    ];
    invoke(Op::Map, vnode, args).map(|_| ())
}
/// Unmaps a Mapping.
pub fn unmap(mapping: CapAddr) -> Result<()> {
    invoke(Op::Unmap, mapping, [0, 0, 0, 0, 0, 0]).map(|_| ())
}
/// Changes a Mapping's rights.
pub fn protect(mapping: CapAddr, rights: Rights) -> Result<()> {
    invoke(Op::Protect, mapping, [rights.0.into(), 0, 0, 0, 0, 0]).map(|_| ())
}
/// Configures a dispatcher (null = leave).
pub fn disp_configure(
    disp: CapAddr,
    cspace: CapAddr,
    vspace: CapAddr,
    frame: CapAddr,
    fault: CapAddr,
) -> Result<()> {
    invoke(
        Op::DispConfigure,
        disp,
        [
            cspace.0.into(),
            vspace.0.into(),
            frame.0.into(),
            fault.0.into(),
            0,
            0,
        ],
    )
    .map(|_| ())
}
/// Starts or stops a dispatcher.
pub fn disp_run(disp: CapAddr, run: bool) -> Result<()> {
    invoke(Op::DispRun, disp, [run.into(), 0, 0, 0, 0, 0]).map(|_| ())
}
/// Scheduling parameters: class 0 round robin, 1 budget.
pub fn disp_schedule(disp: CapAddr, class: u64, budget_ns: u64, period_ns: u64) -> Result<()> {
    invoke(
        Op::DispSchedule,
        disp,
        [class, budget_ns, period_ns, 0, 0, 0],
    )
    .map(|_| ())
}
/// Names a dispatcher.
pub fn disp_name(disp: CapAddr, name: proto::Name) -> Result<()> {
    let [n0, n1] = name.words();
    invoke(Op::DispName, disp, [n0, n1, 0, 0, 0, 0]).map(|_| ())
}
/// State of a dispatcher.
pub fn disp_info(disp: CapAddr) -> Result<DispInfo> {
    let r = invoke(Op::DispInfo, disp, [0; 6])?;
    Ok(DispInfo {
        state: r[0],
        used_ns: r[1],
        syscalls: r[2],
        preemptions: r[3],
        id: r[4],
        name: name_of([r[5], r[6]]),
    })
}
/// Opens endpoint `index` of a dispatcher with ring slots `first`.. (`count`, a power of two); its capability goes to `dest`.
pub fn endpoint_open(
    disp: CapAddr,
    index: u64,
    first: u64,
    count: u64,
    dest: CapAddr,
) -> Result<()> {
    invoke(
        Op::EndpointOpen,
        disp,
        [index, first, count, dest.0.into(), 0, 0],
    )
    .map(|_| ())
}
/// Sets the receive slot of endpoint `index` of a dispatcher.
pub fn endpoint_receive(disp: CapAddr, index: u64, slot: CapAddr) -> Result<()> {
    invoke(
        Op::EndpointReceive,
        disp,
        [index, slot.0.into(), 0, 0, 0, 0],
    )
    .map(|_| ())
}
/// Binds a word of the notification page to a dispatcher; returns its first channel.
pub fn notify_bind(disp: CapAddr) -> Result<u64> {
    invoke(Op::NotifyBind, disp, [0; 6]).map(|r| r[0])
}
/// Sets the bit of a Notify capability.
pub fn signal(notify: CapAddr) -> Result<()> {
    invoke(Op::Signal, notify, [0, 0, 0, 0, 0, 0]).map(|_| ())
}
/// Mints a Notify capability for `channel` into `dest`.
pub fn notify_mint(notification: CapAddr, channel: u64, dest: CapAddr) -> Result<()> {
    invoke(
        Op::NotifyMint,
        notification,
        [channel, dest.0.into(), 0, 0, 0, 0],
    )
    .map(|_| ())
}
/// Mints an IrqDest for `source` into `dest`.
pub fn irq_mint(sources: CapAddr, source: u64, dest: CapAddr) -> Result<()> {
    invoke(Op::IrqMint, sources, [source, dest.0.into(), 0, 0, 0, 0]).map(|_| ())
}
/// Binds an IrqDest to an endpoint of one's own.
pub fn irq_bind(irq: CapAddr, endpoint: CapAddr) -> Result<()> {
    invoke(Op::IrqBind, irq, [endpoint.0.into(), 0, 0, 0, 0, 0]).map(|_| ())
}
/// Acknowledges an interrupt.
pub fn irq_ack(irq: CapAddr) -> Result<()> {
    invoke(Op::IrqAck, irq, [0, 0, 0, 0, 0, 0]).map(|_| ())
}
/// Reads an I/O port (x86).
pub fn port_in(ports: CapAddr, port: u16, width: u8) -> Result<u32> {
    let r = invoke(Op::PortIn, ports, [port.into(), width.into(), 0, 0, 0, 0])?;
    Ok(r[0] as u32)
}
/// Writes an I/O port (x86).
pub fn port_out(ports: CapAddr, port: u16, width: u8, value: u32) -> Result<()> {
    invoke(
        Op::PortOut,
        ports,
        [port.into(), width.into(), value.into(), 0, 0, 0],
    )
    .map(|_| ())
}
/// Identity of the running kernel.
pub fn kernel_identify(kernel: CapAddr) -> Result<KernelIdentity> {
    let r = invoke(Op::KernelIdentify, kernel, [0; 6])?;
    Ok(KernelIdentity {
        build_id: [r[0], r[1], r[2]],
        name: name_of([r[3], r[4]]),
        newest_format: r[5] as u16,
        oldest_format: (r[5] >> 16) as u16,
        core: r[6],
    })
}
/// Appends at most 40 bytes to the kernel log.
pub fn kernel_log(kernel: CapAddr, text: &[u8]) -> Result<()> {
    let text = text.get(..40).unwrap_or(text);
    let mut w = [0u64; 5];
    for (word, chunk) in w.iter_mut().zip(text.chunks(8)) {
        let mut b = [0; 8];
        b[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_le_bytes(b);
    }
    let args = [text.len() as u64, w[0], w[1], w[2], w[3], w[4]];
    invoke(Op::KernelLog, kernel, args).map(|_| ())
}
/// Halts the machine.
pub fn kernel_halt(kernel: CapAddr, code: u64) -> Result<()> {
    invoke(Op::KernelHalt, kernel, [code, 0, 0, 0, 0, 0]).map(|_| ())
}
/// OSnode facts.
pub fn osnode_info(kernel: CapAddr) -> Result<OsnodeInfo> {
    let r = invoke(Op::OsnodeInfo, kernel, [0; 6])?;
    Ok(OsnodeInfo {
        osnode: r[0],
        kcb: r[1],
        epoch: r[2],
        rollbacks: r[3],
        adopted_ops: r[4],
        notification: r[5],
        visited: r[6] != 0,
    })
}
/// Counter facts: Hz, mult, shift.
pub fn clock_info(kernel: CapAddr) -> Result<(u64, u64, u64)> {
    invoke(Op::ClockInfo, kernel, [0; 6]).map(|r| (r[0], r[1], r[2]))
}
/// Makes a Frame the sealed object of type `kind` that its holder wrote in it at `offset`.
pub fn seal(kernel: CapAddr, frame: CapAddr, kind: CapType, offset: u64) -> Result<()> {
    invoke(
        Op::Seal,
        kernel,
        [frame.0.into(), kind as u64, offset, 0, 0, 0],
    )
    .map(|_| ())
}
/// Marks a Frame, UmpEndpoint or Notify as known to other OSnodes; its words are for
/// [`cap_import`] there.
pub fn cap_export(kernel: CapAddr, cap: CapAddr) -> Result<RawCap> {
    let r = invoke(Op::CapExport, kernel, [cap.0.into(), 0, 0, 0, 0, 0])?;
    Ok(RawCap([r[0], r[1], r[2], r[3]]))
}
/// Makes a copy of another OSnode's capability from the words that [`cap_export`] gave there.
pub fn cap_import(kernel: CapAddr, words: RawCap, owner: u64, dest: CapAddr) -> Result<()> {
    let [w0, w1, w2, w3] = words.0;
    invoke(
        Op::CapImport,
        kernel,
        [w0, w1, w2, w3, owner, dest.0.into()],
    )
    .map(|_| ())
}
/// Creates an Id or Domain capability in `dest`.
pub fn id_create(kernel: CapAddr, kind: CapType, dest: CapAddr) -> Result<()> {
    invoke(
        Op::IdCreate,
        kernel,
        [kind as u64, dest.0.into(), 0, 0, 0, 0],
    )
    .map(|_| ())
}
/// Mints a CoreControl into `dest`.
pub fn core_mint(core: CapAddr, dest: CapAddr) -> Result<()> {
    invoke(Op::CoreMint, core, [dest.0.into(), 0, 0, 0, 0, 0]).map(|_| ())
}
/// Hands a core's control to another OSnode.
pub fn core_hand_over(control: CapAddr, osnode: u64) -> Result<()> {
    once(Op::CoreHandOver, control, [osnode, 0, 0, 0, 0, 0]).map(|_| ())
}
/// Commands a core; returns the command's sequence number.
pub fn core_command(
    control: CapAddr,
    command: CoreCommand,
    kcb: CapAddr,
    image: u64,
) -> Result<u64> {
    let args = [command as u64, kcb.0.into(), image, 0, 0, 0];
    once(Op::CoreCommand, control, args).map(|r| r[0])
}
/// Signals a core: 0 wake, 1 stop, 2 NMI, 3 INIT, 4 power on with `argument`; returns the firmware's status.
pub fn core_signal(control: CapAddr, signal: u64, argument: u64) -> Result<u64> {
    once(Op::CoreSignal, control, [signal, argument, 0, 0, 0, 0]).map(|r| r[0])
}
/// State of a core.
pub fn core_info(control: CapAddr) -> Result<CoreInfo> {
    let r = once(Op::CoreInfo, control, [0; 6])?;
    Ok(CoreInfo {
        status: r[0],
        target_seq: r[1],
        home_seq: r[2],
        kcb: r[3],
        image: r[4],
        epitaph_kind: r[5],
        epitaph_pc: r[6],
    })
}
/// Words of the Core object, from a byte offset on.
pub fn core_read(control: CapAddr, offset: u64) -> Result<[u64; 7]> {
    once(Op::CoreRead, control, [offset, 0, 0, 0, 0, 0])
}
/// Writes the operation record.
pub fn core_phase(control: CapAddr, op: u64, phase: u64, kcb: u64) -> Result<()> {
    once(Op::CorePhase, control, [op, phase, kcb, 0, 0, 0]).map(|_| ())
}
/// Writes word `word` of image record `image`.
pub fn core_image(control: CapAddr, image: u64, word: u64, value: u64) -> Result<()> {
    once(Op::CoreImage, control, [image, word, value, 0, 0, 0]).map(|_| ())
}
/// Has this OSnode's kernel care for another OSnode, which is stopped, or (`false`) care no longer.
pub fn kcb_care(kcb: CapAddr, cares: bool) -> Result<()> {
    invoke(Op::KcbCare, kcb, [cares.into(), 0, 0, 0, 0, 0]).map(|_| ())
}
/// Has a core in the pen let go of a KCB that its dead kernel left attached.
pub fn core_release(control: CapAddr, kcb: CapAddr) -> Result<()> {
    invoke(Op::CoreRelease, control, [kcb.0.into(), 0, 0, 0, 0, 0]).map(|_| ())
}
/// KCB facts.
pub fn kcb_info(kcb: CapAddr) -> Result<KcbInfo> {
    let r = invoke(Op::KcbInfo, kcb, [0; 6])?;
    Ok(KcbInfo {
        osnode: r[0],
        state: r[1],
        format: r[2],
        isa: r[3],
        features: r[4],
        kcb: r[5],
        last_core: (r[6] as u32).checked_sub(1),
        ended: r[6] >> 32 != 0,
    })
}
