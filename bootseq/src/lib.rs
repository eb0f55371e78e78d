//! Core operations as pure sequences: start, stop, update, recover, and their bulk form.

#![no_std]
#![forbid(unsafe_code)]
