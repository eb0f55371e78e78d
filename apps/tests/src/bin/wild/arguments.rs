//! Every operation with sound arguments, but one of them wild: an error, or what the words say; nothing else is touched.
//!
//! Each time, fresh objects are made for it, of memory that is whole again afterwards.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use abi::{CapAddr, Op, SysError, slots};
use capfmt::{CapType, Rights};
use rt::{Capability, cap, invoke, mem, provoke};

use crate::{WILD, held};

/// Memory of one stage, twice.
const RAM: u64 = 0x1_0000;
/// Log2 of the slots of its CNode.
const SLOTS_LOG2: u32 = 4;

/// An argument that is sound.
#[derive(Clone, Copy)]
enum Argument {
    /// The address of a capability or of a slot.
    Address(u64),
    /// A number: of bytes, of things, of flags.
    Number(u64),
}

use Argument::{Address, Number};

impl Argument {
    fn sound(self) -> u64 {
        match self {
            Address(word) | Number(word) => word,
        }
    }

    /// What stands there instead. An address is never that of another capability of this process: taking those away is
    /// nothing that a kernel has to refuse.
    fn wild(self) -> Vec<u64> {
        let bits = match self {
            Address(_) => (16..24).step_by(1),
            Number(_) => (0..64).step_by(3),
        };
        let mut words: Vec<u64> = bits.map(|bit| 1 << bit).collect();
        words.extend(WILD);
        words.extend([1 << 25, 1 << 32, 1 << 63]);
        if let Number(sound) = self {
            words.extend([0, 3, 4095, 4097, u64::MAX - 4095, u64::MAX / 2]);
            words.extend([sound.wrapping_add(1), sound.wrapping_sub(1)]);
            words.extend((0..8).map(|bit| sound ^ 1 << (8 * bit)));
        }
        words
    }
}

/// A call with sound arguments.
struct Call {
    on: u64,
    arguments: Vec<Argument>,
    /// It does what it says (or else may be refused, as when an object lacks something else).
    done: bool,
}

/// Objects for one call.
struct Stage {
    frame: Capability,
    table: Capability,
    /// For who asks for it: its end is a flush on every core.
    mapping: Option<Capability>,
    dispatcher: Capability,
    cnode: Capability,
    /// Two pieces of RAM, one behind the other: less than what they are made of, so that they can be merged.
    pieces: [Capability; 2],
    /// Empty.
    slot: CapAddr,
}

fn make(
    ram: &Capability,
    kind: CapType,
    param: u32,
    at: u64,
    bytes: u64,
) -> Result<Capability, SysError> {
    mem::retype_one(ram.addr(), kind, param, at, bytes)
}

impl Stage {
    fn new(op: Op, [ram, other]: &[Capability; 2]) -> Result<Stage, SysError> {
        let frame = make(ram, CapType::Frame, 0, 0, 4096)?;
        let table = make(ram, CapType::VNode, 0, 0x2000, capfmt::VNODE_BYTES)?;
        let what = invoke::Map {
            index: 7,
            offset: 0,
            count: 1,
            rights: Rights::READ,
            uncached: false,
        };
        let map = |slot| invoke::vnode_map(table.addr(), frame.addr(), what, slot);
        let wanted = matches!(op, Op::Unmap | Op::Protect);
        let mapping = wanted.then(|| cap::in_slot(map)).transpose()?;
        Ok(Stage {
            mapping,
            frame,
            table,
            dispatcher: make(ram, CapType::Dispatcher, 0, 0x4000, capfmt::DCB_BYTES)?,
            cnode: make(
                ram,
                CapType::CNode,
                SLOTS_LOG2,
                0x8000,
                capfmt::CTE_BYTES << SLOTS_LOG2,
            )?,
            pieces: [
                make(other, CapType::Ram, 0, 0, RAM / 4)?,
                make(other, CapType::Ram, 0, RAM / 4, RAM / 4)?,
            ],
            slot: cap::alloc_slot()?,
        })
    }

    /// Everything goes, whatever the call made.
    fn end(self) {
        // Nothing may be in it: then there is nothing to delete.
        let _ = invoke::delete(self.slot);
        cap::free_slot(self.slot);
    }

