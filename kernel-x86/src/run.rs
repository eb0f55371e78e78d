//! From an event to what runs next: the kernel's only loop.

use crate::context;
use crate::controller::Controller;
use crate::machine::X86Machine;
use crate::paging::AddressSpace;
use crate::panic;
use crate::statics::{LIVE_AREA, PAGE};
use crate::timer::Timer;
use crate::window::{CoreView, OWN_CORE};
use abi::vaddr::WINDOW;
use capfmt::{CoreStatus, FORMAT_VERSION, OLDEST_FORMAT, PhysAddr};
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
    const NEEDS: u64 = 0;

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
    pub(crate) machine: X86Machine<V>,
    /// The OSnode that it runs, or visits.
    pub(crate) osnode: Osnode<V::Policy>,
    pub(crate) care: Care<V::Policy>,
    pub(crate) space: AddressSpace,
    pub(crate) controller: Controller,
    pub(crate) timer: Timer,
}

/// Window address of OSnode memory.
const fn window(at: PhysAddr) -> u64 {
    WINDOW | at.0
}

impl<V: Variant> Kernel<V> {
    /// A system call, whose registers are at `area` (window).
    #[inline]
    pub fn system_call(&mut self, area: u64) -> ! {
        let event = V::event(Event::Syscall);
        let other = match event {
            Event::Syscall => care::call(&mut self.osnode, &mut self.care, &mut self.machine),
            event => {
                self.step(event);
                true
            }
        };
        match other {
            false => {
                self.carry_out_all();
                // SAFETY: what the entry code saved from goes on: page, root and live registers are its.
                unsafe { context::resume(area) }
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

    /// Handles `event` and what comes of it. Interrupts are off.
    pub fn run(&mut self, event: Event) -> ! {
        self.step(V::event(event));
        self.finish::<false>()
    }

    /// What runs first.
    pub fn begin(&mut self) -> ! {
        self.step(V::event(Event::Idle));
        self.finish::<true>()
    }

    /// `FIRST`: nothing ran yet.
    fn finish<const FIRST: bool>(&mut self) -> ! {
        if let Some(area) = self.osnode.resume().save_fpu {
            context::save_live(window(area));
        }
        self.carry_out_all();
        crate::log::mirror();
        match self.osnode.resume().next {
            Next::Run {
                page, area, root, ..
            } => self.dispatch::<FIRST>(page, area, root),
            Next::Idle => {
                LIVE_AREA.store(0, Ordering::Relaxed);
                self.timer.set(self.osnode.resume().deadline);
                self.space.leave();
                if FIRST {
                    context::mark_dispatched();
                }
                self.sleep()
            }
            Next::Pen => self.leave(),
            Next::Ended => self.end(),
        }
    }

    #[inline]
    fn dispatch<const FIRST: bool>(&mut self, page: PhysAddr, area: PhysAddr, root: PhysAddr) -> ! {
        let area = window(area);
        if self.osnode.resume().load_fpu {
            context::load_live(area);
        } else if !context::is_live(area) {
            context::load_fs_base(area);
        }
        LIVE_AREA.store(area, Ordering::Relaxed);
        PAGE.store(window(page), Ordering::Relaxed);
        self.timer.set(self.osnode.resume().deadline);
        self.space.enter(&mut self.machine, root);
        if FIRST {
            context::mark_dispatched();
        }
        // SAFETY: step chose `area` with this page and root; interrupts are off, and no caller is
        // returned to.
        unsafe { context::resume(area) }
    }

    /// Sleeps until an interrupt, whose handler begins anew: nothing returns here. An interrupt
    /// that came since the last look is taken after HLT has begun, as STI lets one more
    /// instruction pass (SDM vol. 2B, "STI").
    pub fn sleep(&self) -> ! {
        // SAFETY: the handlers of all interrupts start on an empty stack and need nothing of this one.
        unsafe { core::arch::asm!("2: sti", "hlt", "jmp 2b", options(noreturn, nostack)) }
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
        self.timer.off();
        self.controller.quiesce(&mut self.machine);
    }

    /// To the pen: the OSnode is detached, and so reported.
    fn leave(&mut self) -> ! {
        self.rest_for_good();
        panic::enter_pen(CoreStatus::Penned, OWN_CORE.target_seq(&CoreView))
    }
}
