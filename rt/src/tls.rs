//! Words in thread-local storage, reached through the TLS base at each access.

use core::cell::Cell;

/// Words that a program may use.
pub const WORDS: usize = 16;

#[cfg(nekton_user)]
#[thread_local]
static LOCAL: [Cell<u64>; WORDS] = [const { Cell::new(0) }; WORDS];

#[cfg(not(nekton_user))]
std::thread_local! {
    static LOCAL: [Cell<u64>; WORDS] = const { [const { Cell::new(0) }; WORDS] };
}

#[cfg(nekton_user)]
fn word<R>(index: usize, f: impl FnOnce(&Cell<u64>) -> R) -> R {
    f(&LOCAL[index])
}

#[cfg(not(nekton_user))]
fn word<R>(index: usize, f: impl FnOnce(&Cell<u64>) -> R) -> R {
    LOCAL.with(|l| f(&l[index]))
}

/// Reads word `index` (< [`WORDS`]).
#[must_use]
pub fn get(index: usize) -> u64 {
    word(index, Cell::get)
}

/// Writes word `index` (< [`WORDS`]).
pub fn set(index: usize, value: u64) {
    word(index, |w| w.set(value));
}

/// The TLS base: the same for the whole life of the process.
#[must_use]
pub fn base() -> u64 {
    crate::isa::tls_base()
}
