//! Golden answers for two boards, before and after a core is taken away; damaged firmware; the
//! reference in the book.

mod big_little;
mod collected;
mod damaged;
mod golden;
mod numa8;
mod reference;
mod refusals;
mod typed;

use crate::RULES;
use crate::datalog::{Base, Changes, Limits, Value};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// What QEMU's firmware left on `qemu-x86-numa8` (format: `firmware`'s tests).
const NUMA8: &[u8] = include_bytes!("../../../../boards/qemu-x86-numa8/tables.acpi");
/// The device tree of `qemu-arm-big-little`.
const BIG_LITTLE: &[u8] = include_bytes!("../../../../boards/qemu-arm-big-little/tree.dtb");

/// A base with the rules.
fn empty() -> Base {
    let mut base = Base::new(Limits::default());
    if let Err(e) = base.load(RULES) {
        panic!("rules/machine.dl: {e}");
    }
    base
}

/// Applies changes that fit.
fn apply(base: &mut Base, changes: &Changes) {
    if let Err(e) = base.apply(changes) {
        panic!("{e}");
    }
}

/// Withdraws what fits the patterns, then asserts the facts.
fn tell(base: &mut Base, withdrawn: &[&str], asserted: &str) {
    let mut changes = Changes::default();
    for pattern in withdrawn {
        changes.withdraw_text(pattern).expect(pattern);
    }
    changes.assert_text(asserted).expect(asserted);
    apply(base, &changes);
}

/// Says that every core runs an OSnode, and which kernels there are.
fn start_all(base: &mut Base, isa: &str) {
    let cores = base.ask("core(C, _)").expect("fine").rows;
    let mut changes = Changes::default();
    for core in cores {
        let osnode = core[0].as_u64().map_or(0, |c| c + 1);
        changes.assert("running", &[core[0].clone(), osnode.into()]);
    }
    apply(base, &changes);
    let kernels = format!("kernel_image(\"std\", {isa}). kernel_image(\"rt\", {isa}).");
    tell(base, &[], &kernels);
}

/// Withdraws all that is known of a core.
fn take_away(base: &mut Base, core: u32) {
    let changes = Changes {
        withdrawn: base.about("Core", &Value::from(core)),
        ..Changes::default()
    };
    apply(base, &changes);
}

/// The rows of an answer, columns joined by blanks and rows by commas.
fn ask(base: &Base, question: &str) -> String {
    let answer = match base.ask(question) {
        Ok(answer) => answer,
        Err(e) => panic!("{question}: {e}"),
    };
    let row = |row: &Vec<Value>| {
        let values: Vec<String> = row.iter().map(ToString::to_string).collect();
        values.join(" ")
    };
    let rows: Vec<String> = answer.rows.iter().map(row).collect();
    rows.join(", ")
}

/// That the multicast tree of `root` reaches every member but the root once, in two levels.
fn check_tree(base: &Base, root: u32) {
    let members = ask(base, &format!("member(C), C != {root}"));
    let reached = ask(base, &format!("answer(T) :- multicast({root}, _, T)"));
    assert_eq!(members, reached, "from {root}");
    let edges = base.ask(&format!("multicast({root}, F, T)")).expect("fine");
    let count = base.ask(&format!("member(C), C != {root}")).expect("fine");
    assert_eq!(
        edges.rows.len(),
        count.rows.len(),
        "nobody is sent to twice"
    );
    let deep = format!("multicast({root}, A, B), A != {root}, multicast({root}, B, C)");
    assert_eq!(ask(base, &deep), "", "more than two levels from {root}");
}
