//! Every mutable static of a kernel, and why it may die with the kernel (`statics-listed`).
//!
//! | static | holds | may die because |
//! |---|---|---|
//! | `KERNEL` (made by [`crate::kernel!`]) | [`Kernel`]: scheduler, timer, device handles | the next kernel rebuilds it from DCBs and the Core object |
//! | [`PAGE`] | page of the current dispatcher, for `entry.S` | every return to user mode sets it |
//! | [`SAVED_SP`], [`SAVED_RAX`] | a user's register for a few instructions of `entry.S` | no kernel ends between them (an NMI there waits) |
//! | [`STACK_TOP`], [`BASE`] | where the image's stack and first byte are | belongs to the image |
//! | [`LIVE_AREA`] | area that the live FPU registers and FS base belong to | used by this kernel only |
//! | [`XSAVE`], [`FSGSBASE`] | what the processor can do | read again by the next kernel |
//! | [`APIC`] | mode and place of the local APIC | as before |
//! | [`PANICKING`] | a panic is on its way | it does not come back |
//! | [`TABLES`] | descriptor tables | the next kernel loads its own |
//! | `nekton_nmi_stack`, `nekton_fault_stack` | stacks | used on the way to the pen only |
//! | [`MIRRORED`] | log bytes that were mirrored | development aid |

use crate::run::{Kernel, Variant};
use arch_x86::apic::Lapic;
use arch_x86::descriptors::{GDT_WORDS, TSS_BYTES};
use arch_x86::fpu;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Virtual address of the current dispatcher's page.
pub static PAGE: AtomicU64 = AtomicU64::new(0);
/// The user's rsp, between the first instructions of a system call.
pub static SAVED_SP: AtomicU64 = AtomicU64::new(0);
/// The user's rax, between the first instructions of a trap.
pub static SAVED_RAX: AtomicU64 = AtomicU64::new(0);
/// Top of the kernel stack.
pub static STACK_TOP: AtomicU64 = AtomicU64::new(0);
/// Run-time address of the image's first byte.
pub static BASE: AtomicU64 = AtomicU64::new(0);
/// Virtual address of the save area whose FPU registers and FS base are live; 0 = nobody's.
pub static LIVE_AREA: AtomicU64 = AtomicU64::new(0);
/// XSAVE with AVX is on; else FXSAVE.
pub static XSAVE: AtomicBool = AtomicBool::new(false);
/// RDFSBASE and friends are on.
pub static FSGSBASE: AtomicBool = AtomicBool::new(false);
/// Set by the first panic: a second one goes straight to the pen.
pub static PANICKING: AtomicBool = AtomicBool::new(false);
/// Bytes of the log ring that were mirrored to the loader's console.
pub static MIRRORED: AtomicU64 = AtomicU64::new(0);
/// The local APIC: 0 = not set up, 1 = x2APIC, else virtual address of its registers.
static APIC: AtomicU64 = AtomicU64::new(0);

/// Remembers how the local APIC is reached, for code that has no [`Kernel`].
pub fn set_apic(apic: Lapic) {
    let word = match apic {
        Lapic::X2 => 1,
        Lapic::Memory(base) => base,
    };
    APIC.store(word, Ordering::Relaxed);
}

/// The local APIC, once it is set up.
pub fn apic() -> Option<Lapic> {
    match APIC.load(Ordering::Relaxed) {
        0 => None,
        1 => Some(Lapic::X2),
        base => Some(Lapic::Memory(base)),
    }
}

/// State that replaces what XRSTOR refuses.
#[repr(C, align(64))]
pub struct FpuState([u64; (fpu::BYTES / 8) as usize]);

/// FPU registers as a fresh context has them.
pub static FRESH_FPU: FpuState = {
    let mut words = [0; (fpu::BYTES / 8) as usize];
    let mut i = 0;
    while i < fpu::FRESH.len() {
        let (offset, word) = fpu::FRESH[i];
        words[(offset / 8) as usize] = word;
        i += 1;
    }
    FpuState(words)
};

/// Descriptor tables of this core.
#[repr(C, align(16))]
pub struct Tables {
    /// Interrupt table.
    pub idt: UnsafeCell<[[u64; 2]; 256]>,
    /// Segments.
    pub gdt: UnsafeCell<[u64; GDT_WORDS]>,
    /// Task state segment.
    pub tss: UnsafeCell<[u8; TSS_BYTES]>,
}

// SAFETY: written once by `entry::load_tables`, before the processor is told of them; no
// second core runs this image. Afterwards only the processor reads (and marks the TSS busy).
unsafe impl Sync for Tables {}

/// See [`Tables`].
pub static TABLES: Tables = Tables {
    idt: UnsafeCell::new([[0; 2]; 256]),
    gdt: UnsafeCell::new([0; GDT_WORDS]),
    tss: UnsafeCell::new([0; TSS_BYTES]),
};

/// The place of the one [`Kernel`].
///
/// Invariant ONE-ENTRY: a core runs this image alone, an entry starts on the empty stack, and no
/// handler returns; so whatever reference an earlier entry had is dead when the next begins.
/// Faults of the kernel, NMI and panics do not touch it.
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
    /// Once, from the image's entry, before user mode or sleep.
    #[allow(clippy::mut_from_ref, reason = "ONE-ENTRY makes the reference unique")]
    pub unsafe fn init(&'static self, kernel: Kernel<V>) -> &'static mut Kernel<V> {
        // SAFETY: ONE-ENTRY, and nobody has a reference yet: this is the first entry.
        let place = unsafe { &mut *self.0.get() };
        place.write(kernel)
    }

    /// The kernel, at the beginning of an entry.
    ///
    /// # Safety
    /// Once per entry from user mode or sleep, from its handler; both come only after `init`.
    #[allow(clippy::mut_from_ref, reason = "ONE-ENTRY makes the reference unique")]
    pub unsafe fn enter(&'static self) -> &'static mut Kernel<V> {
        // SAFETY: ONE-ENTRY: no other reference is alive.
        let place = unsafe { &mut *self.0.get() };
        // SAFETY: `init` has run, by the caller's promise.
        unsafe { place.assume_init_mut() }
    }
}
