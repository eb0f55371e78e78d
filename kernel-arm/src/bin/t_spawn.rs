//! `t-spawn`: a test kernel that runs well for a while, then ruins the spawn service.

#![no_std]
#![no_main]

struct Test;

impl kernel_arm::Variant for Test {
    type Policy = kernel::Erring<kernel::Ruining<kernel::TheSpawnService>>;
    const NAME: &'static str = "t-spawn";
    const BASE: u64 = abi::vaddr::IMAGE_SLOT;
}

kernel_arm::kernel!(Test);
