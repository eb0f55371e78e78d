//! First process of the second core's OSnode: says that it lives, again and again.

#![no_std]
#![no_main]

use core::arch::asm;

core::arch::global_asm!(".globl _start", "_start:", "call {0}", "ud2", sym main);

fn call(r: [u64; 8]) -> [u64; 8] {
    let mut o = r;
    unsafe {
        asm!("syscall", inout("rax") o[0], inout("rdi") o[1], inout("rsi") o[2], inout("rdx") o[3],
            inout("r10") o[4], inout("r8") o[5], inout("r9") o[6], inout("r12") o[7],
            out("rcx") _, out("r11") _);
    }
    o
}

extern "C" fn main() -> ! {
    let mut n = 0u64;
    loop {
        let text = u64::from_le_bytes(*b"second  ");
        let digits = u64::from_le_bytes(*b"00000000") + (n % 10) + (n / 10 % 10 << 8);
        let digits = digits.swap_bytes();
        call([abi::Op::KernelLog as u64 * 256, u64::from(abi::slots::KERNEL.0), 17, text, digits, 10, 0, 0]);
        n += 1;
        // Five milliseconds of OSnode time each.
        call([abi::Syscall::Wait as u64, n * 5_000_000, 0, 0, 0, 0, 0, 0]);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
