//! `t-hang`: a test kernel that spins in its start, before it adopts a KCB.

#![no_std]
#![no_main]

struct Test;

impl kernel_arm::Variant for Test {
    type Policy = kernel::RoundRobin;
    const NAME: &'static str = "t-hang";
    const BASE: u64 = abi::vaddr::IMAGE_SLOT;

    fn before_attach() {
        loop {
            core::hint::spin_loop();
        }
    }
}

kernel_arm::kernel!(Test);
