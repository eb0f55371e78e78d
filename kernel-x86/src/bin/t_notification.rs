//! `t-notification`: a test kernel that loses one notification of each process of `churn`.

#![no_std]
#![no_main]

struct Test;

impl kernel_x86::Variant for Test {
    type Policy = kernel::Losing<kernel::OneNotification>;
    const NAME: &'static str = "t-notification";
    const BASE: u64 = abi::vaddr::IMAGE_SLOT;
}

kernel_x86::kernel!(Test);
