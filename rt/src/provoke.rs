//! Faults on purpose: what a test program does to be ended, and system calls of any words.
//!
//! Each function of this module either ends the process or is an ordinary system call.

use core::arch::asm;

use abi::vaddr;

use crate::isa;

/// A system call with these registers, whatever they are. The process may lose what it names by them.
#[must_use]
pub fn raw_syscall(registers: [u64; 8]) -> [u64; 8] {
    isa::syscall(registers)
}

fn read(address: u64) -> ! {
    // SAFETY: not mapped for the program, so the access does not complete: the process ends here. If it is mapped
    // after all, a word is read that nothing is done with but to say so.
    let value = unsafe { core::ptr::read_volatile(address as *const u64) };
    panic!("{address:#x} could be read: {value:#x}")
}

/// Reads an address that is never mapped.
pub fn read_unmapped() -> ! {
    read(0x10)
}

/// Reads an address where something was mapped that is unmapped now.
pub fn read_gone(address: u64) -> ! {
    read(address)
}

/// Counts in the word at `address`, which must be a multiple of 8 and mapped, until it is taken away.
pub fn count_until_gone(address: u64) -> ! {
    assert!(address.is_multiple_of(8) && address != 0, "no word");
    for count in 1.. {
        // SAFETY: aligned; the caller's page, to which there are no references, or none any more: then the process ends.
        unsafe { core::ptr::write_volatile(address as *mut u64, count) };
    }
    unreachable!("no page outlives so many turns")
}

/// Reads the kernel's memory.
pub fn read_kernel() -> ! {
    read(vaddr::WINDOW + 0x10_0000)
}

/// Writes to the program's own code.
pub fn write_code() -> ! {
    let code = write_code as *const () as u64 & !7;
    // SAFETY: code is never mapped writable, so the access never completes: the process ends here.
    unsafe { core::ptr::write_volatile(code as *mut u64, 0) };
    panic!("code could be written at {code:#x}")
}

/// Executes data.
pub fn execute_data() -> ! {
    static DATA: [u64; 2] = [0; 2];
    let data = DATA.as_ptr();
    // SAFETY: constants are never mapped executable, so the call never begins: the process ends here.
    let f: extern "C" fn() = unsafe { core::mem::transmute(data) };
    f();
    panic!("data could be executed")
}

/// Divides by zero (x86: the division error; AArch64 has none, and reads unmapped memory instead).
pub fn divide() -> ! {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the division by zero traps: nothing after it runs.
    unsafe {
        asm!("xor edx, edx", "mov eax, 1", "xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _)
    };
    read_unmapped()
}

/// Executes an undefined instruction.
pub fn undefined() -> ! {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction traps always.
    unsafe {
        asm!("ud2", options(noreturn))
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the instruction traps always.
    unsafe {
        asm!("udf #0", options(noreturn))
    }
}

/// Executes an instruction that only kernels may.
pub fn privileged() -> ! {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction traps in user mode.
    unsafe {
        asm!("hlt")
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the instruction traps in user mode.
    unsafe {
        asm!("msr daifset, #2")
    };
    panic!("a privileged instruction was executed")
}

/// Executes a breakpoint.
pub fn breakpoint() -> ! {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction traps always; nobody debugs the process.
    unsafe {
        asm!("int3")
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the instruction traps always; nobody debugs the process.
    unsafe {
        asm!("brk #0")
    };
    panic!("a breakpoint was passed")
}
