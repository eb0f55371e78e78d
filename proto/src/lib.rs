//! What crosses OSnodes or processes as a message.

#![no_std]
#![forbid(unsafe_code)]
