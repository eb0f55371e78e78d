//! Keeps a core's kernel busy with everything that an update could damage; `churn check` asks
//! whether all is well.
//!
//! The program starts five more of itself: a peer on the same OSnode (an LMP call is always in
//! flight to it), a peer on the home OSnode (a UMP message is always in flight to it), a
//! revoker, whose revokes take so long that updates land inside them, and a pair that only
//! notifications wake.
//! Arguments: none; `peer NAME`, `bell NAME` and `revoker COUNT` are what the program starts
//! itself with.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod bell;
mod busy;
mod peer;
mod revoker;

use rt::{env, task};

rt::entry!(main);

fn main() {
    rt::process::exit(start())
}

fn start() -> i32 {
    let mut args = env::args().skip(1);
    match (args.next(), args.next()) {
        (None, _) => task::block_on(busy::run()),
        (Some("peer"), Some(name)) => task::block_on(peer::serve(name)),
        (Some("bell"), Some(name)) => task::block_on(bell::run(name)),
        (Some("revoker"), Some(count)) => match count.parse() {
            Ok(n) if (16..=65_536).contains(&n) => task::block_on(revoker::run(n)),
            _ => {
                rt::println!("churn: \"{count}\" is not a number of capabilities, 16 to 65536");
                1
            }
        },
        (Some(other), _) => {
            rt::println!("churn: \"{other}\" is not understood");
            1
        }
    }
}
