//! From an event to what runs next.

use crate::context;
use crate::controller::{Controller, Interrupt};
use crate::machine::ArmMachine;
use crate::paging::AddressSpaces;
use crate::panic::{self, Epitaph};
use crate::statics::LIVE_AREA;
use crate::timer::Timer;
use abi::vaddr::WINDOW;
use arch_arm::barrier;
use arch_arm::gic::Mask;
use arch_arm::psci::Conduit;
use capfmt::{Core, FORMAT_VERSION, OLDEST_FORMAT, PhysAddr};
use core::sync::atomic::Ordering;
use kernel::care::{self, Care};
use kernel::{Event, Next, Osnode, Policy};

/// What makes one kernel differ from another.
pub trait Variant: 'static {
    /// Scheduling.
    type Policy: Policy;
    /// Name, at most 16 bytes.
    const NAME: &'static str;
    /// Load address: 2-MiB aligned, in the image slot.
    const BASE: u64;
    /// Newest and oldest KCB format that it reads.
    const FORMATS: (u32, u32) = (FORMAT_VERSION as u32, OLDEST_FORMAT as u32);
    /// Features that it needs of the core.
    const NEEDS: u64 = arch_arm::fpu::FEATURE_FP_SIMD;

    /// Called before the KCB is adopted. Test kernels misbehave here.
    fn before_attach() {}
    /// Every event passes here on its way to the step. Test kernels misbehave here.
    #[inline]
    fn event(event: Event) -> Event {
        event
    }
    /// Called after every word stored to OSnode memory. Test kernels misbehave here.
    #[inline]
    fn store() {}
}

/// A running kernel: scratch, all of it.
pub struct Kernel<V: Variant> {
    pub(crate) machine: ArmMachine<V>,
    /// The OSnode that it runs, or visits.
    pub(crate) osnode: Osnode<V::Policy>,
    pub(crate) care: Care<V::Policy>,
    pub(crate) spaces: AddressSpaces,
    pub(crate) controller: Controller,
    pub(crate) timer: Timer,
    pub(crate) conduit: Conduit,
    pub(crate) spsr_mask: u64,
    pub(crate) stack_top: u64,
    pub(crate) core: Core,
    /// What ended the last sleep.
    pub(crate) woken_by: Event,
}

/// Window address of OSnode memory.
const fn window(at: PhysAddr) -> u64 {
    WINDOW | at.0
}

impl<V: Variant> Kernel<V> {
    /// A system call, whose registers are at `area` (window). The controller masks all but FORCE.
    #[inline(always)]
    pub fn system_call(&mut self, area: u64) -> ! {
        let other = match V::event(Event::Syscall) {
            Event::Syscall => care::call(&mut self.osnode, &mut self.care, &mut self.machine),
            event => {
                self.step(event);
                true
            }
        };
        self.machine.publish_tables();
        crate::log::mirror();
        match other {
            false => {
                self.carry_out_all();
                context::mask_interrupts();
                self.controller.mask(Mask::Open);
                self.go_on(area)
            }
            true => self.finish::<false>(),
        }
    }

    /// What an event means, and what runs next.
    fn step(&mut self, event: Event) {
        care::run(&mut self.osnode, &mut self.care, &mut self.machine, event);
    }

    /// Carries out what the step asks for.
    #[inline]
    fn carry_out_all(&mut self) {
        let mut place = 0;
        while let Some(effect) = self.osnode.effects().get(place) {
            place += 1;
            self.carry_out(effect);
        }
    }

    /// Handles `event` and what comes of it. The controller masks all but FORCE.
    pub fn run(&mut self, event: Event) -> ! {
        self.step(V::event(event));
        self.machine.publish_tables();
        crate::log::mirror();
        self.finish::<false>()
    }

    /// What runs first. The controller masks all but FORCE.
    pub fn begin(&mut self) -> ! {
        self.step(V::event(Event::Idle));
        self.machine.publish_tables();
        self.finish::<true>()
    }

