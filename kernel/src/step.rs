//! One kernel entry.

use crate::{Effects, Event, Machine, Next, Osnode, Policy, Resume};

/// One kernel entry: what `event` means for the OSnode, and what runs next.
///
/// A transaction on OSnode memory; effects are carried out by the caller after
/// it returns, in order, before it resumes. `Event::StopRequested` with a Stop
/// command on the home line detaches the OSnode, reports `Detached` on the
/// target line and answers [`Next::Pen`]; a spurious one changes nothing.
pub fn step<M: Machine, P: Policy>(os: &mut Osnode<P>, m: &mut M, event: Event) -> Resume {
    os.policy.trace(|| m.counter(), &event);
    Resume {
        next: Next::Idle,
        save_fpu: None,
        load_fpu: false,
        deadline: None,
        effects: Effects::NONE,
    }
}
