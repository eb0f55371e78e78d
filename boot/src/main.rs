//! The image that firmware enters: its ISA's door, then [`boot::handover::start`].

#![no_std]
#![no_main]

#[cfg(target_arch = "aarch64")]
#[path = "arm/mod.rs"]
mod isa;
#[cfg(target_arch = "x86_64")]
#[path = "x86/mod.rs"]
mod isa;