    /// The call; every operation has its line here, or this does not compile. `None`: no program holds what it is for.
    fn call(&self, op: Op, kernel: u64) -> Option<Call> {
        let address = |cap: &Capability| u64::from(cap.addr().0);
        let root = u64::from(slots::ROOT_CNODE.0);
        let (frame, cnode) = (address(&self.frame), address(&self.cnode));
        let slot = Address(self.slot.0.into());
        // In the CNode of the stage, which is the root for it.
        let inside = Address(CapAddr::root(0).0.into());
        let rights = u64::from(Rights::ALL.0);
        let certain = |on, arguments: &[Argument]| call(on, arguments, true);
        let maybe = |on, arguments: &[Argument]| call(on, arguments, false);
        let dispatcher = address(&self.dispatcher);
        match op {
            Op::Identify => certain(frame, &[]),
            Op::Copy => certain(cnode, &[Address(frame), inside, Number(rights), Number(0)]),
            Op::Move => certain(cnode, &[Address(frame), inside]),
            Op::Delete | Op::Revoke => certain(root, &[Address(frame)]),
            Op::Retype => {
                let kind = Number(CapType::Frame as u64);
                let sizes = [Number(0), kind, Number(4096), Number(2)];
                let to = [Address(cnode), inside];
                certain(address(&self.pieces[0]), &[&sizes[..], &to].concat())
            }
            Op::Merge => certain(
                address(&self.pieces[0]),
                &[Address(address(&self.pieces[1]))],
            ),
            Op::Map => {
                let how = Number(1 | u64::from(Rights::READ.0) << 32);
                let arguments = [Address(frame), Number(3), Number(0), how, slot];
                certain(address(&self.table), &arguments)
            }
            Op::Unmap => certain(address(self.mapping.as_ref()?), &[]),
            Op::Protect => certain(
                address(self.mapping.as_ref()?),
                &[Number(Rights::READ.0.into())],
            ),
            Op::DispConfigure => maybe(
                dispatcher,
                &[Address(root), Number(0), Number(0), Number(0)],
            ),
            Op::DispRun => maybe(dispatcher, &[Number(0)]),
            Op::DispSchedule => certain(
                dispatcher,
                &[Number(1), Number(1_000_000), Number(10_000_000)],
            ),
            Op::DispName => certain(dispatcher, &[Number(0x61), Number(0)]),
            Op::DispInfo => certain(dispatcher, &[]),
            Op::EndpointOpen => maybe(dispatcher, &[Number(0), Number(0), Number(1), slot]),
            Op::EndpointReceive => maybe(dispatcher, &[Number(0), slot]),
            Op::NotifyBind => maybe(dispatcher, &[]),
            Op::KernelIdentify | Op::OsnodeInfo | Op::ClockInfo => certain(kernel, &[]),
            Op::KernelLog => certain(
                kernel,
                &[
                    Number(2),
                    Number(0x6968),
                    Number(0),
                    Number(0),
                    Number(0),
                    Number(0),
                ],
            ),
            Op::IdCreate => maybe(kernel, &[Number(CapType::Id as u64), slot]),
            Op::KernelHalt
            | Op::Seal
            | Op::CapExport
            | Op::CapImport
            | Op::CapOwner
            | Op::CapNext
            | Op::CapRemove
            | Op::CapSetOwner
            | Op::CapSetRemote
            | Op::CapLock
            | Op::CapMark
            | Op::CapUnmark
            | Op::CapSweep
            | Op::CapPending
            | Op::CapAnswer
            | Op::MonitorBind
            | Op::TlbFlush
            | Op::ReclaimBind
            | Op::Flushed
            | Op::Signal
            | Op::NotifyMint
            | Op::IrqMint
            | Op::IrqBind
            | Op::IrqAck
            | Op::PortIn
            | Op::PortOut
            | Op::CoreMint
            | Op::CoreHandOver
            | Op::CoreCommand
            | Op::CoreSignal
            | Op::CoreInfo
            | Op::CoreRead
            | Op::CorePhase
            | Op::CoreImage
            | Op::CoreRelease
            | Op::KcbInfo
            | Op::KcbCare => None,
        }
    }
}

fn call(on: u64, arguments: &[Argument], done: bool) -> Option<Call> {
    Some(Call {
        on,
        arguments: arguments.to_vec(),
        done,
    })
}

/// Calls `op`, with the argument at a place replaced by the nth of its wild words; whether there is such a call.
fn once(
    op: Op,
    rams: &[Capability; 2],
    kernel: u64,
    wild: Option<(usize, usize)>,
) -> Result<bool, String> {
    let told = |what: &str| {
        let (op, what) = (format!("{op:?}"), what.to_string());
        move |e: SysError| format!("{op}, {what}: {}", e.message())
    };
    let stage = Stage::new(op, rams).map_err(told("objects"))?;
    let Some(call) = stage.call(op, kernel) else {
        stage.end();
        return Ok(false);
    };
    let mut registers = [0; 8];
    registers[0] = (op as u64) << 8;
    registers[1] = call.on;
    for (register, argument) in registers[2..].iter_mut().zip(&call.arguments) {
        *register = argument.sound();
    }
    if let Some((place, nth)) = wild {
        let words = call.arguments.get(place).map(|a| a.wild());
        let Some(word) = words.and_then(|words| words.get(nth).copied()) else {
            stage.end();
            return Ok(false);
        };
        registers[2 + place] = word;
    }
    let status = provoke::raw_syscall(registers)[0];
    stage.end();
    let known = status == 0
        || u16::try_from(status)
            .ok()
            .and_then(SysError::from_code)
            .is_some();
    match (known, wild) {
        (false, _) => Err(format!("{op:?} {registers:x?} answered {status}")),
        (_, None) if call.done && status != 0 => Err(format!("{op:?}, sound, answered {status}")),
        _ => Ok(true),
    }
}

fn operation(op: Op, rams: &[Capability; 2], kernel: u64) -> Result<u64, String> {
    let mut calls = 0;
    if !once(op, rams, kernel, None)? {
        return Ok(0);
    }
    for place in 0..6 {
        let mut nth = 0;
        while once(op, rams, kernel, Some((place, nth)))? {
            nth += 1;
        }
        calls += nth as u64;
    }
    // Nothing of them is left: what is sound still works.
    once(op, rams, kernel, None)?;
    Ok(calls)
}

/// Every operation that a program can use, each argument in turn; how many calls that were.
///
/// # Errors
/// What did not go as it must.
pub fn every() -> Result<u64, String> {
    let ram = || mem::alloc_ram(RAM).map_err(|e| e.to_string());
    let rams = [ram()?, ram()?];
    let kernels = held()
        .into_iter()
        .find(|(_, kind)| *kind == CapType::Kernel);
    let (kernel, _) = kernels.ok_or("this program holds no Kernel")?;
    let mut calls = 0;
    let mut wrong = Vec::new();
    for op in Op::ALL {
        match operation(*op, &rams, kernel) {
            Ok(made) => calls += made,
            Err(why) => wrong.push(why),
        }
    }
    for ram in rams {
        mem::free_ram(ram).map_err(|e| e.to_string())?;
    }
    match wrong.is_empty() {
        true => Ok(calls),
        false => Err(wrong.join("; ")),
    }
}
