/* Ways into the kernel, and the one way out.
 *
 * SYSCALL (SDM vol. 3A, 5.8.8) keeps the user's stack and gives no other
 * register than rcx (return address) and r11 (flags). RSP then serves as the
 * pointer to the save area: nothing pushes here, and NMI, debug, double fault
 * and machine check have stacks of their own (IST).
 *
 * Traps and interrupts push seven words on the kernel's empty stack; all
 * vectors have a stub that adds number and error code. From user mode the
 * registers go to the save area as well. From kernel mode there are four cases:
 * the FPU state that a user wrote cannot be loaded (another is loaded), an
 * interrupt ends the kernel's sleep, an NMI comes to the few instructions here
 * (it is repeated as an interrupt, so that no half-saved registers are lost),
 * and the kernel is broken.
 *
 * The save area is the enabled or the disabled one of the current dispatcher,
 * as its page says. It is user memory in all but name: what is read back on
 * the way out is checked in registers.
 */
    .section .text.nekton_entry, "ax"
    .globl nekton_entry, nekton_syscall, nekton_vectors, nekton_resume
    .globl nekton_load_fpu

/* From loader or pen: rdi = Core object, rsi = KCB, the stack is the image's. */
nekton_entry:
    cld
    mov rdx, rsp
    xor ebp, ebp
    call nekton_start
    ud2

    .balign 64
nekton_stubs:
nekton_syscall:
    mov [rip + {SAVED_SP}], rsp
    mov rsp, [rip + {PAGE}]
    cmp qword ptr [rsp + {DISABLED}], 0
    jne 2f
    add rsp, {ENABLED_AREA}
1:  mov [rsp + {RAX}], rax
    mov [rsp + {RBX}], rbx
    mov [rsp + {RDX}], rdx
    mov [rsp + {RSI}], rsi
    mov [rsp + {RDI}], rdi
    mov [rsp + {RBP}], rbp
    mov [rsp + {QUICK}], rcx
    mov [rsp + {R8}], r8
    mov [rsp + {R9}], r9
    mov [rsp + {R10}], r10
    mov [rsp + {R12}], r12
    mov [rsp + {R13}], r13
    mov [rsp + {R14}], r14
    mov [rsp + {R15}], r15
    mov [rsp + {PC}], rcx
    mov [rsp + {FLAGS}], r11
    mov rax, [rip + {SAVED_SP}]
    mov [rsp + {SP}], rax
    mov [rip + {LIVE_AREA}], rsp
    mov rdi, rsp
    mov rsp, [rip + {STACK_TOP}]
    call nekton_syscall_taken
2:  add rsp, {DISABLED_AREA}
    jmp 1b

/* One stub of 16 bytes for each vector. */
    .balign 16
nekton_vectors:
    .set vector, 0
    .rept 256
    .balign 16
    .if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    push 0
    .endif
    push vector
    jmp nekton_trap
    .set vector, vector + 1
    .endr

/* Stack: vector, error code, rip, cs, rflags, rsp, ss. */
nekton_trap:
    test byte ptr [rsp + 24], 3
    jz nekton_trap_kernel
    mov [rip + {SAVED_RAX}], rax
    mov rax, [rip + {PAGE}]
    cmp qword ptr [rax + {DISABLED}], 0
    jne 2f
    add rax, {ENABLED_AREA}
1:  mov [rax + {RBX}], rbx
    mov [rax + {RCX}], rcx
    mov [rax + {RDX}], rdx
    mov [rax + {RSI}], rsi
    mov [rax + {RDI}], rdi
    mov [rax + {RBP}], rbp
    mov qword ptr [rax + {QUICK}], 0
    mov [rax + {R8}], r8
    mov [rax + {R9}], r9
    mov [rax + {R10}], r10
    mov [rax + {R11}], r11
    mov [rax + {R12}], r12
    mov [rax + {R13}], r13
    mov [rax + {R14}], r14
    mov [rax + {R15}], r15
    mov rbx, [rip + {SAVED_RAX}]
    mov [rax + {RAX}], rbx
    mov rbx, [rsp + 16]
    mov [rax + {PC}], rbx
    mov rbx, [rsp + 32]
    mov [rax + {FLAGS}], rbx
    mov rbx, [rsp + 40]
    mov [rax + {SP}], rbx
    mov rsi, [rsp]
    mov rdx, [rsp + 8]
    mov [rip + {LIVE_AREA}], rax
    mov rdi, rax
    mov rsp, [rip + {STACK_TOP}]
    push 2                          /* the user's AC would open its pages to the kernel */
    popfq
    call nekton_trapped
2:  add rax, {DISABLED_AREA}
    jmp 1b

