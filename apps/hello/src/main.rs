//! Says hello: what a minimal program looks like, and whether the runtime stands.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;

rt::entry!(main);

fn main() {
    let args: Vec<&str> = rt::env::args().collect();
    rt::println!("hello from {} {:?}", rt::env::pid(), args);
}
