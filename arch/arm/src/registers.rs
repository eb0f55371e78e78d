//! System registers: the values that loader, pen and kernels agree on, and what the ID registers offer.

use crate::paging;

/// TCR_EL1 without the fields that depend on the core: both halves 48 bits, 4-KiB granule,
/// walks inner shareable and write-back cached (Arm ARM D17.2.139).
pub const TCR_BASE: u64 = 16
    | 16 << 16
    | WALKS << 8
    | WALKS << 24
    // TG1: 4 KiB is 2 in the upper half, 0 in the lower.
    | 2 << 30;
/// IRGN, ORGN = write-back allocate (1, 1), SH = inner shareable (3), from bit 8 (and 24) on.
const WALKS: u64 = 1 | 1 << 2 | 3 << 4;
/// TCR_EL1.IPS: position of the physical address size.
pub const TCR_IPS_SHIFT: u64 = 32;
/// TCR_EL1.AS: 16-bit ASIDs.
pub const TCR_AS: u64 = 1 << 36;
/// TCR_EL1.E0PD1: EL0 accesses to the upper half fault without a walk.
pub const TCR_E0PD1: u64 = 1 << 56;

/// SCTLR_EL1 bits (Arm ARM D17.2.118).
pub mod sctlr {
    /// MMU on.
    pub const M: u64 = 1 << 0;
    /// Data caches on.
    pub const C: u64 = 1 << 2;
    /// Stack alignment is checked at EL1.
    pub const SA: u64 = 1 << 3;
    /// Stack alignment is checked at EL0.
    pub const SA0: u64 = 1 << 4;
    /// Without AArch32 these three are fixed (ITD, SED).
    pub const NO_AARCH32: u64 = 1 << 7 | 1 << 8;
    /// Exception exits and entries synchronise.
    pub const SYNC: u64 = 1 << 11 | 1 << 22;
    /// Instruction caches on.
    pub const I: u64 = 1 << 12;
    /// `dc zva` at EL0.
    pub const DZE: u64 = 1 << 14;
    /// CTR_EL0 at EL0: user code sizes its cache maintenance.
    pub const UCT: u64 = 1 << 15;
    /// `wfi` and `wfe` at EL0 are not trapped: under round-robin emulation waiting users need them.
    pub const WAIT: u64 = 1 << 16 | 1 << 18;
    /// Writable memory is never executable, whatever the entry says.
    pub const WXN: u64 = 1 << 19;
    /// Fixed to one where the features behind it are absent (TSCXT, nTLSMD, LSMAOE).
    pub const ONES: u64 = 1 << 20 | 1 << 28 | 1 << 29;
    /// PSTATE.PAN keeps its value on exception entry; clear = set PAN on entry.
    pub const SPAN: u64 = 1 << 23;
    /// Cache maintenance by address at EL0: boot drivers clean what a starting core reads.
    pub const UCI: u64 = 1 << 26;

    /// While translation is off.
    pub const OFF: u64 = NO_AARCH32 | SYNC | ONES | SPAN;
    /// While translation is on, in loader and pen (A is clear: unaligned accesses are allowed, and programs are
    /// compiled to make them); kernels take [`super::Features::sctlr`].
    pub const ON: u64 =
        M | C | SA | SA0 | NO_AARCH32 | SYNC | I | DZE | UCT | WAIT | WXN | ONES | SPAN | UCI;
}

/// CPACR_EL1: FP/SIMD usable, SVE and SME trapped, no trace access.
pub const CPACR_FP_ONLY: u64 = 3 << 20;
/// CNTKCTL_EL1: EL0 reads the virtual counter, and nothing else of the timers.
pub const CNTKCTL_EL0_VIRTUAL_COUNTER: u64 = 1 << 1;

/// SPSR of a fresh user context: EL0, nothing masked, flags clear.
pub const SPSR_USER: u64 = 0;
const SPSR_NZCV: u64 = 0xf << 28;
const SPSR_DIT: u64 = 1 << 24;
const SPSR_SSBS: u64 = 1 << 12;
/// SPSR for EL1 on its own stack pointer with every exception masked.
pub const SPSR_EL1H_MASKED: u64 = 0x3c5;

