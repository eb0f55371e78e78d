//! `trace`: fair shares by virtual time from a heap, every entry in an event ring, at another address.

#![no_std]
#![no_main]

struct Trace;

impl kernel_x86::Variant for Trace {
    type Policy = kernel::FairShare;
    const NAME: &'static str = "trace";
    const BASE: u64 = abi::vaddr::IMAGE_SLOT + (1 << 30);
}

kernel_x86::kernel!(Trace);
