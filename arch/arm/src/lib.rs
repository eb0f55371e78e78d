//! Hardware vocabulary of AArch64: what the loader, the kernels and the boot driver say to the machine.
//!
//! Page-table entries ([`paging`]), system registers and their values
//! ([`registers`]), exception syndromes ([`exception`]), the generic interrupt
//! controller, versions 2 and 3 ([`gic`]), firmware calls ([`psci`]), save areas
//! ([`context`]), FPU state ([`fpu`]), barriers and cache maintenance ([`barrier`]), the PL011 as
//! an early console ([`uart`]), and the machine code of the pen ([`pen`]).
//!
//! Everything that can be computed is a plain function that a host can test;
//! only instructions stand behind `cfg(target_arch = "aarch64")`. Not here: what
//! a kernel does with all this (`kernel-arm`), or where anything is mapped
//! (`abi::vaddr`, `genesis`).
//!
//! Manuals cited: Arm ARM = ARM DDI 0487 J.a; GICv2 = ARM IHI 0048 B.b;
//! GICv3 = ARM IHI 0069 H; PSCI = ARM DEN 0022 E.

#![no_std]

pub mod barrier;
pub mod context;
pub mod exception;
pub mod fpu;
pub mod gic;
pub mod paging;
pub mod pen;
pub mod psci;
pub mod registers;
pub mod uart;
