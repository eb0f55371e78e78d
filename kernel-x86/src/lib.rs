//! The x86_64 kernels.
#![no_std]
