//! Every mutable static of a kernel, and why it may die with the kernel (`statics-listed`).
//!
//! | static | holds | may die because |
//! |---|---|---|
//! | `KERNEL` (made by [`crate::kernel!`]) | [`Kernel`]: scheduler, ASIDs, device handles | the next kernel rebuilds it from DCBs and the Core object |
//! | [`LIVE_AREA`] | area that the live FPU registers belong to | used by this kernel's own panic only |
//! | [`LINK_BASE`] | where the image was loaded | belongs to the image |
//! | [`PANICKING`], [`HALTING`] | what the kernel is in the middle of | it does not come back from either |
//! | [`EMPTY_ROOT`] | a table without entries | constant; hardware needs it in memory |
//! | `nekton_emergency_stack` | stack after a fault of the kernel | used on the way to the pen only |
//! | [`MIRRORED`], [`MIRROR`] | log bytes that were mirrored, and to where | development aid |

use crate::run::{Kernel, Variant};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicU64};

/// Virtual address of the save area whose FPU registers are live; 0 = nobody's.
pub static LIVE_AREA: AtomicU64 = AtomicU64::new(0);
/// Run-time address of the image's first byte.
pub static LINK_BASE: AtomicU64 = AtomicU64::new(0);
/// Set by the first panic: a second one goes straight to the pen.
pub static PANICKING: AtomicBool = AtomicBool::new(false);
/// The machine is being switched off: an exception here means that semihosting is absent.
pub static HALTING: AtomicBool = AtomicBool::new(false);
/// Bytes of the log ring that were mirrored to the loader's console.
pub static MIRRORED: AtomicU64 = AtomicU64::new(0);
/// Virtual address of the PL011 to mirror to, or 0.
pub static MIRROR: AtomicU64 = AtomicU64::new(0);

/// A page, aligned like one.
#[repr(C, align(4096))]
pub struct Page(UnsafeCell<[u8; 4096]>);

// SAFETY: nothing ever writes the page; only the walker reads it.
unsafe impl Sync for Page {}

/// A root table without entries, for TTBR0 while no user's is loaded.
pub static EMPTY_ROOT: Page = Page(UnsafeCell::new([0; 4096]));

core::arch::global_asm!(
    ".section .bss.nekton_emergency_stack, \"aw\", @nobits",
    ".balign 16",
    ".skip 4096",
    ".global nekton_emergency_stack_top",
    "nekton_emergency_stack_top:",
    ".text",
);

/// The place of the one [`Kernel`].
///
/// Invariant ONE-ENTRY: a core runs this image alone, an entry starts on the empty stack, and no
/// handler returns; so whatever reference an earlier entry had is dead when the next begins.
/// Exceptions from EL1 (`nekton_forced`, `nekton_kernel_fault`, a panic) do not touch it.
pub struct KernelCell<V: Variant>(UnsafeCell<MaybeUninit<Kernel<V>>>);

// SAFETY: ONE-ENTRY: there is no second core or thread in this image.
unsafe impl<V: Variant> Sync for KernelCell<V> {}

impl<V: Variant> KernelCell<V> {
    /// An empty place.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "made once, in a static")]
    pub const fn new() -> Self {
        KernelCell(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Puts the kernel there.
    ///
    /// # Safety
    /// Once, from the image's entry, before any exception from EL0.
    #[expect(
        clippy::mut_from_ref,
        reason = "ONE-ENTRY is what makes it the only one"
    )]
    pub unsafe fn init(&'static self, kernel: Kernel<V>) -> &'static mut Kernel<V> {
        // SAFETY: ONE-ENTRY, and nobody has a reference yet: this is the first entry.
        let place = unsafe { &mut *self.0.get() };
        place.write(kernel)
    }

    /// The kernel, at the beginning of an entry.
    ///
    /// # Safety
    /// Once per entry from EL0, from its handler. EL0 is entered only after `init`.
    #[expect(
        clippy::mut_from_ref,
        reason = "ONE-ENTRY is what makes it the only one"
    )]
    pub unsafe fn enter(&'static self) -> &'static mut Kernel<V> {
        // SAFETY: ONE-ENTRY: no other reference is alive.
        let place = unsafe { &mut *self.0.get() };
        // SAFETY: EL0 was entered, so `init` has run.
        unsafe { place.assume_init_mut() }
    }
}
