//! `t-format`: a test kernel of a KCB format that nothing is written in.

#![no_std]
#![no_main]

struct Test;

impl kernel_x86::Variant for Test {
    type Policy = kernel::RoundRobin;
    const NAME: &'static str = "t-format";
    const BASE: u64 = abi::vaddr::IMAGE_SLOT;
    const FORMATS: (u32, u32) = (9000, 9000);
}

kernel_x86::kernel!(Test);
