//! `std`: reserved budgets (earliest deadline first), round robin for the rest.

#![no_std]
#![no_main]

struct Std;

impl kernel_arm::Variant for Std {
    type Policy = kernel::RoundRobin;
    const NAME: &'static str = "std";
    const BASE: u64 = abi::vaddr::IMAGE_SLOT;
}

kernel_arm::kernel!(Std);