/// Bits of the FPU control register that exist without trapping extensions (AHP … FZ16, and traps).
pub const FPCR_MASK: u64 = 0x07ff_9f00;
/// Bits of the FPU status register (QC and the cumulative flags).
pub const FPSR_MASK: u64 = 0x0800_009f;

/// What the core offers, as far as we use it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// Physical address bits as TCR_EL1.IPS numbers them, at most 5 (48 bits).
    pub ips: u64,
    /// 16-bit ASIDs.
    pub asid16: bool,
    /// Privileged access never.
    pub pan: bool,
    /// E0PD.
    pub e0pd: bool,
    /// PSTATE.DIT.
    pub dit: bool,
    /// PSTATE.SSBS.
    pub ssbs: bool,
    /// FP and SIMD.
    pub fp: bool,
    /// The system-register interface of a GICv3 or later.
    pub gic_sysregs: bool,
}

impl Features {
    /// Decodes ID_AA64MMFR0, MMFR1, MMFR2, PFR0 and PFR1, in this order.
    #[must_use]
    pub const fn decode(id: [u64; 5]) -> Features {
        const fn field(w: u64, low: u32) -> u64 {
            w >> low & 15
        }
        let ips = field(id[0], 0);
        Features {
            ips: if ips > 5 { 5 } else { ips },
            asid16: field(id[0], 4) == 2,
            pan: field(id[1], 20) != 0,
            e0pd: field(id[2], 60) != 0,
            dit: field(id[3], 48) != 0,
            ssbs: field(id[4], 4) != 0,
            fp: field(id[3], 16) != 15 && field(id[3], 20) != 15,
            gic_sysregs: field(id[3], 24) != 0,
        }
    }

    /// TCR_EL1 for this core.
    #[must_use]
    pub const fn tcr(&self) -> u64 {
        let mut tcr = TCR_BASE | self.ips << TCR_IPS_SHIFT;
        if self.asid16 {
            tcr |= TCR_AS;
        }
        if self.e0pd {
            tcr |= TCR_E0PD1;
        }
        tcr
    }

    /// SCTLR_EL1 for kernels on this core: where there is PAN, exceptions set it.
    #[must_use]
    pub const fn sctlr(&self) -> u64 {
        if self.pan {
            sctlr::ON & !sctlr::SPAN
        } else {
            sctlr::ON
        }
    }

    /// The mask for `capfmt::Kcb::features`: what an OSnode may rely on here.
    #[must_use]
    pub const fn mask(&self) -> u64 {
        if self.fp {
            crate::fpu::FEATURE_FP_SIMD
        } else {
            0
        }
    }

    /// The bits of a user's SPSR that are the user's own. All others must be 0 when EL0 is entered:
    /// then it is AArch64 at EL0 with nothing masked and no step pending.
    #[must_use]
    pub const fn user_spsr_mask(&self) -> u64 {
        let mut mask = SPSR_NZCV;
        if self.dit {
            mask |= SPSR_DIT;
        }
        if self.ssbs {
            mask |= SPSR_SSBS;
        }
        mask
    }
}

/// Names a core to the interrupt controller and to firmware: the four affinity fields of MPIDR_EL1,
/// packed Aff3 | Aff2 | Aff1 | Aff0 into 32 bits (`capfmt::Core::hw_id`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HwId(pub u32);

impl HwId {
    /// From MPIDR_EL1, or the `reg` of a device tree's cpu node.
    #[must_use]
    pub const fn from_mpidr(mpidr: u64) -> HwId {
        HwId((mpidr & 0xff_ffff | (mpidr >> 32 & 0xff) << 24) as u32)
    }
    /// As MPIDR_EL1, PSCI and GICD_IROUTER have it.
    #[must_use]
    pub const fn affinity(self) -> u64 {
        self.0 as u64 & 0xff_ffff | (self.0 as u64 >> 24) << 32
    }
    /// Affinity field `n` (0 to 3).
    #[must_use]
    pub const fn field(self, n: u32) -> u64 {
        self.0 as u64 >> (8 * n) & 0xff
    }
}