nekton_trap_kernel:
    push rax
    push rcx
    mov rax, [rsp + 32]
    cmp dword ptr [rsp + 16], 13
    jne 3f
    lea rcx, [rip + nekton_xrstor]
    cmp rax, rcx
    je 6f
    lea rcx, [rip + nekton_fxrstor]
    cmp rax, rcx
    je 6f
    jmp 5f
3:  cmp dword ptr [rsp + 16], 2
    jne 4f
    lea rcx, [rip + nekton_stubs]
    cmp rax, rcx
    jb 5f
    lea rcx, [rip + nekton_stubs_end]
    cmp rax, rcx
    jae 5f
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    call {force_later}
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    jmp 7f
4:  cmp dword ptr [rsp + 16], 32
    jb 5f
    mov rdi, [rsp + 16]
    mov rsp, [rip + {STACK_TOP}]
    call nekton_interrupted_sleep
5:  mov rdi, [rsp + 16]
    mov rsi, [rsp + 24]
    mov rdx, rax
    mov rcx, [rsp + 56]
    and rsp, -16
    call {kernel_fault}
6:  lea rax, [rip + nekton_fpu_refused]
    mov [rsp + 32], rax
7:  pop rcx
    pop rax
    add rsp, 16
    iretq

/* To user mode: rdi = save area. Never returns.
 *
 * SYSRET when the context is in a system call (`arch_x86::context::QUICK`), for
 * which rcx and r11 mean nothing; else IRETQ. An address that is not the user's
 * becomes 0, which no user has mapped: it faults there, in user mode, not here
 * (SYSRET to a non-canonical address would fault in the kernel on the user's stack).
 */
nekton_resume:
    mov rcx, [rdi + {PC}]
    mov r11, [rdi + {FLAGS}]
    mov rax, rcx
    and r11d, {USER_FLAGS}
    or r11d, {SET_FLAGS}
    shr rax, 47
    jnz 3f
    cmp rcx, [rdi + {QUICK}]
    jne 4f
    mov rsp, [rdi + {SP}]
    mov rax, [rdi + {RAX}]
    mov rbx, [rdi + {RBX}]
    mov rdx, [rdi + {RDX}]
    mov rsi, [rdi + {RSI}]
    mov rbp, [rdi + {RBP}]
    mov r8, [rdi + {R8}]
    mov r9, [rdi + {R9}]
    mov r10, [rdi + {R10}]
    mov r12, [rdi + {R12}]
    mov r13, [rdi + {R13}]
    mov r14, [rdi + {R14}]
    mov r15, [rdi + {R15}]
    mov rdi, [rdi + {RDI}]
    sysretq
3:  xor ecx, ecx
4:  mov rsp, [rip + {STACK_TOP}]
    push {USER_DATA}
    mov rax, [rdi + {SP}]
    mov rdx, rax
    shr rdx, 47
    jz 5f
    xor eax, eax
5:  push rax
    push r11
    push {USER_CODE}
    push rcx
    mov rax, [rdi + {RAX}]
    mov rbx, [rdi + {RBX}]
    mov rcx, [rdi + {RCX}]
    mov rdx, [rdi + {RDX}]
    mov rsi, [rdi + {RSI}]
    mov rbp, [rdi + {RBP}]
    mov r8, [rdi + {R8}]
    mov r9, [rdi + {R9}]
    mov r10, [rdi + {R10}]
    mov r11, [rdi + {R11}]
    mov r12, [rdi + {R12}]
    mov r13, [rdi + {R13}]
    mov r14, [rdi + {R14}]
    mov r15, [rdi + {R15}]
    mov rdi, [rdi + {RDI}]
    iretq
nekton_stubs_end:

/* FPU registers from rdi, which users write. The instruction checks what it
 * loads; what it refuses (#GP) is replaced by a fresh state: nekton_trap_kernel
 * goes on at nekton_fpu_refused. Changes rax, rdx, rdi.
 */
nekton_load_fpu:
    cmp byte ptr [rip + {XSAVE}], 0
    je nekton_fxrstor
    mov eax, {XCR0}
    xor edx, edx
nekton_xrstor:
    xrstor64 [rdi]
    ret
nekton_fxrstor:
    fxrstor64 [rdi]
    ret
nekton_fpu_refused:
    lea rdi, [rip + {FRESH_FPU}]
    jmp nekton_load_fpu

    .section .bss.nekton_stacks, "aw", @nobits
    .balign 16
    .skip 0x2000
    .globl nekton_nmi_stack_top, nekton_fault_stack_top
nekton_nmi_stack_top:
    .skip 0x2000
nekton_fault_stack_top:
    .text
