//! `t-feature`: a test kernel that needs a feature that no core has.

#![no_std]
#![no_main]

struct Test;

impl kernel_x86::Variant for Test {
    type Policy = kernel::RoundRobin;
    const NAME: &'static str = "t-feature";
    const BASE: u64 = abi::vaddr::IMAGE_SLOT;
    const NEEDS: u64 = 1 << 63;
}

kernel_x86::kernel!(Test);
