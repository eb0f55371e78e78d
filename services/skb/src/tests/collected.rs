//! What is collected besides firmware's tables.

use super::{apply, ask, empty};
use crate::RULES;
use crate::collect;
use crate::datalog::{Changes, Clause, Fact, parse};
use firmware::Problem;
use std::string::ToString;
use std::vec::Vec;

/// Every input with a core among its arguments is about that core, or only others tell it.
#[test]
fn facts_about_a_core_are_known() {
    let told_by_others = ["latency", "reserved", "kernel_wish"];
    for clause in parse(RULES).expect("the rules") {
        let Clause::Input {
            name, arguments, ..
        } = clause
        else {
            continue;
        };
        for (at, argument) in arguments.iter().enumerate() {
            let mut values = Vec::new();
            for i in 0..arguments.len() {
                values.push((if i == at { 7u32 } else { 1u32 }).into());
            }
            let fact = Fact {
                name: name.clone(),
                values,
            };
            let about = collect::is_about(&fact, 7);
            let expected = argument.ends_with("Core") && !told_by_others.contains(&&*name);
            assert_eq!(about, expected, "{name}: {argument}");
        }
    }
}

#[test]
fn the_archives_files_are_facts() {
    let mut facts = Changes::default();
    facts
        .assert_text("isa(aarch64). core(0, 0). device(u, pl011). running(0, 1).")
        .expect("facts");
    let files = [
        "manifest",
        "kernel/std",
        "kernel/rt",
        "bin/console-pl011",
        "exec",
        "bin/a/b",
    ];
    collect::archive(files.into_iter(), &mut facts);
    let mut b = empty();
    apply(&mut b, &facts);
    assert_eq!(
        ask(&b, "kernel_image(K, I)"),
        "\"rt\" aarch64, \"std\" aarch64"
    );
    assert_eq!(ask(&b, "program_image(P)"), "\"a/b\", \"console-pl011\"");
    assert_eq!(
        ask(&b, "driver(u, P), driver_core(u, C)"),
        "\"console-pl011\" 0"
    );
    assert_eq!(ask(&b, "undriven(C)"), "0", "it cannot be started");
    // Without the program in the archive nothing drives the device.
    let mut b = empty();
    facts.asserted.retain(|f| &*f.name != "program_image");
    apply(&mut b, &facts);
    assert_eq!(ask(&b, "driver(D, P)"), "");
}

#[test]
fn problems_are_facts() {
    let mut facts = Changes::default();
    let problem = Problem {
        table: "SLIT",
        field: "number of \"localities\"".to_string(),
        why: "0 do not fit".to_string(),
    };
    collect::problems(&[problem], &mut facts);
    let mut b = empty();
    apply(&mut b, &facts);
    let told = "\"SLIT\" \"number of \\\"localities\\\"\" \"0 do not fit\"";
    assert_eq!(ask(&b, "problem(T, F, W)"), told);
}
