//! Makes system calls from the bare machine: log, identify, waiting for a time, faults, halt.

#![no_std]
#![no_main]

mod cores;
mod traps;

use abi::{CapAddr, Op, Syscall, slots};
use core::arch::asm;
use core::fmt::{self, Write};

core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "call {main}",
    "ud2",
    main = sym main
);

/// One system call: eight words in, eight out.
fn call(r: [u64; 8]) -> [u64; 8] {
    let mut o = r;
    unsafe {
        asm!("syscall", inout("rax") o[0], inout("rdi") o[1], inout("rsi") o[2], inout("rdx") o[3],
            inout("r10") o[4], inout("r8") o[5], inout("r9") o[6], inout("r12") o[7],
            out("rcx") _, out("r11") _);
    }
    o
}

fn invoke(op: Op, cap: CapAddr, a: &[u64]) -> [u64; 8] {
    let mut r = [0; 8];
    r[0] = Syscall::Invoke as u64 | (op as u64) << 8;
    r[1] = u64::from(cap.0);
    r[2..2 + a.len()].copy_from_slice(a);
    call(r)
}

struct Log;
impl Write for Log {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for part in s.as_bytes().chunks(40) {
            let mut w = [0u64; 6];
            w[0] = part.len() as u64;
            for (i, b) in part.iter().enumerate() {
                w[1 + i / 8] |= u64::from(*b) << (8 * (i % 8));
            }
            invoke(Op::KernelLog, slots::KERNEL, &w);
        }
        Ok(())
    }
}

fn now() -> u64 {
    let w = |o: u64| unsafe { ((abi::vaddr::TIME_PAGE + o) as *const u64).read_volatile() };
    use abi::vaddr::time_page::*;
    let c = unsafe { core::arch::x86_64::_rdtsc() } - w(COUNTER_START);
    w(BASE_NS) + ((u128::from(c) * u128::from(w(MULT))) >> w(SHIFT)) as u64
}

/// Whether the command line has this word.
fn has(word: &[u8]) -> bool {
    use abi::bootinfo::word as w;
    let at = |o: u64| unsafe { ((abi::vaddr::BOOT_INFO + o) as *const u64).read_volatile() };
    let text = (abi::vaddr::BOOT_INFO + at(w::CMDLINE)) as *const u8;
    let text = unsafe { core::slice::from_raw_parts(text, at(w::CMDLINE_BYTES) as usize) };
    text.split(|b| *b == b' ').any(|w| w == word)
}

extern "C" fn main() -> ! {
    let _ = writeln!(Log, "probe: hello");
    if has(b"traps") {
        traps::all();
    }
    if has(b"cores") {
        cores::second();
    }
    let id = invoke(Op::KernelIdentify, slots::KERNEL, &[]);
    let _ = writeln!(Log, "probe: identify {id:x?}");
    let t0 = now();
    for _ in 0..3 {
        let r = call([Syscall::Wait as u64, now() + 5_000_000, 0, 0, 0, 0, 0, 0]);
        let _ = writeln!(Log, "probe: waited {} us, status {}", (now() - t0) / 1000, r[0]);
    }
    let mut best = u64::MAX;
    for _ in 0..20 {
        let a = unsafe { core::arch::x86_64::_rdtsc() };
        let r = invoke(Op::Identify, slots::DISPATCHER, &[]);
        let b = unsafe { core::arch::x86_64::_rdtsc() };
        assert!(r[0] == 0);
        best = best.min(b - a);
    }
    let _ = writeln!(Log, "probe: Identify takes {best} ticks");
    invoke(Op::KernelHalt, slots::KERNEL, &[0]);
    loop {}
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Log, "probe: {info}");
    invoke(Op::KernelHalt, slots::KERNEL, &[1]);
    loop {}
}
