//! What the in-guest tests share: reporting, child processes, random numbers.
//!
//! Each test program (`src/bin`) is started by the shell's `test NAME`, prints one
//! structured line for each test, and exits with the number of those that failed.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod child;
pub mod cores;
pub mod partner;
pub mod pool;
mod random;
mod suite;

pub use child::{Child, End};
pub use random::Random;
pub use suite::Suite;

#[cfg(test)]
mod tests {
    use crate::suite::quoted;

    #[test]
    fn text_is_quoted_for_json() {
        assert_eq!(quoted("a\"b\\c\nd\u{1}"), "a\\\"b\\\\c\\u000ad\\u0001");
    }
}
