//! Faults, and save areas that lie: each must come back as an upcall, or harmlessly.

use crate::{Log, call};
use abi::Syscall;
use abi::disp::{self, Upcall};
use abi::vaddr::DISP_FRAME;
use core::arch::{asm, global_asm};
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[unsafe(no_mangle)]
static RECOVER: AtomicU64 = AtomicU64::new(0);
static SEEN: AtomicU64 = AtomicU64::new(0);
static DETAIL: AtomicU64 = AtomicU64::new(0);

global_asm!(
    ".globl upcall_entry",
    "upcall_entry:",
    "and rsp, -16",
    "call {0}",
    "ud2",
    ".bss",
    ".balign 16",
    ".skip 8192",
    "upcall_stack:",
    ".text",
    sym upcall
);
unsafe extern "C" {
    static upcall_entry: u8;
    static upcall_stack: u8;
}

fn word(at: u64) -> *mut u64 {
    (DISP_FRAME + at) as *mut u64
}
fn set(at: u64, value: u64) {
    unsafe { word(at).write_volatile(value) }
}

extern "C" fn upcall(number: u64, detail: u64, page: u64, more: u64) -> ! {
    assert!(page == DISP_FRAME, "upcall with page {page:#x}");
    // Being preempted is no news.
    if number != Upcall::Run as u64 {
        SEEN.store(number + 1, Relaxed);
        DETAIL.store(detail | more << 60, Relaxed);
        set(disp::ENABLED_AREA + disp::AREA_PC, RECOVER.load(Relaxed));
        // Undo what a lying area said.
        set(disp::ENABLED_AREA + disp::AREA_FLAGS, 0x202);
        set(disp::ENABLED_AREA + disp::AREA_SP, SP.load(Relaxed));
    }
    let r = call([Syscall::Resume as u64, 0, 0, 0, 0, 0, 0, 0]);
    panic!("Resume returned {r:x?}");
}

static SP: AtomicU64 = AtomicU64::new(0);

/// Runs an instruction with upcalls on; what came, and its detail.
macro_rules! attempt {
    ($($ins:literal),* $(; $($op:tt)*)?) => {{
        SEEN.store(0, Relaxed);
        unsafe {
            asm!(
                "lea rax, [rip + 77f]",
                "mov [rip + {r}], rax",
                "mov [rip + {s}], rsp",
                "mov qword ptr [{d}], 0",
                $($ins,)*
                "77:",
                "mov qword ptr [{d}], 1",
                r = sym RECOVER, s = sym SP, d = in(reg) DISP_FRAME + disp::DISABLED,
                out("rax") _, out("rcx") _, out("rdx") _, out("r11") _, out("r10") _,
                $($($op)*)?
            )
        }
        (SEEN.load(Relaxed), DETAIL.load(Relaxed))
    }};
}

/// Saves a context, spoils word `at` of the enabled area, resumes it.
fn lie(at: u64, value: u64) -> (u64, u64) {
    // Make the area a true one first: a trap saves it.
    let _ = attempt!("ud2");
    SEEN.store(0, Relaxed);
    lying_resume(at, value)
}

/// Sets up the enabled area to go on at a label here, spoils it, and resumes.
fn lying_resume(at: u64, value: u64) -> (u64, u64) {
    unsafe {
        asm!(
            "lea rax, [rip + 79f]",
            "mov [rip + {r}], rax",
            "lea rax, [rip + 78f]",
            "mov [rsi + {pc}], rax",
            "mov [rip + {s}], rsp",
            "mov [rsi + {sp}], rsp",
            "mov [rsi + {rbp}], rbp",
            "mov [rsi + {rbx}], rbx",
            "mov [rsi + rdx], r8",
            "mov eax, 5",
            "xor edi, edi",
            "syscall",
            "78:",
            "push rax",
            "79:",
            "mov rsp, [rip + {s}]",
            "cld",
            r = sym RECOVER, s = sym SP,
            pc = const disp::AREA_PC, sp = const disp::AREA_SP, rbp = const 0x30, rbx = const 8,
            inout("rsi") DISP_FRAME + disp::ENABLED_AREA => _, inout("rdx") at => _, inout("r8") value => _,
            out("rax") _, out("rdi") _, out("rcx") _,
            out("r9") _, out("r10") _, out("r11") _, out("r12") _,
            out("r13") _, out("r14") _, out("r15") _,
        )
    }
    set(disp::DISABLED, 1);
    (SEEN.load(Relaxed), DETAIL.load(Relaxed))
}