/// A TTBR value: table and ASID.
#[must_use]
pub const fn ttbr(root: u64, asid: u16) -> u64 {
    root & 0x0000_ffff_ffff_f000 | (asid as u64) << 48
}

const _: () = assert!(paging::MAIR == 0x04ff);

#[cfg(target_arch = "aarch64")]
mod access {
    use super::{Features, HwId};
    use aarch64_cpu::registers::{
        CNTFRQ_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0, ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1,
        ID_AA64MMFR2_EL1, ID_AA64PFR0_EL1, ID_AA64PFR1_EL1, MPIDR_EL1, Readable, TTBR0_EL1,
        TTBR1_EL1, Writeable,
    };
    use core::arch::asm;

    /// Sets the registers that a kernel rules: translation control, what EL0 may use, PAN. The TLB
    /// keeps what it has.
    ///
    /// # Safety
    /// At EL1 with translation on by the tables, TCR and MAIR that loader and pen use, and from
    /// memory that is not writable (WXN).
    pub unsafe fn init_kernel(features: &Features) {
        let (tcr, sctlr) = (features.tcr(), features.sctlr());
        // SAFETY: the new values agree with the old in all that concerns mapped memory.
        unsafe {
            asm!(
                "msr mair_el1, {mair}",
                "msr tcr_el1, {tcr}",
                "msr sctlr_el1, {sctlr}",
                "msr cpacr_el1, {cpacr}",
                "msr cntkctl_el1, {cntkctl}",
                "msr mdscr_el1, xzr",
                "msr tpidrro_el0, xzr",
                "isb",
                mair = in(reg) crate::paging::MAIR,
                tcr = in(reg) tcr,
                sctlr = in(reg) sctlr,
                cpacr = in(reg) super::CPACR_FP_ONLY,
                cntkctl = in(reg) super::CNTKCTL_EL0_VIRTUAL_COUNTER,
                options(nostack, preserves_flags)
            );
        }
        if features.pan {
            // SAFETY: MSR PAN, #1: kernels reach users' memory through the window only.
            unsafe { asm!(".inst 0xd500419f", options(nostack, preserves_flags)) }
        }
    }

    /// TTBR1_EL1: physical address of the kernel's root table.
    #[must_use]
    pub fn kernel_root() -> u64 {
        TTBR1_EL1.get() & 0x0000_ffff_ffff_f000
    }

    /// Sets TTBR0_EL1 (see [`super::ttbr`]); takes effect at the next synchronisation.
    #[inline]
    pub fn set_user_root(ttbr: u64) {
        TTBR0_EL1.set(ttbr);
    }

    /// Physical address of what EL1 has mapped readable at `va`.
    #[must_use]
    pub fn translate(va: u64) -> Option<u64> {
        let par: u64;
        // SAFETY: a translation by hardware affects PAR_EL1 only.
        unsafe {
            asm!(
                "at s1e1r, {0}",
                "isb",
                "mrs {1}, par_el1",
                in(reg) va,
                out(reg) par,
                options(nostack, preserves_flags)
            );
        }
        (par & 1 == 0).then_some(par & 0x0000_ffff_ffff_f000 | va & 0xfff)
    }

    impl Features {
        /// Those of this core.
        #[must_use]
        pub fn read() -> Features {
            Features::decode([
                ID_AA64MMFR0_EL1.get(),
                ID_AA64MMFR1_EL1.get(),
                ID_AA64MMFR2_EL1.get(),
                ID_AA64PFR0_EL1.get(),
                ID_AA64PFR1_EL1.get(),
            ])
        }
    }

