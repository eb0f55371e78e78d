//! Runs as an OSnode's first process, then, as a child of itself, in the role that its first
//! argument names. Prints one `ok`/`FAILED` line for each check.

#![no_std]
#![no_main]

extern crate alloc;

mod child;
mod local;
mod names;
mod starter;

rt::entry!(main);

fn main() -> i32 {
    let role = rt::env::args().nth(1);
    match role {
        Some(role) => child::run(role),
        None => starter::run(),
    }
}

/// Prints the outcome of a check; returns it.
fn check(what: &str, ok: bool) -> bool {
    rt::println!("{} {what}", if ok { "ok    " } else { "FAILED" });
    ok
}
