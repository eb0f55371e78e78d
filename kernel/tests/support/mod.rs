//! What the tests of the kernel's logic stand on.
#![allow(dead_code, reason = "each test program uses its part")]

pub mod check;
pub mod machine;
pub mod many;
pub mod process;
pub mod random;
pub mod world;
