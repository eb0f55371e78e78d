/* The pen of one core: where it stays between kernels (DESIGN, section 5).
 *
 * Position independent; runs in the Core object's pen code page, which the
 * tables of the pen and of every kernel map at the same address. It uses
 * nothing of any kernel: its own root table, descriptor tables and stack stand
 * in the Core object too. rbx is the Core object's address all along.
 *
 * Interrupts are open only in the one `sti; hlt`: the instruction after `sti`
 * is never interrupted, so a wake-up that comes between the look at the home
 * line and the sleep ends the sleep. A handler ends the interrupt and returns;
 * the loop looks again.
 */
    .section .rodata.nekton_pen, "a"
    .balign 16
    .code64
    .globl nekton_pen_start, nekton_pen_kernel, nekton_pen_firmware, nekton_pen_loader
    .globl nekton_pen_nmi, nekton_pen_irq, nekton_pen_spurious, nekton_pen_fault
    .globl nekton_pen_end
nekton_pen_start:

/* From a kernel. rdi = status to report, only when the kernel's memory is no longer
 * used; rsi = sequence number of the command that it answers.
 */
nekton_pen_kernel:
    cli
    cld
    lea rbx, [rip + nekton_pen_start]
    sub rbx, {PEN_CODE}
    mov rax, [rbx + {PEN_ROOT}]
    mov cr3, rax
    mov [rbx + {ANSWERED}], rsi
    jmp 2f

/* From the loader, whose root table maps the Core object: start what stands on the home line. */
nekton_pen_loader:
    cli
    cld
    lea rbx, [rip + nekton_pen_start]
    sub rbx, {PEN_CODE}
    mov rax, [rbx + {PEN_ROOT}]
    mov cr3, rax
    jmp 7f

/* From firmware, by way of the trampoline: long mode, its root table, no stack.
 *
 * The trampoline serves one core after the other. One that was given up and comes late is led
 * to the pen of whoever is being let out then: only that core may pass. CPUID names the one
 * that runs (SDM vol. 2A: leaf 0BH if it is there, else leaf 1). Whose table the trampoline
 * was, the header and PEN_ROOT come from the same page: they belong to the same core.
 */
nekton_pen_firmware:
    cli
    cld
    lea r8, [rip + nekton_pen_start]
    sub r8, {PEN_CODE}
    xor eax, eax
    cpuid
    cmp eax, 11
    jb 9f
    mov eax, 11
    xor ecx, ecx
    cpuid
    test ebx, ebx                   /* leaf 0BH names nobody */
    jnz 20f
9:  mov eax, 1
    cpuid
    mov edx, ebx
    shr edx, 24
20: cmp edx, [r8 + {HW_ID}]
    jne 8f                          /* late: it has written nothing, and waits for another INIT */
    mov rbx, r8
    mov rax, [rbx + {PEN_ROOT}]
    mov cr3, rax
    /* What was commanded before the reset is void. */
    mov rax, [rbx + {HOME_SEQ}]
    mov [rbx + {ANSWERED}], rax
    mov edi, {STATUS_PENNED}
    mov rsi, [rbx + {TARGET_SEQ}]

2:  lea rsp, [rbx + {STACK}]
    lgdt [rbx + {GDTR}]
    lidt [rbx + {IDTR}]
    mov byte ptr [rbx + {TSS_TYPE}], 0x89   /* the kernel or an earlier stay left it busy */
    mov eax, {TSS_SELECTOR}
    ltr ax
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    /* IRETQ rather than a far jump: a kernel that was ended by an NMI has not
     * returned from it, and only IRET lets the next one in. */
    mov rdx, rsp
    push 0
    push rdx
    push 2
    push {CODE_SELECTOR}
    lea rax, [rip + 3f]
    push rax
    iretq

3:  mov ecx, {MSR_APIC_BASE}
    rdmsr
    or eax, {APIC_ENABLED}
    test byte ptr [rbx + {FLAGS}], {FLAG_X2APIC}
    jz 4f
    or eax, {APIC_X2}
4:  wrmsr
    mov ecx, {LAPIC_SPURIOUS}
    mov eax, 0x1ff
    call lapic_write
    mov ecx, {LAPIC_PRIORITY}
    xor eax, eax
    call lapic_write
    mov ecx, {LAPIC_TIMER}
    mov eax, 0x100f3
    call lapic_write
    mov ecx, {LAPIC_EOI}
    xor eax, eax
    call lapic_write
    mov [rbx + {TARGET_STATUS}], rdi
    mov [rbx + {TARGET_SEQ}], rsi   /* stores stay in order */

5:  cli
    mov rax, [rbx + {HOME_SEQ}]
    cmp rax, [rbx + {ANSWERED}]
    jne 6f
    sti
    hlt
    jmp 5b

/* A new command; rax = its sequence number. */
6:  mov [rbx + {ANSWERED}], rax
    mov rcx, [rbx + {HOME_CMD}]
    cmp rcx, {CMD_START}
    je 7f
    cmp rcx, {CMD_OFF}
    je 9f
    mov [rbx + {TARGET_SEQ}], rax   /* Stop: already here */
    jmp 5b

/* Start: the kernel itself answers. rdi = Core object, rsi = KCB, both physical. */
7:  mov rsi, [rbx + {HOME_KCB}]
    mov rdx, [rbx + {HOME_IMAGE}]
    and edx, 1
    shl edx, 7
    lea rdx, [rbx + rdx + {IMAGES}]
    mov rdi, cr3
    and rdi, -0x10000               /* the pen's root stands in the Core object */
    mov rax, [rdx + {IMAGE_ROOT}]
    mov rcx, [rdx + {IMAGE_ENTRY}]
    mov rsp, [rdx + {IMAGE_STACK}]
    xor ebp, ebp
    mov cr3, rax
    jmp rcx

/* Off: only INIT brings it back; the boot processor must not get one and goes on listening. */
9:  mov qword ptr [rbx + {TARGET_STATUS}], {STATUS_OFF}
    mov [rbx + {TARGET_SEQ}], rax
    test byte ptr [rbx + {FLAGS}], {FLAG_BOOT}
    jnz 5b
8:  cli
    hlt
    jmp 8b

/* Local APIC register ecx = eax. Changes ecx, edx. */
lapic_write:
    test byte ptr [rbx + {FLAGS}], {FLAG_X2APIC}
    jz 1f
    xor edx, edx
    add ecx, 0x800
    wrmsr
    ret
1:  shl ecx, 4
    mov [rbx + rcx + {LAPIC}], eax
    ret

nekton_pen_irq:
    push rax
    push rcx
    push rdx
    mov ecx, {LAPIC_EOI}
    xor eax, eax
    call lapic_write
    pop rdx
    pop rcx
    pop rax
nekton_pen_nmi:
nekton_pen_spurious:
    iretq

/* An exception in the pen: nothing here can raise one. Leave word and stand still. */
nekton_pen_fault:
    lea rbx, [rip + nekton_pen_start]
    sub rbx, {PEN_CODE}
    mov rax, [rsp]
    mov [rbx + {EPITAPH_PC}], rax
    mov qword ptr [rbx + {EPITAPH_LEN}], 0
    mov qword ptr [rbx + {EPITAPH_KIND}], 2
    mov qword ptr [rbx + {TARGET_STATUS}], {STATUS_CRASHED}
    jmp 8b
nekton_pen_end:
    .text