    /// `FIRST`: nothing ran yet.
    #[inline(never)]
    fn finish<const FIRST: bool>(&mut self) -> ! {
        if let Some(area) = self.osnode.resume().save_fpu {
            context::save_fpu(window(area));
        }
        self.carry_out_all();
        self.timer.set(self.osnode.resume().deadline);
        match self.osnode.resume().next {
            Next::Run {
                page, area, root, ..
            } => self.dispatch::<FIRST>(page, window(area), root),
            Next::Idle => {
                if FIRST {
                    context::mark_dispatched();
                }
                self.idle()
            }
            Next::Pen => self.leave(),
            Next::Ended => self.end(),
        }
    }

    #[inline]
    fn dispatch<const FIRST: bool>(&mut self, page: PhysAddr, area: u64, root: PhysAddr) -> ! {
        if self.osnode.resume().load_fpu {
            context::load_fpu(area);
        }
        self.spaces.enter(root);
        context::set_page(window(page));
        context::mask_interrupts();
        self.controller.mask(Mask::Open);
        if FIRST {
            context::mark_dispatched();
        }
        self.go_on(area)
    }

    /// Enters EL0 with the registers at `area` (window); PSTATE masks, the controller does not.
    #[inline]
    pub fn go_on(&self, area: u64) -> ! {
        // SAFETY: step chose `area` with this page and root, or nothing changed since the entry
        // that saved there; interrupts are masked, and no caller is returned to.
        unsafe { context::resume(area, self.spsr_mask, self.stack_top) }
    }

    /// Sleeps, then begins a new entry for what ended the sleep.
    #[cold]
    fn idle(&mut self) -> ! {
        LIVE_AREA.store(0, Ordering::Relaxed);
        self.woken_by = self.sleep();
        // SAFETY: nothing on the stack is needed any more: what the next entry is about stands in
        // `woken_by`, and this reference ends here (ONE-ENTRY).
        unsafe { context::restart(self.stack_top) }
    }

    /// The entry that follows a sleep.
    pub fn woken(&mut self) -> ! {
        self.run(self.woken_by)
    }

    /// Sleeps until an interrupt means something. Between the look and the sleep PSTATE masks: what
    /// comes in between ends the `wfi` at once.
    fn sleep(&mut self) -> Event {
        context::mask_interrupts();
        self.controller.mask(Mask::Open);
        self.spaces.leave();
        loop {
            if let Some(event) = self.take_interrupt() {
                self.shield();
                return event;
            }
            // What is pending and was not taken (or comes now) ends it at once.
            barrier::dsb_sy();
            barrier::wfi();
        }
    }

    /// Takes one interrupt; `None` if it means nothing to the OSnode. PSTATE masks.
    pub fn take_interrupt(&mut self) -> Option<Event> {
        match self.controller.take() {
            Interrupt::None | Interrupt::Wake => None,
            Interrupt::Timer => {
                self.timer.fired();
                Some(Event::Timer)
            }
            Interrupt::Notify => Some(Event::Notified),
            Interrupt::Stop => Some(Event::StopRequested),
            Interrupt::Device(line) => Some(Event::Irq(u64::from(line))),
            Interrupt::Force => panic::crash(
                Epitaph::Forced,
                0,
                0,
                format_args!("taken back while a user ran or the core slept"),
            ),
        }
    }

    /// The OSnode has ended: nobody runs on this core any more.
    #[cold]
    fn end(&mut self) -> ! {
        LIVE_AREA.store(0, Ordering::Relaxed);
        self.rest_for_good();
        match self.osnode.ending(&self.machine) {
            Some(ending) => panic::end_osnode(&ending),
            None => panic!("an OSnode ended that goes on"),
        }
    }

    fn rest_for_good(&mut self) {
        context::mask_interrupts();
        self.timer.set(None);
        self.controller.quiesce();
    }

    /// To the pen: the OSnode is detached, and so reported.
    fn leave(&mut self) -> ! {
        self.rest_for_good();
        let entry = self.core.pen_entry(&self.machine);
        // SAFETY: the Core object's pen entry, in tables that hold it; nothing here is needed again.
        unsafe { panic::enter_pen(entry) }
    }
}
