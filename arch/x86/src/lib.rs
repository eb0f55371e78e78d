//! Hardware vocabulary of x86_64.

#![no_std]
