//! What kernel and user space agree on at a system call.

#![no_std]
#![forbid(unsafe_code)]
