//! Barriers, waiting, and cache maintenance for memory that another observer reads.

#[cfg(target_arch = "aarch64")]
mod instructions {
    use core::arch::asm;

    macro_rules! plain {
        ($($(#[doc = $doc:literal])* $name:ident = $text:literal;)*) => {$(
            $(#[doc = $doc])*
            #[inline]
            pub fn $name() {
                // SAFETY: a barrier or hint has no precondition and changes no register.
                unsafe { asm!($text, options(nostack, preserves_flags)) }
            }
        )*};
    }

    plain! {
        /// Orders all memory accesses before it and everything after it, for the whole system.
        dsb_sy = "dsb sy";
        /// As [`dsb_sy`], for the inner shareable domain (all cores).
        dsb_ish = "dsb ish";
        /// Orders memory accesses for the inner shareable domain, without waiting.
        dmb_ish = "dmb ish";
        /// Makes register and translation changes effective for the next instruction.
        isb = "isb";
        /// Sleeps until an interrupt is pending, masked by PSTATE or not.
        wfi = "wfi";
        /// Sleeps until an event; a yield under round-robin emulation.
        wfe = "wfe";
        /// Sends an event to all cores.
        sev = "sev";
        /// Tells the machine that this is a waiting loop.
        yield_core = "yield";
    }

    /// Bytes of the smallest data cache line (CTR_EL0.DminLine).
    fn data_line() -> u64 {
        let ctr: u64;
        // SAFETY: CTR_EL0 is readable at EL1, and at EL0 while SCTLR_EL1.UCT is set, as our kernels do.
        unsafe { asm!("mrs {0}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) }
        4 << (ctr >> 16 & 15)
    }

    /// Cleans `len` bytes at the virtual address `start` to the point of coherency, where a core
    /// with its caches off reads, and forgets stale instructions of the whole core.
    ///
    /// # Safety
    /// The range must be mapped readable.
    pub unsafe fn clean_for_execution(start: u64, len: u64) {
        let line = data_line();
        let mut at = start & !(line - 1);
        while at < start.saturating_add(len) {
            // SAFETY: a clean changes no contents; the address is mapped, as the caller says.
            unsafe { asm!("dc cvac, {0}", in(reg) at, options(nostack, preserves_flags)) }
            at += line;
        }
        dsb_sy();
        forget_instructions(start, len);
    }

    /// Forgets instructions fetched by this core, whatever their address.
    pub fn forget_own_instructions() {
        // SAFETY: invalidating fetched instructions changes no contents.
        unsafe {
            asm!(
                "ic iallu",
                "dsb nsh",
                "isb",
                options(nostack, preserves_flags)
            )
        }
    }

    /// Drops cache lines over memory that was written with caches off, so that memory is what counts.
    ///
    /// # Safety
    /// `len` bytes from `start` on (virtual, or physical while translation is off) must hold no data
    /// that only a cache has, line ends included.
    pub unsafe fn discard_lines(start: u64, len: u64) {
        let line = data_line();
        let mut at = start & !(line - 1);
        while at < start.saturating_add(len) {
            // SAFETY: the caller's promise.
            unsafe { asm!("dc ivac, {0}", in(reg) at, options(nostack, preserves_flags)) }
            at += line;
        }
        dsb_sy();
    }

    /// Forgets instructions fetched from `len` bytes at `start`, on every core.
    fn forget_instructions(start: u64, len: u64) {
        let ctr: u64;
        // SAFETY: as `data_line`.
        unsafe { asm!("mrs {0}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) }
        let line = 4 << (ctr & 15);
        let mut at = start & !(line - 1);
        while at < start.saturating_add(len) {
            // SAFETY: invalidating fetched instructions changes no contents.
            unsafe { asm!("ic ivau, {0}", in(reg) at, options(nostack, preserves_flags)) }
            at += line;
        }
        dsb_ish();
        isb();
    }
}

#[cfg(target_arch = "aarch64")]
pub use instructions::*;
