//! Makes a large tree of capabilities and revokes it, again and again.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use abi::slots;
use capfmt::{CapType, Rights};
use rt::control::{self, Verdict};
use rt::{CapAddr, Capability, SysError, cap, invoke, mem, task};

/// Bytes of the region that is cut up.
const REGION: u64 = 64 * 4096;
/// Frames made of it; the other capabilities are copies of them.
const FRAMES: u64 = 64;
/// Copies made between two looks at what else is to be done, such as answering a check.
const COPIES: usize = 64;
/// Rounds between two looks at every slot.
const FULL_CHECK: u64 = 4;

#[derive(Default)]
struct State {
    rounds: u64,
    /// Kernel changes that fell inside a revoke.
    inside: u64,
    fault: Option<String>,
}

/// Revokes trees of `count` capabilities until it is stopped or something is wrong.
pub async fn run(count: usize) -> i32 {
    let state = Rc::new(RefCell::new(State::default()));
    let checked = state.clone();
    control::on_check(Box::new(move || verdict(&checked.borrow(), count)));
    let prepared = mem::alloc_ram(REGION).map_err(|e| format!("no memory: {e}"));
    let prepared = prepared.and_then(|ram| {
        let slots: Result<Vec<_>, _> = (0..count).map(|_| cap::alloc_slot()).collect();
        let slots = slots.map_err(|e| format!("no slots: {}", e.message()))?;
        Ok((ram, slots))
    });
    let (ram, slots) = match prepared {
        Ok(p) => p,
        Err(e) => {
            rt::println!("churn: {e}");
            return 1;
        }
    };
    control::ready();
    loop {
        let result = round(&state, &ram, &slots).await;
        match result {
            Ok(()) => state.borrow_mut().rounds += 1,
            Err(e) => {
                rt::println!("churn: revoker: {e}");
                state.borrow_mut().fault.get_or_insert(e);
            }
        }
        task::yield_now().await;
    }
}

fn verdict(s: &State, count: usize) -> Verdict {
    let inside = s.inside;
    let text = match &s.fault {
        None => format!(
            "{} revokes of {count} capabilities, {inside} kernel changes inside them",
            s.rounds
        ),
        Some(fault) => fault.clone(),
    };
    Verdict {
        ok: s.fault.is_none(),
        text,
        inside,
    }
}

/// Repeats what a kernel replacement interrupted (it had no effect).
pub fn again<T>(mut f: impl FnMut() -> Result<T, SysError>) -> Result<T, SysError> {
    loop {
        match f() {
            Err(SysError::KernelRestarted) => {}
            r => return r,
        }
    }
}

/// How many kernels found a long operation under way when they adopted this OSnode. This process
/// waits in its revoke: what is added meanwhile was added by kernels that went on with it.
fn adopted() -> Result<u64, SysError> {
    again(|| invoke::osnode_info(slots::KERNEL)).map(|i| i.adopted_ops)
}

/// One tree, built, revoked, looked at.
async fn round(state: &RefCell<State>, ram: &Capability, slots: &[CapAddr]) -> Result<(), String> {
    let named = |what: &'static str| move |e: SysError| format!("{what}: {}", e.message());
    let frames = slots.len().min(FRAMES as usize);
    for (i, slot) in slots[..frames].iter().enumerate() {
        let what = invoke::Retype {
            offset: i as u64 * 4096,
            kind: CapType::Frame,
            param: 0,
            bytes: 4096,
            count: 1,
        };
        again(|| invoke::retype(ram.addr(), what, slots::ROOT_CNODE, *slot))
            .map_err(named("retype"))?;
    }
    for (i, slot) in slots.iter().enumerate().skip(frames) {
        let from = slots[i % frames];
        again(|| invoke::cnode_copy(slots::ROOT_CNODE, from, *slot, Rights::READ, None))
            .map_err(named("copy"))?;
        if i % COPIES == 0 {
            task::yield_now().await;
        }
    }
    let before = adopted().map_err(named("kernel information"))?;
    again(|| invoke::revoke(ram.addr())).map_err(named("revoke"))?;
    let after = adopted().map_err(named("kernel information"))?;
    state.borrow_mut().inside += after - before;
    let every = if state.borrow().rounds.is_multiple_of(FULL_CHECK) {
        1
    } else {
        61
    };
    for slot in slots.iter().step_by(every) {
        if let Ok(id) = again(|| invoke::identify(*slot)) {
            return Err(format!(
                "{:?} in slot {:#x} survived a revoke",
                id.cap.kind, slot.0
            ));
        }
    }
    let left = again(|| invoke::identify(ram.addr())).map_err(named("identify"))?;
    if left.cap.kind != CapType::Ram || left.cap.size != REGION {
        return Err(format!("the revoked capability became {:?}", left.cap));
    }
    Ok(())
}
