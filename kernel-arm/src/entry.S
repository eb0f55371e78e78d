// Every way into the kernel.
//
// The image is entered once by loader or pen; afterwards only by exceptions.
// From EL0 the processor comes on SP_EL1 = top of the empty kernel stack, with
// DAIF masked. TPIDR_EL1 = the current dispatcher's page in the window. The
// user's registers go straight into one of the page's save areas; which one,
// its word DISABLED says. The page is the user's to write: nothing of it is
// trusted, and all stores stay inside the page whatever it holds.
//
// Clobbered before saving: nothing (two registers pass through the stack).

.section .text.nekton_entry, "ax"
.global nekton_entry
// x0 = Core object, x1 = KCB (physical), sp = top of the kernel stack, MMU on, DAIF masked.
nekton_entry:
    msr daifset, #0xf
    msr spsel, #1
    adrp x2, nekton_vectors
    add x2, x2, :lo12:nekton_vectors
    msr vbar_el1, x2
    isb
    mov x2, sp
    mov x29, xzr
    mov x30, xzr
    b nekton_start

// Leaves x0 = the area's virtual address.
.macro SAVE_USER
    stp x0, x1, [sp, #-16]!
    mrs x0, tpidr_el1
    ldr x1, [x0, #NK_DISABLED]
    add x0, x0, #NK_ENABLED_AREA
    cbz x1, 1f
    add x0, x0, #NK_AREA_BYTES
1:  stp x2, x3, [x0, #0x10]
    stp x4, x5, [x0, #0x20]
    stp x6, x7, [x0, #0x30]
    stp x8, x9, [x0, #0x40]
    stp x10, x11, [x0, #0x50]
    stp x12, x13, [x0, #0x60]
    stp x14, x15, [x0, #0x70]
    stp x16, x17, [x0, #0x80]
    stp x18, x19, [x0, #0x90]
    stp x20, x21, [x0, #0xa0]
    stp x22, x23, [x0, #0xb0]
    stp x24, x25, [x0, #0xc0]
    stp x26, x27, [x0, #0xd0]
    stp x28, x29, [x0, #0xe0]
    ldp x2, x3, [sp], #16
    stp x2, x3, [x0]
    mrs x1, elr_el1
    mrs x2, sp_el0
    mrs x3, spsr_el1
    mrs x4, tpidr_el0
    str x30, [x0, #0xf0]
    stp x1, x2, [x0, #NK_AREA_PC]
    stp x3, x4, [x0, #NK_AREA_FLAGS]
    mov x29, xzr
    mov x30, xzr
.endm

.macro VECTOR target
    .balign 0x80
    b \target
.endm

.balign 0x800
.global nekton_vectors
nekton_vectors:
// Current level on SP_EL0: never used by a kernel.
    VECTOR kernel_exception
    VECTOR kernel_exception
    VECTOR kernel_exception
    VECTOR kernel_exception
// Current level: the kernel itself.
    VECTOR kernel_exception
    VECTOR kernel_interrupt
    VECTOR kernel_exception
    VECTOR kernel_exception
// EL0, 64 bits.
    VECTOR user_synchronous
    VECTOR user_interrupt
    VECTOR kernel_exception         // FIQ: nothing of ours is in group 0
    VECTOR user_system_error
// EL0, 32 bits: no SPSR that we load says so.
    VECTOR kernel_exception
    VECTOR kernel_exception
    VECTOR kernel_exception
    VECTOR kernel_exception

.balign 64
user_synchronous:
    SAVE_USER
    mrs x1, esr_el1
    mrs x2, far_el1
    b nekton_synchronous

.balign 64
user_interrupt:
    SAVE_USER
    b nekton_interrupt

.balign 64
user_system_error:
    SAVE_USER
    mrs x1, esr_el1
    mrs x2, far_el1
    b nekton_system_error

// An interrupt that passed the kernel's priority mask: the core is wanted back, or it was withdrawn
// in between. Only what a C function may clobber needs saving.
.balign 64
kernel_interrupt:
    sub sp, sp, #0xb0
    stp x0, x1, [sp, #0x00]
    stp x2, x3, [sp, #0x10]
    stp x4, x5, [sp, #0x20]
    stp x6, x7, [sp, #0x30]
    stp x8, x9, [sp, #0x40]
    stp x10, x11, [sp, #0x50]
    stp x12, x13, [sp, #0x60]
    stp x14, x15, [sp, #0x70]
    stp x16, x17, [sp, #0x80]
    stp x18, x30, [sp, #0x90]
    mrs x0, elr_el1
    mrs x1, spsr_el1
    stp x0, x1, [sp, #0xa0]
    bl nekton_forced                // does not return if it was FORCE
    ldp x0, x1, [sp, #0xa0]
    msr elr_el1, x0
    msr spsr_el1, x1
    ldp x2, x3, [sp, #0x10]
    ldp x4, x5, [sp, #0x20]
    ldp x6, x7, [sp, #0x30]
    ldp x8, x9, [sp, #0x40]
    ldp x10, x11, [sp, #0x50]
    ldp x12, x13, [sp, #0x60]
    ldp x14, x15, [sp, #0x70]
    ldp x16, x17, [sp, #0x80]
    ldp x18, x30, [sp, #0x90]
    ldp x0, x1, [sp, #0x00]
    add sp, sp, #0xb0
    eret

// The kernel faulted. Its stack pointer may be the reason: go on with a stack of its own.
.balign 64
kernel_exception:
    msr daifset, #0xf
    mrs x0, esr_el1
    mrs x1, far_el1
    mrs x2, elr_el1
    mov x3, sp
    adrp x4, nekton_emergency_stack_top
    add x4, x4, :lo12:nekton_emergency_stack_top
    mov sp, x4
    mov x29, xzr
    mov x30, xzr
    b nekton_kernel_fault

// The one way out. x0 = save area (window), x1 = bits of SPSR that are the user's, x2 = top of the
// kernel stack. DAIF is masked. Each word is loaded once and made harmless in the register: the area
// may change under our hands.
.balign 64
.global nekton_resume
nekton_resume:
    mov sp, x2
    ldp x3, x4, [x0, #NK_AREA_PC]
    ldp x5, x6, [x0, #NK_AREA_FLAGS]
    and x5, x5, x1
    msr elr_el1, x3
    msr sp_el0, x4
    msr spsr_el1, x5
    msr tpidr_el0, x6
    ldr x30, [x0, #0xf0]
    ldp x28, x29, [x0, #0xe0]
    ldp x26, x27, [x0, #0xd0]
    ldp x24, x25, [x0, #0xc0]
    ldp x22, x23, [x0, #0xb0]
    ldp x20, x21, [x0, #0xa0]
    ldp x18, x19, [x0, #0x90]
    ldp x16, x17, [x0, #0x80]
    ldp x14, x15, [x0, #0x70]
    ldp x12, x13, [x0, #0x60]
    ldp x10, x11, [x0, #0x50]
    ldp x8, x9, [x0, #0x40]
    ldp x6, x7, [x0, #0x30]
    ldp x4, x5, [x0, #0x20]
    ldp x2, x3, [x0, #0x10]
    ldp x0, x1, [x0]
    eret
