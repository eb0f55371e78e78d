//! The x86_64 kernels: what all variants share.
//!
//! A variant is a small binary (`src/bin/`): a [`Variant`] with a scheduling
//! policy, a name and a load address, given to [`kernel!`]. Everything that
//! survives a kernel is in OSnode memory and reached through [`window`]; what is
//! in this image may die with it ([`statics`]). The logic true on every ISA is
//! the package `kernel`: an entry becomes one `Event`, `step` says what to do,
//! [`run`] does it.
//!
//! One way in per cause: `entry.S` saves the user's registers into its
//! dispatcher's save area and calls [`trap`] on an empty stack. One way out:
//! [`context`]. Handlers never return. Interrupts are off while a kernel runs,
//! but for the one instruction in which it sleeps; only NMI takes a core back
//! from a kernel that spins.
//!
//! Each core runs its own copy of the image, so "per-core data" are plain
//! statics, and nothing needs SWAPGS: GS is not part of a user's state.

#![no_std]

mod context;
mod controller;
mod effects;
mod entry;
mod log;
mod machine;
mod note;
mod paging;
mod panic;
mod run;
mod statics;
mod timer;
mod trap;
mod window;

pub use entry::start;
pub use log::line as log_line;
pub use note::{Note, note};
pub use run::{Kernel, Variant};
pub use statics::KernelCell;
pub use trap::{interrupted_sleep, syscall, trapped};

/// Makes a binary the kernel of a [`Variant`]: its notes, its state, its entry points.
#[macro_export]
macro_rules! kernel {
    ($variant:ty) => {
        #[used]
        #[unsafe(link_section = ".note.nekton")]
        static NOTE: $crate::Note = $crate::note::<$variant>();

        static KERNEL: $crate::KernelCell<$variant> = $crate::KernelCell::new();

        #[unsafe(no_mangle)]
        extern "C" fn nekton_start(core: u64, kcb: u64, stack_top: u64) -> ! {
            $crate::start(&KERNEL, &NOTE, core, kcb, stack_top)
        }
        #[unsafe(no_mangle)]
        extern "C" fn nekton_syscall_taken(area: u64) -> ! {
            $crate::syscall(&KERNEL, area)
        }
        #[unsafe(no_mangle)]
        extern "C" fn nekton_trapped(area: u64, vector: u64, code: u64) -> ! {
            $crate::trapped(&KERNEL, area, vector, code)
        }
        #[unsafe(no_mangle)]
        extern "C" fn nekton_interrupted_sleep(vector: u64) -> ! {
            $crate::interrupted_sleep(&KERNEL, vector)
        }
    };
}
