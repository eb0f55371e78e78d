//! What an exception syndrome says (ESR_EL1, Arm ARM D17.2.37).

/// Why the processor left EL0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// `svc`: a system call.
    Svc,
    /// A translation, permission or access-flag fault at the address in FAR_EL1.
    Page {
        /// The access was a write.
        write: bool,
        /// The access was an instruction fetch.
        execute: bool,
    },
    /// An undefined, disabled or unknown instruction.
    Undefined,
    /// `brk`, or a debug event.
    Breakpoint,
    /// A register or instruction that EL0 may not use.
    Protection,
    /// A trapped floating-point exception.
    Float,
    /// A misaligned access, stack pointer or program counter.
    Alignment,
    /// Anything else.
    Other,
}

/// Class of `svc` from AArch64.
pub const CLASS_SVC: u64 = 0x15;

/// Exception class of a syndrome.
#[must_use]
#[inline]
pub const fn class(esr: u64) -> u64 {
    esr >> 26 & 0x3f
}

/// Decodes a syndrome taken from EL0.
#[must_use]
pub const fn decode(esr: u64) -> Cause {
    match class(esr) {
        CLASS_SVC => Cause::Svc,
        0x20 => abort(esr, false, true),
        // Cache maintenance reports itself as a write (WnR) though it needs no right to write.
        0x24 => abort(esr, esr & (1 << 6) != 0 && esr & (1 << 8) == 0, false),
        // FP/SIMD, SVE and SME while disabled, pointer authentication, unknown.
        0x00 | 0x07 | 0x09 | 0x19 | 0x1c | 0x1d => Cause::Undefined,
        0x18 | 0x01 => Cause::Protection,
        0x22 | 0x26 => Cause::Alignment,
        0x2c => Cause::Float,
        0x30 | 0x32 | 0x34 | 0x3c => Cause::Breakpoint,
        _ => Cause::Other,
    }
}

const fn abort(esr: u64, write: bool, execute: bool) -> Cause {
    match esr & 0x3f {
        // Address size, translation, access flag, permission; each at levels 0 to 3.
        0x00..=0x0f => Cause::Page { write, execute },
        0x21 => Cause::Alignment,
        _ => Cause::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn esr(class: u64, iss: u64) -> u64 {
        class << 26 | 1 << 25 | iss
    }

    #[test]
    fn aborts() {
        let page = |write, execute| Cause::Page { write, execute };
        assert_eq!(decode(esr(0x24, 0x07)), page(false, false));
        assert_eq!(decode(esr(0x24, 0x4f)), page(true, false));
        assert_eq!(decode(esr(0x24, 0x140 | 0x07)), page(false, false));
        assert_eq!(decode(esr(0x20, 0x0f)), page(false, true));
        assert_eq!(decode(esr(0x24, 0x21)), Cause::Alignment);
        assert_eq!(decode(esr(0x24, 0x10)), Cause::Other);
    }

    #[test]
    fn instructions() {
        assert_eq!(decode(esr(0x15, 0)), Cause::Svc);
        assert_eq!(decode(esr(0x00, 0)), Cause::Undefined);
        assert_eq!(decode(esr(0x19, 0)), Cause::Undefined);
        assert_eq!(decode(esr(0x18, 0)), Cause::Protection);
        assert_eq!(decode(esr(0x3c, 1)), Cause::Breakpoint);
        assert_eq!(decode(esr(0x2f, 0)), Cause::Other);
    }
}
