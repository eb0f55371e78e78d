//! The user side of Nekton: what a program links to run as a process.
//!
//! A program is `#![no_std] #![forbid(unsafe_code)]`, a function `main` and
//! `rt::entry!(main)`. Start-up gives it stack, thread-local storage, heap, upcalls; then
//! [`mod@env`] has its arguments and capabilities, [`chan`] talks to services, [`task`] runs futures,
//! [`time`] has both clocks, [`mem`], [`vspace`] and [`invoke`] reach memory and capabilities.
//! Not here: what crosses processes (`proto`), what crosses the kernel boundary (`abi`).

#![no_std]
// On a host only the parts without system calls are used, by tests.
#![cfg_attr(not(nekton_user), allow(dead_code))]
#![cfg_attr(nekton_user, feature(allow_internal_unsafe, lang_items, thread_local))]
#![cfg_attr(
    nekton_user,
    expect(
        internal_features,
        reason = "programs forbid unsafe code and have an ordinary main, without std"
    )
)]

extern crate alloc;
#[cfg(not(nekton_user))]
extern crate std;

pub mod cap;
pub mod chan;
pub mod control;
pub mod domain;
pub mod env;
pub mod event;
mod exec;
mod fault;
mod heap;
pub mod invoke;
pub mod io;
mod isa;
pub mod keeper;
mod link;
pub mod lmp;
pub mod mem;
mod plan;
pub mod process;
pub mod provoke;
mod ram;
pub mod returns;
mod rings;
mod single;
pub mod skb;
pub mod spawn;
mod start;
pub mod task;
pub mod time;
pub mod tls;
pub mod ump;
pub mod vspace;

pub use abi::{CapAddr, SysError};
pub use cap::Capability;
pub use proto::{PeerError, ServiceError};

/// Declares the program's entry: a function that takes nothing and returns anything that is
/// [`process::Termination`]. If it is called `main` (not under another path) and the program is not
/// `#![no_main]`, a host can link the program, too, and so run its tests.
#[cfg(nekton_user)]
#[allow_internal_unsafe]
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        /// What the runtime calls.
        #[unsafe(no_mangle)]
        extern "C" fn nekton_program() -> i32 {
            $crate::process::Termination::status($main())
        }
    };
}

/// Declares the program's entry. On a host nothing is run; the function is only looked at.
#[cfg(not(nekton_user))]
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        const _: fn() -> i32 = || $crate::process::Termination::status($main());
    };
}

/// Prints to the console service, or to the kernel log before there is one.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::io::print(format_args!($($arg)*)) };
}

/// Prints a line (see [`print!`]).
#[macro_export]
macro_rules! println {
    () => { $crate::io::print(format_args!("\n")) };
    ($($arg:tt)*) => { $crate::io::print(format_args!("{}\n", format_args!($($arg)*))) };
}

/// Executes `abi::marker::THOUSAND` instructions between its two markers.
pub fn thousand() {
    isa::thousand();
}

/// Executes the marker instruction `N` (DESIGN §8): no effect but that the plugin sees it.
#[inline(always)]
pub fn marker<const N: u16>() {
    isa::marker::<N>();
}
