//! Carries out what a step asked for, after its commit. All effects are idempotent.

use crate::log;
use crate::run::{Kernel, Variant};
use crate::statics::HALTING;
use crate::window::{CoreView, OWN_CORE};
use abi::SysError;
use arch_arm::gic::sgi;
use arch_arm::paging::tlb;
use arch_arm::psci::{self, Conduit, status};
use arch_arm::registers::HwId;
use arch_arm::{barrier, pen};
use capfmt::{Core, PhysAddr, PhysMap};
use core::sync::atomic::Ordering;
use kernel::{Effect, Signal};

impl<V: Variant> Kernel<V> {
    /// Carries out one effect.
    pub fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::TlbPage(va) => tlb::flush_page(va),
            Effect::TlbAll => tlb::flush_all(),
            Effect::Signal(core, signal, answer) => {
                let done = self.signal(HwId(core as u32), signal);
                if let Some(at) = answer {
                    self.machine.store(at, done as u64);
                }
            }
            Effect::PublishHome(core, seq) => {
                let at = core.add(Core::HOME_SEQ_OFFSET);
                self.machine.store_release(at, seq);
            }
            Effect::IrqUnmask(line) => {
                if !self.controller.unmask_line(line) {
                    log::line(format_args!("interrupt {line} does not exist"));
                }
            }
            Effect::IrqMask(line) => {
                self.controller.mask_line(line);
            }
            Effect::PortIn(_, _, at) => self.no_ports(at),
            Effect::PortOut(port, ..) => {
                log::line(format_args!(
                    "no I/O ports here: write to {port:#x} dropped"
                ));
            }
            Effect::Halt(code) => halt(code),
        }
    }

    /// Firmware-like status: 0 done, negative refused.
    fn signal(&self, core: HwId, signal: Signal) -> i64 {
        let sgi = match signal {
            Signal::Wake => sgi::WAKE,
            Signal::Notify => sgi::NOTIFY,
            Signal::Stop => sgi::STOP,
            Signal::Nmi => sgi::FORCE,
            Signal::Init => return status::NOT_SUPPORTED,
            Signal::PowerOn(entry) => {
                barrier::dsb_sy();
                return psci::cpu_on(self.conduit, core, entry, 0);
            }
        };
        if self.controller.send(core, sgi) {
            status::SUCCESS
        } else {
            status::INVALID_PARAMETERS
        }
    }

    /// The result word is r1 of the caller's save area; the status before it says why there is none.
    fn no_ports(&mut self, result: PhysAddr) {
        let status = PhysAddr(result.0.wrapping_sub(8));
        self.machine.store(status, SysError::NoFeature as u64);
    }
}

/// Ends the machine.
pub fn halt(code: u64) -> ! {
    HALTING.store(true, Ordering::Relaxed);
    match code {
        0 => log::mirror(),
        _ => log::last_words(),
    }
    psci::semihosting_exit(code);
    power_off()
}

/// Switches the machine off by firmware; where firmware refuses, this core sleeps for good.
pub fn power_off() -> ! {
    let conduit = Conduit::from_u64(OWN_CORE.isa_param(&CoreView, pen::PARAM_CONDUIT));
    let refused = psci::system_off(conduit);
    log::line(format_args!(
        "firmware does not switch off: status {refused}"
    ));
    log::mirror();
    loop {
        crate::context::mask_interrupts();
        barrier::wfi();
    }
}
