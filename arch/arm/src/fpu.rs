//! FPU state of a user context, one fixed layout: q0–q31, then FPCR, then FPSR.
//!
//! SVE and SME are trapped (`registers::CPACR_FP_ONLY`), so the 128-bit
//! registers are all there is.

/// `capfmt::Kcb::features`: FP and SIMD in this layout.
pub const FEATURE_FP_SIMD: u64 = 1 << 0;
/// Offset of FPCR in the state.
pub const FPCR: u64 = 0x200;
/// Offset of FPSR in the state.
pub const FPSR: u64 = 0x208;
/// Bytes of the state.
pub const BYTES: u64 = 0x210;
/// What a fresh context needs in its state: (offset, word) pairs. Round to nearest, no traps.
pub const FRESH: &[(u64, u64)] = &[(FPCR, 0), (FPSR, 0)];

#[cfg(target_arch = "aarch64")]
mod instructions {
    use super::{FPCR, FPSR};
    use crate::registers::{FPCR_MASK, FPSR_MASK};

    core::arch::global_asm!(
        include_str!("fpu.S"),
        FPCR = const FPCR,
        FPSR = const FPSR,
        FPCR_MASK_LOW = const FPCR_MASK & 0xffff,
        FPCR_MASK_HIGH = const FPCR_MASK >> 16,
        FPSR_MASK_LOW = const FPSR_MASK & 0xffff,
        FPSR_MASK_HIGH = const FPSR_MASK >> 16,
    );

    unsafe extern "C" {
        fn nekton_fpu_save(to: *mut u8);
        fn nekton_fpu_restore(from: *const u8);
    }

    /// Writes the live state to `to`.
    ///
    /// # Safety
    /// `to` must be writable for [`super::BYTES`] bytes and 16-byte aligned, and CPACR_EL1 must let
    /// EL1 use the FPU.
    #[inline]
    pub unsafe fn save(to: *mut u8) {
        // SAFETY: the caller's contract is the routine's.
        unsafe { nekton_fpu_save(to) }
    }

    /// Loads the live state from `from`; reserved control bits found there are dropped.
    ///
    /// # Safety
    /// As [`save`], readable.
    #[inline]
    pub unsafe fn restore(from: *const u8) {
        // SAFETY: the caller's contract is the routine's.
        unsafe { nekton_fpu_restore(from) }
    }
}
#[cfg(target_arch = "aarch64")]
pub use instructions::*;
