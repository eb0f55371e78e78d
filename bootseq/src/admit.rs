//! What is refused before anything is touched.

use capfmt::CoreStatus;

use crate::outcome::Refusal;
use crate::types::{KcbSource, Lines, Op, Power, Request, Target};

/// Whether the driver may command this core at all.
pub(crate) const fn target(t: &Target) -> Result<(), Refusal> {
    if !t.known {
        Err(Refusal::UnknownCore)
    } else if t.own {
        Err(Refusal::OwnCore)
    } else {
        Ok(())
    }
}

/// Whether the core's state allows the operation.
pub(crate) fn state(op: Op, t: &Target, status: CoreStatus) -> Result<(), Refusal> {
    use CoreStatus as S;
    let boot_off = t.boot_processor && t.power == Power::Sipi && status == S::Off;
    match (op, status) {
        (Op::Start, S::Off) if boot_off => Err(Refusal::BootProcessorOff),
        (Op::Start, S::Off | S::Penned) => Ok(()),
        (Op::Start, S::Running) => Err(Refusal::AlreadyRunning),
        (Op::Stop | Op::Update | Op::Move, S::Running) => Ok(()),
        (Op::Stop | Op::Move, S::Off | S::Penned) => Err(Refusal::AlreadyStopped),
        (Op::Update | Op::Recover, S::Off | S::Penned) => Err(Refusal::NotRunning),
        (Op::Recover, _) => Ok(()),
        (_, S::Crashed) => Err(Refusal::Crashed),
        (_, S::Starting | S::Detached) => Err(Refusal::Changing),
    }
}

/// The KCB of an operation on a core that says `lines`; 0 = one is to be made.
pub(crate) const fn kcb(r: &Request, lines: &Lines) -> Result<u64, Refusal> {
    match (r.op, r.kcb) {
        (Op::Start, KcbSource::Fresh) => Ok(0),
        (Op::Start, KcbSource::Kept(kcb)) if kcb != 0 => Ok(kcb),
        (Op::Start, KcbSource::Kept(_)) => Err(Refusal::NoKcb),
        _ if lines.kcb != 0 => Ok(lines.kcb),
        (_, KcbSource::Kept(kcb)) if kcb != 0 => Ok(kcb),
        _ => Err(Refusal::NoKcb),
    }
}
