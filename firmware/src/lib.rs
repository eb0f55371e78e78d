//! What firmware says of a machine: ACPI tables, device trees, CPUID.
//!
//! - [`acpi`]: RSDP, RSDT or XSDT, MADT, SRAT, SLIT, MCFG;
//! - [`tree`]: flattened device trees and what they say of cores, memory and interrupts;
//! - [`cpuid`]: where the parts of an APIC id begin;
//! - [`processor`]: which processor a core is.
//!
//! Total: no bytes make these functions panic or run without end. What is malformed becomes a
//! [`Problem`] that names table and field, and what is sound is read all the same. Not here: how
//! memory is reached (a closure reads it) and what follows from what firmware says.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod acpi;
pub mod cpuid;
mod problem;
pub mod processor;
pub mod tree;

pub use problem::Problem;

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;
