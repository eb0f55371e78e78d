//! Start-up: from the first instruction to `main`.

#[cfg(nekton_user)]
mod user {
    use core::sync::atomic::Ordering;

    use abi::disp::{self, Upcall};
    use abi::vaddr;

    use crate::domain;
    use crate::plan::tls::{self, Layout, Template};
    use crate::{cap, control, env, fault, isa, process, ram};

    /// Bytes of the stack that upcalls run on: the end of a dispatcher's stack. Start-up runs there, too.
    const UPCALL_STACK: u64 = 16 << 10;

    unsafe extern "C" {
        /// The ELF header, at the load address; made by the linker.
        static __ehdr_start: u8;
        fn nekton_upcall_entry();
        fn nekton_continue();
        fn nekton_member_entry();
        /// Made by [`crate::entry!`]: the program; returns its exit status.
        fn nekton_program() -> i32;
    }

    pub fn load_base() -> u64 {
        &raw const __ehdr_start as u64
    }

    /// A word of the program's own headers (offsets: ELF-64 Object File Format 1.5).
    fn header<T: Copy>(offset: u64) -> T {
        let at = (load_base() + offset) as *const T;
        // SAFETY: the ELF header and the program headers stand in the first loaded segment; any
        // bits are a valid integer.
        unsafe { core::ptr::read_unaligned(at) }
    }

    /// The thread-local template and its address in memory.
    fn template() -> (Template, u64) {
        let (phoff, size, count) = (
            header::<u64>(32),
            u64::from(header::<u16>(54)),
            u64::from(header::<u16>(56)),
        );
        for i in 0..count {
            let at = phoff + i * size;
            const PT_TLS: u32 = 7;
            if header::<u32>(at) == PT_TLS {
                let t = Template {
                    vaddr: header(at + 16),
                    file_bytes: header(at + 32),
                    mem_bytes: header(at + 40),
                    align: header(at + 48),
                };
                return (t, load_base() + t.vaddr);
            }
        }
        (Template::default(), 0)
    }

    /// A dispatcher's stack, divided.
    #[derive(Clone, Copy, Debug)]
    pub struct Divided {
        /// End of the program's stack.
        pub stack: u64,
        /// TLS base.
        pub tls: u64,
        /// End of the upcalls' stack.
        pub upcalls: u64,
    }

    /// Divides a stack that ends at `end`: from the end on the upcalls' stack, the TLS block, which is
    /// filled here, and the program's stack.
    ///
    /// # Safety
    /// Nobody uses the memory below the upcalls' stack, as far as the TLS block reaches.
    pub unsafe fn divide(end: u64) -> Divided {
        let (t, contents) = template();
        let Layout {
            bytes,
            align,
            template,
            base,
        } = tls::layout(t, isa::TLS_BELOW, isa::TCB_BYTES)
            .expect("the program's thread-local template makes no sense");
        let block = (end - UPCALL_STACK - bytes as u64) & !(align as u64 - 1);
        let stack = block & !15;
        let block = block as *mut u8;
        // SAFETY: the caller's memory, so many bytes of it.
        unsafe { block.write_bytes(0, bytes) };
        // SAFETY: inside the block by construction of the layout.
        let to = unsafe { block.add(template) };
        // SAFETY: source is the mapped template, destination the fresh block, `file_bytes` both.
        unsafe { core::ptr::copy_nonoverlapping(contents as *const u8, to, t.file_bytes as usize) };
        // SAFETY: inside the block by construction of the layout.
        let base = unsafe { block.add(base) };
        // SAFETY: the control block begins here, aligned; its first word is its own address (x86).
        unsafe { base.cast::<u64>().write(base as u64) };
        Divided {
            stack,
            tls: base as u64,
            upcalls: end,
        }
    }

    /// Address of the first instruction of a further dispatcher.
    pub fn member_entry() -> u64 {
        nekton_member_entry as *const () as u64
    }