    /// What the processor says of itself, as `Core::processor_word` has it.
    #[must_use]
    pub fn own_processor() -> [u64; 8] {
        let midr: u64;
        // SAFETY: a register that every core has, read at EL1; reading it has no effect.
        unsafe {
            core::arch::asm!("mrs {}, midr_el1", out(reg) midr, options(nomem, nostack, preserves_flags));
        }
        [midr, 0, 0, 0, 0, 0, 0, 0]
    }

    impl HwId {
        /// This core's.
        #[must_use]
        pub fn own() -> HwId {
            HwId::from_mpidr(MPIDR_EL1.get())
        }
    }

    /// The virtual counter; monotone, the same on all cores. Not ordered before earlier accesses.
    #[must_use]
    #[inline]
    pub fn counter() -> u64 {
        CNTVCT_EL0.get()
    }

    /// Hertz of the counter, as firmware left it.
    #[must_use]
    pub fn counter_hz() -> u64 {
        CNTFRQ_EL0.get()
    }

    /// Makes the virtual timer raise PPI 27 when the counter reaches `at`.
    #[inline]
    pub fn arm_timer(at: u64) {
        CNTV_CVAL_EL0.set(at);
        CNTV_CTL_EL0.set(1);
    }

    /// Switches the virtual timer off; its interrupt is withdrawn.
    #[inline]
    pub fn stop_timer() {
        CNTV_CTL_EL0.set(0);
    }
}
#[cfg(target_arch = "aarch64")]
pub use access::*;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translation_control() {
        assert_eq!(TCR_BASE, 0xb510_3510);
        let f = Features {
            ips: 2,
            asid16: true,
            ..Features::default()
        };
        assert_eq!(f.tcr(), 0x12_b510_3510);
    }

    #[test]
    fn id_registers_of_a_cortex_a72() {
        // MMFR0, MMFR1, MMFR2, PFR0, PFR1 as in the Cortex-A72 manual, r0p3 (GIC sysregs on).
        let f = Features::decode([0x1124, 0, 0, 0x0100_0022, 0]);
        assert_eq!((f.ips, f.asid16, f.pan, f.fp), (4, true, false, true));
        assert!(f.gic_sysregs && !f.dit && !f.e0pd);
        assert_eq!(f.user_spsr_mask(), 0xf000_0000);
    }

    #[test]
    fn wide_physical_addresses_are_cut_to_48_bits() {
        assert_eq!(Features::decode([6, 0, 0, 0, 0]).ips, 5);
        let none = Features::decode([0, 0, 0, 0x00ff_0000, 0]);
        assert!(!none.fp);
    }

    #[test]
    fn a_forged_spsr_keeps_only_flags() {
        let all = Features::decode([0x22, 1 << 20, 1 << 60, 1 << 48, 1 << 4]);
        assert!(all.pan && all.e0pd);
        assert_eq!(all.sctlr() & sctlr::SPAN, 0);
        assert_eq!(Features::default().sctlr(), sctlr::ON);
        // Mode, AArch32 (bit 4), masks (6 to 9), IL (20), SS (21), PAN (22) never pass.
        let forbidden = 0x1f | 0xf << 6 | 1 << 20 | 1 << 21 | 1 << 22;
        assert_eq!(all.user_spsr_mask() & forbidden, 0);
        assert_eq!(all.user_spsr_mask() & SPSR_USER, SPSR_USER);
    }

    #[test]
    fn affinities_round_trip() {
        let id = HwId::from_mpidr(0x12_8134_5678 | 1 << 31);
        assert_eq!(id, HwId(0x1234_5678));
        assert_eq!(id.affinity(), 0x12_0034_5678);
        assert_eq!((id.field(3), id.field(0)), (0x12, 0x78));
    }

    #[test]
    fn control_bits_do_not_collide() {
        assert_eq!(sctlr::OFF & sctlr::M, 0);
        assert_eq!(sctlr::OFF & !sctlr::ON, 0);
        assert_eq!(sctlr::OFF, 0x30d0_0980);
    }
}
