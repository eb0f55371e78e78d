//! The format that survives kernels.

#![no_std]
#![forbid(unsafe_code)]
