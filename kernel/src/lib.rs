//! Kernel logic true on every ISA.

#![no_std]
#![forbid(unsafe_code)]
