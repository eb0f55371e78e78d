// The pen: where a core without a kernel waits (DESIGN §5).
//
// One page of position-independent code. In a Core object it stands at offset
// PEN_CODE, at the same virtual address in the pen's own tables and in every
// kernel's, so that either side can be left by loading the other's TTBR1.
//
// x19 = Core object (virtual)   x21 = mapped devices
//
// DAIF stays masked for good: `wfi` wakes on a pending interrupt all the same,
// and the loop takes it from the controller by hand. Between acknowledging and
// sleeping stands the look at the home line: a wake-up cannot be lost.

.section .rodata.nekton_pen, "a"
.balign 4096
.global nekton_pen_start
nekton_pen_start:
    b pen_from_kernel               // offset 0: KERNEL_ENTRY
    b pen_from_firmware             // offset 4: FIRMWARE_ENTRY

// ------------------------------------------------------------- from firmware
// MMU off, EL1 or EL2, this code at its physical address.
pen_from_firmware:
    msr daifset, #0xf
    NEKTON_DROP_TO_EL1 1
    adr x19, nekton_pen_start
    sub x19, x19, #PEN_CODE         // physical, until the jump below

    mov x0, #PEN_MAIR
    msr mair_el1, x0
    mov x0, #(PEN_TCR & 0xffff)
    movk x0, #(PEN_TCR >> 16 & 0xffff), lsl #16
    mrs x1, id_aa64mmfr0_el1
    and x2, x1, #0xf                // physical address size, at most 48 bits
    cmp x2, #5
    mov x3, #5
    csel x2, x2, x3, lo
    orr x0, x0, x2, lsl #32
    ubfx x1, x1, #4, #4             // 16-bit ASIDs
    cmp x1, #2
    cset x1, eq
    orr x0, x0, x1, lsl #36
    msr tcr_el1, x0
    ldr x0, [x19, #PEN_IDENTITY_ROOT]
    msr ttbr0_el1, x0
    ldr x0, [x19, #PEN_ROOT]
    msr ttbr1_el1, x0
    ic iallu
    dsb sy
    isb
    tlbi vmalle1
    dsb sy
    isb
    mov x0, #(PEN_SCTLR_ON & 0xffff)
    movk x0, #(PEN_SCTLR_ON >> 16), lsl #16
    msr sctlr_el1, x0
    isb
    adr x0, pen_home                // the same place, by its virtual address
    sub x0, x0, x19
    mov x1, #(PEN_CORE_VA & 0xffff)
    movk x1, #(PEN_CORE_VA >> 16 & 0xffff), lsl #16
    movk x1, #(PEN_CORE_VA >> 32 & 0xffff), lsl #32
    movk x1, #(PEN_CORE_VA >> 48 & 0xffff), lsl #48
    add x0, x0, x1
    br x0

// --------------------------------------------------------------- from a kernel
// MMU on, the kernel's tables. Detached or Crashed stands on the target line.
pen_from_kernel:
    msr daifset, #0xf
pen_home:
    adr x19, nekton_pen_start
    sub x19, x19, #PEN_CODE
    ldr x0, [x19, #PEN_IDENTITY_ROOT]
    ldr x1, [x19, #PEN_ROOT]
    msr ttbr0_el1, x0
    msr ttbr1_el1, x1
    isb
    tlbi vmalle1
    dsb nsh
    isb
    adr x0, pen_vectors
    msr vbar_el1, x0
    isb
    add x0, x19, #PEN_DATA
    add x0, x0, #0x1000
    mov sp, x0
    msr cntv_ctl_el0, xzr
    bl pen_open_controller

    // Second acknowledgement: nothing of the kernel is used any more.
    ldr x0, [x19, #TARGET_STATUS]
    cmp x0, #STATUS_CRASHED
    b.eq pen_loop
    str xzr, [x19, #TARGET_KCB]
    mov x0, #STATUS_PENNED
    add x1, x19, #TARGET_STATUS
    stlr x0, [x1]

pen_loop:
    bl pen_acknowledge
    add x0, x19, #HOME_SEQ
    ldar x20, [x0]
    // Only what was not answered is new: the Stop that led here was, by the kernel. Its number is still on the line
    // when the next command's payload is written, and whoever took that for the Stop's would answer the wrong one.
    ldr x1, [x19, #TARGET_SEQ]
    cmp x20, x1
    b.ne pen_command
    dsb sy
    wfi
    b pen_loop

pen_command:
    add x1, x19, #PEN_DATA
    str x20, [x1]                   // for pen_exception
    ldr x0, [x19, #HOME_CMD]
    cmp x0, #CMD_START
    b.eq pen_start_kernel
    cmp x0, #CMD_OFF
    b.eq pen_off
    // Stop, or nothing: this is where it leads.
pen_answer:
    add x1, x19, #TARGET_SEQ
    stlr x20, [x1]
    b pen_loop

pen_start_kernel:
    ldr x0, [x19, #HOME_IMAGE]
    and x0, x0, #1
    add x1, x19, #IMAGE_WORDS
    add x1, x1, x0, lsl #7
    ldr x2, [x1, #IMAGE_ROOT]
    ldr x3, [x1, #IMAGE_STACK]
    ldr x4, [x1, #IMAGE_ENTRY]
    at s1e1r, x19                   // the Core object's physical address
    isb
    mrs x0, par_el1
    and x0, x0, #0x0000fffffffff000
    ldr x1, [x19, #HOME_KCB]
    msr ttbr1_el1, x2
    isb
    tlbi vmalle1
    ic iallu
    dsb nsh
    isb
    mov sp, x3
    br x4

pen_off:
    mov x0, #STATUS_OFF
    str x0, [x19, #TARGET_STATUS]
    add x1, x19, #TARGET_SEQ
    stlr x20, [x1]
    dsb sy
    mov x0, #(PEN_PSCI_CPU_OFF & 0xffff)
    movk x0, #(PEN_PSCI_CPU_OFF >> 16), lsl #16
    ldr x1, [x19, #ISA_CONDUIT]
    cmp x1, #1
    b.eq 1f
    cmp x1, #2
    b.ne 2f
    hvc #0
    b 2f
1:  smc #0
2:  adr x19, nekton_pen_start       // still here: firmware refused, or there is none
    sub x19, x19, #PEN_CODE
    mov x0, #STATUS_PENNED
    add x1, x19, #TARGET_STATUS
    stlr x0, [x1]
    b pen_loop

// ------------------------------------------------------- interrupt controller
// Private interrupts off but the software ones; every priority let through.
pen_open_controller:
    add x21, x19, #PEN_DEVICES
    ldr x0, [x19, #ISA_GIC_VERSION]
    mov w1, #-1
    cmp x0, #2
    b.eq 2f
    add x2, x21, #PEN_DEVICE_CORE_PART
    ldr w0, [x2, #GICR_WAKER]
    bic w0, w0, #2
    str w0, [x2, #GICR_WAKER]
1:  ldr w0, [x2, #GICR_WAKER]
    tbnz w0, #2, 1b
    add x2, x2, #GICR_SGI_FRAME
    str w1, [x2, #GIC_ICENABLER]
    str w1, [x2, #GIC_ICACTIVER]
    str w1, [x2, #GIC_IGROUPR]
    mov w0, #SGI_ALL
    str w0, [x2, #GIC_ISENABLER]
    mrs x0, S3_0_C12_C12_5          // ICC_SRE_EL1
    orr x0, x0, #1
    msr S3_0_C12_C12_5, x0
    isb
    mov x0, #0xff
    msr S3_0_C4_C6_0, x0            // ICC_PMR_EL1
    msr S3_0_C12_C12_3, xzr         // ICC_BPR1_EL1
    msr S3_0_C12_C12_4, xzr         // ICC_CTLR_EL1
    msr S3_0_C12_C9_0, xzr          // ICC_AP1R0_EL1
    mov x0, #1
    msr S3_0_C12_C12_7, x0          // ICC_IGRPEN1_EL1
    isb
    ret
2:  add x2, x21, #PEN_DEVICE_GICD
    str w1, [x2, #GIC_ICENABLER]
    str w1, [x2, #GIC_ICACTIVER]
    mov w0, #SGI_ALL
    str w0, [x2, #GIC_ISENABLER]
    add x2, x21, #PEN_DEVICE_CORE_PART
    mov w0, #0xff
    str w0, [x2, #GICC_PMR]
    str wzr, [x2, #GICC_BPR]
    str wzr, [x2, #GICC_APR]
    mov w0, #1
    str w0, [x2, #GICC_CTLR]
    ret

// Takes what is pending until nothing is. A device interrupt that was still routed here is masked.
pen_acknowledge:
    ldr x3, [x19, #ISA_GIC_VERSION]
    add x4, x21, #PEN_DEVICE_CORE_PART
1:  cmp x3, #2
    b.eq 2f
    mrs x0, S3_0_C12_C12_0          // ICC_IAR1_EL1
    b 3f
2:  ldr w0, [x4, #GICC_IAR]
3:  and w1, w0, #0x3ff
    cmp w1, #1020
    b.hs 6f
    cmp w1, #32
    b.lo 4f
    lsr w2, w1, #5
    lsl w2, w2, #2
    add w2, w2, #GIC_ICENABLER
    add x5, x21, #PEN_DEVICE_GICD
    add x5, x5, x2
    mov w2, #1
    lsl w2, w2, w1                  // modulo 32
    str w2, [x5]
4:  cmp x3, #2
    b.eq 5f
    msr S3_0_C12_C12_1, x0          // ICC_EOIR1_EL1
    isb
    b 1b
5:  str w0, [x4, #GICC_EOIR]
    b 1b
6:  ret

// ------------------------------------------------------------------ exceptions
// The pen never faults by itself: what arrives here came from a kernel image that could not take
// over. Say so and wait for another.
pen_exception:
    adr x19, nekton_pen_start
    sub x19, x19, #PEN_CODE
    mrs x0, elr_el1
    mrs x1, far_el1
    mrs x2, cntvct_el0
    str x0, [x19, #EPITAPH_PC]
    str x1, [x19, #EPITAPH_DETAIL]
    str x2, [x19, #EPITAPH_COUNTER]
    str xzr, [x19, #EPITAPH_LEN]
    mov x0, #EPITAPH_EXCEPTION
    str x0, [x19, #EPITAPH_KIND]
    mov x0, #STATUS_CRASHED
    add x1, x19, #TARGET_STATUS
    stlr x0, [x1]
    add x1, x19, #PEN_DATA
    ldr x0, [x1]                    // the command that led here is answered
    add x1, x19, #TARGET_SEQ
    stlr x0, [x1]
    b pen_home

.macro PEN_VECTOR
    .balign 0x80
    b pen_exception
.endm

// `.org` refuses to go backwards: the code above fits its half page, and all of it one page.
.org nekton_pen_start + 0x800
pen_vectors:
.rept 16
    PEN_VECTOR
.endr
.org nekton_pen_start + 4096
