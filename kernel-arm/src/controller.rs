//! The interrupt controller: what arrived, and to whom something goes.

use arch_arm::gic::{self, Gic, Mask, sgi};
use arch_arm::pen;
use arch_arm::registers::HwId;
use capfmt::{Core, PhysMap};

/// What an interrupt means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupt {
    /// Nothing is pending (any more).
    None,
    /// Nothing but being awake: the sender waits for the core to look.
    Wake,
    /// The timer.
    Timer,
    /// Notification bits may be set.
    Notify,
    /// A command stands on the home line.
    Stop,
    /// The core is wanted back, whatever runs.
    Force,
    /// A device; it is masked now.
    Device(u32),
}

/// The controller of this core.
#[derive(Clone, Copy, Debug)]
pub struct Controller {
    gic: Gic,
    own: HwId,
}

impl Controller {
    /// The controller that the Core object describes, its registers at `device_va`.
    ///
    /// # Safety
    /// The registers must be mapped there as `pen::DEVICES` orders them: distributor, then this
    /// core's part.
    pub unsafe fn new(m: &impl PhysMap, core: Core, device_va: u64) -> Controller {
        let distributor = (device_va + pen::DEVICE_GICD) as usize;
        let part = (device_va + pen::DEVICE_CORE_PART) as usize;
        let gic = if core.isa_param(m, pen::PARAM_GIC_VERSION) == 2 {
            // SAFETY: the caller's promise.
            unsafe { Gic::v2(distributor, part) }
        } else {
            // SAFETY: the caller's promise.
            unsafe { Gic::v3(distributor, part) }
        };
        Controller {
            gic,
            own: HwId::own(),
        }
    }

    /// Private interrupts as kernels want them; the mask is [`Mask::Kernel`] afterwards.
    pub fn init(&mut self) {
        self.gic.init_core();
    }

    /// Which interrupts reach the core.
    #[inline]
    pub fn mask(&self, mask: Mask) {
        self.gic.mask(mask);
    }

    /// Takes one pending interrupt. The timer's line is still up: see `Timer::fired`.
    pub fn take(&self) -> Interrupt {
        let taken = self.gic.acknowledge();
        let number = taken.number();
        if number >= gic::SPURIOUS {
            return Interrupt::None;
        }
        if number >= gic::FIRST_SPI {
            self.gic.mask_line(number);
        }
        self.gic.end(taken);
        match number {
            sgi::NOTIFY => Interrupt::Notify,
            sgi::STOP => Interrupt::Stop,
            sgi::FORCE => Interrupt::Force,
            gic::TIMER_PPI => Interrupt::Timer,
            gic::FIRST_SPI.. => Interrupt::Device(number),
            _ => Interrupt::Wake,
        }
    }

    /// Sends a software interrupt; `false` if the controller cannot name the core.
    pub fn send(&self, core: HwId, sgi: u32) -> bool {
        self.gic.send(core, sgi)
    }

    /// Routes a device interrupt here and unmasks it; `false` if there is no such line.
    pub fn unmask_line(&self, line: u64) -> bool {
        u32::try_from(line).is_ok_and(|line| self.gic.route_here(line, self.own))
    }

    /// Masks a device interrupt; `false` if there is no such line.
    pub fn mask_line(&self, line: u64) -> bool {
        u32::try_from(line).is_ok_and(|line| self.gic.mask_line(line))
    }

    /// Leaves the private interrupts as the pen wants them.
    pub fn quiesce(&self) {
        self.gic.quiesce();
    }
}