    /// Writes a word of the dispatcher page.
    fn set(offset: u64, value: u64) {
        env::page_word(offset).store(value, Ordering::Relaxed);
    }

    /// Says in the dispatcher page how upcalls are to be made.
    fn set_upcalls(stack: &Divided) {
        let wanted = [
            Upcall::PageFault,
            Upcall::Trap,
            Upcall::CoreSetChanged,
            Upcall::KernelRestarted,
        ];
        set(disp::UPCALL_ENTRY, nekton_upcall_entry as *const () as u64);
        set(disp::UPCALL_STACK, stack.upcalls);
        set(disp::UPCALL_TLS, stack.tls);
        set(
            disp::UPCALLS_WANTED,
            wanted.iter().fold(0, |m, u| m | 1 << *u as u64),
        );
    }

    /// From `_start`: upcalls are off, no TLS base is set, and so there are no globals of the runtime.
    #[unsafe(no_mangle)]
    extern "C" fn nekton_start() -> ! {
        // SAFETY: start-up uses a few hundred bytes at the end of the first stack.
        let stack = unsafe { divide(vaddr::STACK_BASE + vaddr::STACK_BYTES) };
        set_upcalls(&stack);
        // The enabled area becomes the context that Resume starts: this is how the TLS base is
        // set whether or not user mode may write it (CR4.FSGSBASE).
        for at in (0..disp::AREA_BYTES).step_by(8) {
            set(disp::ENABLED_AREA + at, 0);
        }
        let area = |at, value| set(disp::ENABLED_AREA + at, value);
        area(disp::AREA_PC, nekton_continue as *const () as u64);
        area(disp::AREA_SP, stack.stack);
        area(disp::AREA_FLAGS, isa::USER_FLAGS);
        area(disp::AREA_TLS, stack.tls);
        for (at, word) in isa::FRESH_FPU {
            area(disp::AREA_FPU + at, *word);
        }
        fault::resume()
    }

    /// From `nekton_continue`: everything is set up but what needs the executor.
    #[unsafe(no_mangle)]
    extern "C" fn nekton_main() -> ! {
        cap::init();
        ram::init();
        env::init();
        control::start();
        // SAFETY: made by `entry!`, a safe function with this signature.
        process::exit(unsafe { nekton_program() })
    }

    /// From `nekton_member_entry`: a further dispatcher, with its TLS base; upcalls are off.
    #[unsafe(no_mangle)]
    extern "C" fn nekton_member(place: u64) -> ! {
        let (low, end) = domain::enter(place);
        process::set_stack(low..end);
        set_upcalls(&Divided {
            stack: 0,
            tls: isa::tls_base(),
            upcalls: end,
        });
        set(disp::DISABLED, 0);
        cap::init();
        ram::init();
        control::start();
        domain::run(place)
    }

    /// What the compiler wants of a program with an ordinary `main`. It makes a symbol `main` that
    /// calls this; nobody calls that one: `entry!` is the way in.
    #[lang = "start"]
    fn start<T: crate::process::Termination + 'static>(
        main: fn() -> T,
        _argc: isize,
        _argv: *const *const u8,
        _sigpipe: u8,
    ) -> isize {
        main().status() as isize
    }
}

#[cfg(nekton_user)]
pub(crate) use user::{divide, load_base, member_entry};

#[cfg(not(nekton_user))]
pub(crate) use host::{divide, member_entry};

/// A host starts no dispatchers.
#[cfg(not(nekton_user))]
mod host {
    pub struct Divided {
        pub stack: u64,
        pub tls: u64,
    }
    pub unsafe fn divide(end: u64) -> Divided {
        Divided { stack: end, tls: 0 }
    }
    pub fn member_entry() -> u64 {
        0
    }
}

/// Address that the program is loaded at.
#[cfg(not(nekton_user))]
pub(crate) fn load_base() -> u64 {
    0
}
