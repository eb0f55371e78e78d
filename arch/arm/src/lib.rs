//! Hardware vocabulary of AArch64.

#![no_std]
