//! Firmware calls that switch cores (PSCI) and end the machine.

/// How firmware is called (`/psci/method`; `capfmt::Core::isa_param[4]`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Conduit {
    /// No PSCI: cores cannot be switched by firmware.
    None = 0,
    /// `smc #0`.
    Smc = 1,
    /// `hvc #0`.
    Hvc = 2,
}

impl Conduit {
    /// The conduit with this number; unknown numbers are [`Conduit::None`].
    #[must_use]
    pub const fn from_u64(n: u64) -> Conduit {
        match n {
            1 => Conduit::Smc,
            2 => Conduit::Hvc,
            _ => Conduit::None,
        }
    }
    /// The conduit that a device tree's `method` names.
    #[must_use]
    pub fn from_method(method: &str) -> Conduit {
        match method {
            "smc" => Conduit::Smc,
            "hvc" => Conduit::Hvc,
            _ => Conduit::None,
        }
    }
}

/// Status words of PSCI (table 5-2 there), sign-extended.
pub mod status {
    /// Done.
    pub const SUCCESS: i64 = 0;
    /// The firmware has no such function; also what we answer where there is no conduit.
    pub const NOT_SUPPORTED: i64 = -1;
    /// An argument names no core.
    pub const INVALID_PARAMETERS: i64 = -2;
    /// The core is on.
    pub const ALREADY_ON: i64 = -4;
}

#[cfg(target_arch = "aarch64")]
mod calls {
    use super::{Conduit, status};
    use crate::registers::HwId;
    use smccc::psci::{
        PSCI_AFFINITY_INFO_64, PSCI_CPU_OFF, PSCI_CPU_ON_64, PSCI_SYSTEM_OFF, PSCI_VERSION,
    };
    use smccc::{Call, Hvc, Smc};

    fn call64(conduit: Conduit, function: u32, a: [u64; 3]) -> i64 {
        let mut args = [0; 17];
        args[..3].copy_from_slice(&a);
        match conduit {
            Conduit::None => status::NOT_SUPPORTED,
            Conduit::Smc => Smc::call64(function, args)[0] as i64,
            Conduit::Hvc => Hvc::call64(function, args)[0] as i64,
        }
    }

    fn call32(conduit: Conduit, function: u32) -> i64 {
        let result = match conduit {
            Conduit::None => return status::NOT_SUPPORTED,
            Conduit::Smc => Smc::call32(function, [0; 7])[0],
            Conduit::Hvc => Hvc::call32(function, [0; 7])[0],
        };
        i64::from(result as i32)
    }

    /// Version, major in bits 16–31.
    #[must_use]
    pub fn version(conduit: Conduit) -> i64 {
        call32(conduit, PSCI_VERSION)
    }

    /// Switches a core on at the physical address `entry`, with x0 = `context` and its MMU off.
    /// It enters at the exception level that this core had when firmware started us.
    #[must_use]
    pub fn cpu_on(conduit: Conduit, core: HwId, entry: u64, context: u64) -> i64 {
        call64(conduit, PSCI_CPU_ON_64, [core.affinity(), entry, context])
    }

    /// 0 on, 1 off, 2 on its way, or a negative status.
    #[must_use]
    pub fn affinity_info(conduit: Conduit, core: HwId) -> i64 {
        call64(conduit, PSCI_AFFINITY_INFO_64, [core.affinity(), 0, 0])
    }

    /// Switches this core off. Returns only when firmware refuses.
    #[must_use]
    pub fn cpu_off(conduit: Conduit) -> i64 {
        call32(conduit, PSCI_CPU_OFF)
    }

    /// Switches the machine off. Returns only when firmware refuses.
    #[must_use]
    pub fn system_off(conduit: Conduit) -> i64 {
        call32(conduit, PSCI_SYSTEM_OFF)
    }

    /// Ends an emulator with this exit code by semihosting (SYS_EXIT). Without semihosting the
    /// instruction is an undefined-instruction exception: the caller must be ready to take it.
    pub fn semihosting_exit(code: u64) {
        // ADP_Stopped_ApplicationExit, then the code.
        let block = [0x20026u64, code];
        // SAFETY: SYS_EXIT (0x18) reads the two words at x1 and does not return when it works.
        unsafe {
            core::arch::asm!(
                "hlt #0xf000",
                inout("x0") 0x18u64 => _,
                in("x1") block.as_ptr(),
                options(nostack)
            );
        }
    }
}
#[cfg(target_arch = "aarch64")]
pub use calls::*;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conduits() {
        for c in [Conduit::None, Conduit::Smc, Conduit::Hvc] {
            assert_eq!(Conduit::from_u64(c as u64), c);
        }
        assert_eq!(Conduit::from_u64(77), Conduit::None);
        assert_eq!(Conduit::from_method("hvc"), Conduit::Hvc);
        assert_eq!(Conduit::from_method("spin-table"), Conduit::None);
    }
}
