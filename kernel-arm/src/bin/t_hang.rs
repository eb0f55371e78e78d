//! `t-hang`: a test kernel that spins in its start, before it adopts a KCB.

#![no_std]
#![no_main]

struct Test;

impl kernel_arm::Variant for Test {
    type Policy = kernel::RoundRobin;
    const NAME: &'static str = "t-hang";
    const BASE: u64 = abi::vaddr::IMAGE_SLOT;

    fn before_attach() {
        // No hint to the processor: an emulator that counts instructions takes microseconds for each.
        loop {
            core::hint::black_box(());
        }
    }
}

kernel_arm::kernel!(Test);
