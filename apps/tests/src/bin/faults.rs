//! Programs that fault are ended, and nobody else.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use rt::{env, provoke, task};
use tests::{Child, Suite};

rt::entry!(main);

const SELF: &str = "t-faults";

/// What the child does, and what its report must say.
const CASES: [(&str, &str); 10] = [
    ("unmapped", "PageFault"),
    ("kernel", "PageFault"),
    ("code", "PageFault"),
    ("data", "PageFault"),
    ("undefined", "Trap"),
    ("privileged", "Trap"),
    ("breakpoint", "Trap"),
    ("stack", "StackOverrun"),
    ("panic", "Panic"),
    ("divide", ""),
];

#[inline(never)]
fn overrun(depth: u64) -> u64 {
    let page = [depth; 512];
    // The compiler does not see that it never ends.
    if core::hint::black_box(false) {
        return depth;
    }
    let below = overrun(core::hint::black_box(depth + 1));
    core::hint::black_box(page)[depth as usize % 512] + below
}

fn misbehave(how: &str) -> i32 {
    match how {
        "unmapped" => provoke::read_unmapped(),
        "kernel" => provoke::read_kernel(),
        "code" => provoke::write_code(),
        "data" => provoke::execute_data(),
        "undefined" => provoke::undefined(),
        "privileged" => provoke::privileged(),
        "breakpoint" => provoke::breakpoint(),
        "divide" => provoke::divide(),
        "stack" => (overrun(0) == 0).into(),
        "panic" => panic!("on purpose"),
        _ => 1,
    }
}

fn main() -> i32 {
    if let Some(how) = env::args().nth(1) {
        return misbehave(how);
    }
    task::block_on(run())
}

async fn run() -> i32 {
    let mut suite = Suite::new("faults");
    for (how, text) in CASES {
        let result = Child::run(&[SELF, how]).await;
        suite.report(how, result.and_then(|end| end.expect_fault(text)));
    }
    suite.failed()
}
