//! `t-panic`: a test kernel that panics in its start, before it adopts a KCB.

#![no_std]
#![no_main]

struct Test;

impl kernel_arm::Variant for Test {
    type Policy = kernel::RoundRobin;
    const NAME: &'static str = "t-panic";
    const BASE: u64 = abi::vaddr::IMAGE_SLOT;

    fn before_attach() {
        panic!("t-panic panics in its start");
    }
}

kernel_arm::kernel!(Test);
