//! FPU state: one layout, 832 bytes (`abi::disp::AREA_FPU_BYTES`).
//!
//! XSAVE standard format with x87, SSE and AVX (SDM vol. 1, 13.4): 512 bytes
//! legacy, 64 bytes header, 256 bytes AVX. Without XSAVE the first 512 bytes,
//! as FXSAVE writes them, in the same place.

/// XCR0: x87, SSE, AVX and no more.
pub const XCR0: u64 = 7;
/// `capfmt::Kcb::features`: x87 and SSE by FXSAVE.
pub const FEATURE_FXSAVE: u64 = 1 << 0;
/// `capfmt::Kcb::features`: x87, SSE and AVX by XSAVE.
pub const FEATURE_XSAVE_AVX: u64 = 1 << 1;
/// Bytes of the state.
pub const BYTES: u64 = 832;
/// Control word after FNINIT: exceptions masked, 64-bit precision.
pub const FRESH_CONTROL: u64 = 0x037f;
/// MXCSR after reset: exceptions masked, round to nearest.
pub const FRESH_MXCSR: u64 = 0x1f80;
/// Words of a fresh state, the others being 0: control word, MXCSR, and in the
/// header x87 and SSE as present (a zero header would leave MXCSR out on some paths).
pub const FRESH: &[(u64, u64)] = &[(0, FRESH_CONTROL), (24, FRESH_MXCSR), (512, 3)];

/// Instructions over state in memory, for kernels.
#[cfg(target_arch = "x86_64")]
pub mod state {
    use core::arch::asm;

    /// Lets XSAVE know x87, SSE and AVX.
    ///
    /// # Safety
    /// CR4.OSXSAVE is set and the processor has AVX.
    pub unsafe fn enable_xsave() {
        // SAFETY: the caller's promise; the value is one that SDM vol. 1, 13.3 allows.
        unsafe {
            asm!("xsetbv", in("ecx") 0, in("eax") super::XCR0 as u32, in("edx") 0,
                options(nomem, nostack, preserves_flags));
        }
    }

    /// Writes the live state.
    ///
    /// # Safety
    /// `area` is the address of [`super::BYTES`] writable bytes, 64-byte aligned; XSAVE is on if `xsave`.
    #[inline]
    pub unsafe fn save(area: u64, xsave: bool) {
        if xsave {
            // SAFETY: the caller's promise.
            unsafe {
                asm!("xsave64 [{0}]", in(reg) area, in("eax") super::XCR0 as u32, in("edx") 0,
                    options(nostack, preserves_flags));
            }
        } else {
            // SAFETY: the caller's promise.
            unsafe { asm!("fxsave64 [{0}]", in(reg) area, options(nostack, preserves_flags)) }
        }
    }
}
