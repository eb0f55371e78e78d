//! Hardware vocabulary of x86_64: what the loader, the kernels and the boot driver say to the machine.
//!
//! Page-table entries ([`paging`]), control and model-specific registers and
//! CPUID ([`registers`]), descriptors ([`descriptors`]), the local APIC and the
//! IO-APIC ([`apic`], [`sources`]), save areas ([`context`]), FPU state ([`fpu`]), barriers ([`barrier`]), the 16550 as
//! an early console ([`uart`]), the machine code of the pen ([`pen`]) and of the
//! SIPI trampoline ([`trampoline`]).
//!
//! Everything that can be computed is a plain function that a host can test;
//! only instructions stand behind `cfg(target_arch = "x86_64")`. Not here: what
//! a kernel does with all this (`kernel-x86`), or where anything is mapped
//! (`abi::vaddr`, `genesis`).
//!
//! Manuals cited: SDM = Intel 64 and IA-32 Architectures Software Developer's
//! Manual, 325462-080; APM = AMD64 Architecture Programmer's Manual, 24593 rev 3.42.

#![no_std]

pub mod apic;
pub mod barrier;
pub mod context;
pub mod descriptors;
pub mod fpu;
pub mod paging;
pub mod pen;
pub mod registers;
pub mod sources;
pub mod trampoline;
pub mod uart;
