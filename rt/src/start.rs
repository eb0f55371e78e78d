//! Start-up: from the first instruction to `main`.

#[cfg(nekton_user)]
mod user {
    use core::sync::atomic::Ordering;

    use abi::disp::{self, Upcall};
    use abi::vaddr;

    use crate::plan::tls::{self, Layout, Template};
    use crate::{cap, control, env, fault, isa, process, ram};

    /// Bytes of the stack that upcalls run on.
    const UPCALL_STACK: usize = 16 << 10;

    #[repr(C, align(16))]
    struct Stack(core::cell::UnsafeCell<[u8; UPCALL_STACK]>);
    // SAFETY: reached by the stack pointer of upcalls only, one at a time.
    unsafe impl Sync for Stack {}
    static STACK: Stack = Stack(core::cell::UnsafeCell::new([0; UPCALL_STACK]));

    unsafe extern "C" {
        /// The ELF header, at the load address; made by the linker.
        static __ehdr_start: u8;
        fn nekton_upcall_entry();
        fn nekton_continue();
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

    /// Makes the first thread's TLS block; returns the TLS base.
    fn make_tls() -> u64 {
        let (t, contents) = template();
        let Layout {
            bytes,
            align,
            template,
            base,
        } = tls::layout(t, isa::TLS_BELOW, isa::TCB_BYTES)
            .expect("the program's thread-local template makes no sense");
        let block = core::alloc::Layout::from_size_align(bytes, align).expect("a TLS layout");
        // SAFETY: the size is not zero: there is always a thread control block.
        let block = unsafe { alloc::alloc::alloc_zeroed(block) };
        assert!(!block.is_null(), "no memory for thread-local storage");
        // SAFETY: inside the block by construction of the layout.
        let to = unsafe { block.add(template) };
        // SAFETY: source is the mapped template, destination the fresh block, `file_bytes` both.
        unsafe { core::ptr::copy_nonoverlapping(contents as *const u8, to, t.file_bytes as usize) };
        // SAFETY: inside the block by construction of the layout.
        let base = unsafe { block.add(base) };
        // SAFETY: the control block begins here, aligned; its first word is its own address (x86).
        unsafe { base.cast::<u64>().write(base as u64) };
        base as u64
    }

    /// Writes a word of the dispatcher page.
    fn set(offset: u64, value: u64) {
        env::page_word(offset).store(value, Ordering::Relaxed);
    }

    /// From `_start`: upcalls are off, no TLS base is set.
    #[unsafe(no_mangle)]
    extern "C" fn nekton_start() -> ! {
        cap::init();
        ram::init();
        let tls = make_tls();
        let upcall_top = STACK.0.get() as u64 + UPCALL_STACK as u64;
        let wanted = [
            Upcall::PageFault,
            Upcall::Trap,
            Upcall::CoreSetChanged,
            Upcall::KernelRestarted,
        ];
        set(disp::UPCALL_ENTRY, nekton_upcall_entry as *const () as u64);
        set(disp::UPCALL_STACK, upcall_top);
        set(disp::UPCALL_TLS, tls);
        set(
            disp::UPCALLS_WANTED,
            wanted.iter().fold(0, |m, u| m | 1 << *u as u64),
        );
        // The enabled area becomes the context that Resume starts: this is how the TLS base is
        // set whether or not user mode may write it (CR4.FSGSBASE).
        for at in (0..disp::AREA_BYTES).step_by(8) {
            set(disp::ENABLED_AREA + at, 0);
        }
        let area = |at, value| set(disp::ENABLED_AREA + at, value);
        area(disp::AREA_PC, nekton_continue as *const () as u64);
        area(disp::AREA_SP, vaddr::STACK_BASE + vaddr::STACK_BYTES);
        area(disp::AREA_FLAGS, isa::USER_FLAGS);
        area(disp::AREA_TLS, tls);
        for (at, word) in isa::FRESH_FPU {
            area(disp::AREA_FPU + at, *word);
        }
        fault::resume()
    }

    /// From `nekton_continue`: everything is set up but what needs the executor.
    #[unsafe(no_mangle)]
    extern "C" fn nekton_main() -> ! {
        env::init();
        control::start();
        // SAFETY: made by `entry!`, a safe function with this signature.
        process::exit(unsafe { nekton_program() })
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
pub(crate) use user::load_base;

/// Address that the program is loaded at.
#[cfg(not(nekton_user))]
pub(crate) fn load_base() -> u64 {
    0
}
