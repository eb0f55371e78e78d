//! Format 1, the format before the current one: only what conversions need of it.
//!
//! It had half as many interrupt bindings, peers and endpoints, no second clock,
//! and did not count steps, rollbacks and faults.

use crate::{Field, KCB_UNDO_ENTRIES};

const fn at(name: &'static str, offset: u64) -> Field {
    array(name, offset, 1)
}

const fn array(name: &'static str, offset: u64, words: u64) -> Field {
    Field {
        name,
        offset,
        words,
    }
}

/// Fields of a KCB.
pub(super) const KCB: &[Field] = &[
    at("magic", 0x000),
    at("format", 0x008),
    at("isa", 0x010),
    at("features", 0x018),
    at("osnode", 0x020),
    at("state", 0x028),
    at("checksum", 0x030),
    at("mdb_root", 0x038),
    at("mem_base", 0x040),
    at("mem_size", 0x048),
    at("dcb_head", 0x050),
    at("notification", 0x058),
    at("time_page", 0x060),
    at("next_id", 0x068),
    at("peer_count", 0x070),
    at("counter_start", 0x0c0),
    at("time_base_ns", 0x0c8),
    at("mult", 0x0d0),
    at("shift", 0x0d8),
    at("time_generation", 0x0e0),
    at("op_kind", 0x100),
    at("op_target", 0x108),
    at("op_phase", 0x110),
    at("op_cursor", 0x118),
    at("op_delete_head", 0x120),
    at("op_clear_head", 0x128),
    at("op_requester", 0x130),
    at("op_zero_from", 0x138),
    at("op_zero_end", 0x140),
    at("current_dcb", 0x148),
    at("conversion_cursor", 0x180),
    at("conversion_from", 0x188),
    array("irq_word", 0x200, 64),
    array("notify_binding", 0x400, 64),
    array("peer", 0x600, 128),
    at("undo_len", 0x1000),
    array("undo_word", 0x1010, 2 * KCB_UNDO_ENTRIES),
];

/// Fields of a DCB.
pub(super) const DCB: &[Field] = &[
    at("magic", 0x000),
    at("next", 0x008),
    at("prev", 0x010),
    at("id", 0x018),
    at("flags", 0x020),
    at("state", 0x028),
    at("sched_class", 0x030),
    at("wake_at_ns", 0x038),
    at("budget_ns", 0x040),
    at("period_ns", 0x048),
    at("deadline_ns", 0x050),
    at("budget_left_ns", 0x058),
    at("used_ns", 0x060),
    at("pending", 0x068),
    at("sched_link", 0x070),
    at("sched_key", 0x078),
    at("syscalls", 0x180),
    at("wait_for", 0x188),
    at("name0", 0x190),
    at("name1", 0x198),
    at("upcalls", 0x1a0),
    at("notify_word", 0x1a8),
    at("preemptions", 0x1b0),
    array("endpoint_word", 0x400, 64),
];
