//! `t-tick`: a test kernel that loses one tick of each `ticker`.

#![no_std]
#![no_main]

struct Test;

impl kernel_x86::Variant for Test {
    type Policy = kernel::Erring<kernel::Losing<kernel::OneTick>>;
    const NAME: &'static str = "t-tick";
    const BASE: u64 = abi::vaddr::IMAGE_SLOT;
}

kernel_x86::kernel!(Test);
