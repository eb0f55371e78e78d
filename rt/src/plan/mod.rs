//! Decisions without system calls, tried on the host: which slots, addresses, ring slots, TLS places.

pub mod block;
pub mod ranges;
pub mod rings;
pub mod slots;
pub mod tables;
pub mod tls;