pub fn all() {
    set(disp::UPCALL_ENTRY, (&raw const upcall_entry) as u64);
    set(disp::UPCALL_STACK, (&raw const upcall_stack) as u64);
    set(disp::UPCALLS_WANTED, 0xff);
    let show = |what: &str, (seen, detail): (u64, u64)| {
        let _ = writeln!(Log, "probe: {what}: upcall {}, detail {detail:#x}", seen as i64 - 1);
    };
    show("nothing", attempt!("nop"));
    show("read of 0x1000", attempt!("mov rax, [0x1000]"));
    show("write to code", attempt!("lea rax, [rip]", "mov [rax], eax"));
    show("jump to stack", attempt!("mov rax, rsp", "jmp rax"));
    show("read of window", attempt!("mov rax, {w}", "mov rax, [rax]"; w = const 0xffff_8000_0000_1000u64));
    show("read of kernel", attempt!("mov rax, {w}", "mov rax, [rax]"; w = const 0xffff_ff80_0000_1000u64));
    show("non-canonical", attempt!("mov rax, {w}", "mov rax, [rax]"; w = const 0x8000_0000_0000_1000u64));
    show("divide by 0", attempt!("xor eax, eax", "xor ecx, ecx", "xor edx, edx", "div ecx"));
    show("ud2", attempt!("ud2"));
    show("int3", attempt!("int3"));
    show("int 0xf1", attempt!("int 0xf1"));
    show("hlt", attempt!("hlt"));
    show("cli", attempt!("cli"));
    show("in", attempt!("mov edx, 0x3f8", "in al, dx"));
    show("mov cr3", attempt!("mov cr3, rax"));
    show("wrmsr", attempt!("wrmsr"));
    show("sgdt", attempt!("sgdt [rip + {x}]"; x = sym RECOVER));
    show("stack at 0", attempt!("xor esp, esp", "push rax"));
    show("stack at -8", attempt!("mov rsp, -8", "push rax"));
    show("single step", attempt!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop"));
    show("alignment", attempt!("pushfq", "or qword ptr [rsp], 0x40000", "popfq", "mov rax, [rsp + 1]"));
    show("float", attempt!("sub rsp, 16", "mov dword ptr [rsp], 0x1c80", ".byte 0x0f,0xae,0x14,0x24", "add rsp, 16",
        ".byte 0x0f,0x57,0xc0,0xf3,0x0f,0x5e,0xc0"));
    show("true resume", lie(disp::AREA_GPR, 0));
    show("kernel pc", lie(disp::AREA_PC, 0xffff_8000_0000_1000));
    show("image pc", lie(disp::AREA_PC, 0xffff_ff80_0000_1000));
    show("wild pc", lie(disp::AREA_PC, 0x7fff_ffff_ffff_ffff));
    show("last pc", lie(disp::AREA_PC, 0x7fff_ffff_ffff));
    show("wild sp", lie(disp::AREA_SP, 0x7fff_ffff_ffff_ffff));
    show("flags", lie(disp::AREA_FLAGS, !0x100));
    show("tls", lie(disp::AREA_TLS, 0x7fff_ffff_ffff_ffff));
    show("mxcsr", lie(disp::AREA_FPU + 24, !0));
    show("xstate_bv", lie(disp::AREA_FPU + 512, !0));
    show("xcomp_bv", lie(disp::AREA_FPU + 520, !0));
    show("header", lie(disp::AREA_FPU + 528, !0));
}
