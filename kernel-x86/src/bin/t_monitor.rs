//! `t-monitor`: a test kernel that runs well for a while, then ruins the monitor.

#![no_std]
#![no_main]

struct Test;

impl kernel_x86::Variant for Test {
    type Policy = kernel::Erring<kernel::Ruining<kernel::TheMonitor>>;
    const NAME: &'static str = "t-monitor";
    const BASE: u64 = abi::vaddr::IMAGE_SLOT;
}

kernel_x86::kernel!(Test);
