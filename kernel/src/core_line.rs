//! The target line of this core's Core object: what the running kernel reports.

use capfmt::{Core, CoreStatus, PhysAddr};

use crate::Machine;

/// Reports `status` on the target line: payload first, then the sequence number
/// `seq` of the command that it answers (0 for the loader), by a sequentially
/// consistent exchange.
///
/// Kernels report `Starting` when entered and `Running` after [`crate::attach`];
/// [`crate::step`] reports `Detached`; the pen reports `Penned` and, after a
/// panic, the kernel `Crashed`.
pub fn report_status<M: Machine>(m: &mut M, status: CoreStatus, kcb: PhysAddr, seq: u64) {
    let core = Core(m.core_object());
    core.set_target_kcb(m, kcb.0);
    core.set_target_status(m, status as u64);
    m.exchange(core.0.add(Core::TARGET_SEQ_OFFSET), seq);
}
