// From EL2 to EL1, for code that firmware entered with its MMU off.
//
// Falls through at EL1 on the caller's stack pointer; at EL2 it first makes EL2
// transparent: EL1 is AArch64, sees real time (CNTVOFF = 0), the physical timer
// and counter, FP/SIMD, its own identity, and the GIC's system registers.
// Clobbers x0 to x2. One parameter, so that the macro can stand twice in a unit.
.macro NEKTON_DROP_TO_EL1 unique
    mrs x0, CurrentEL
    cmp x0, #(2 << 2)
    b.ne 9\unique\()f

    mov x0, #(1 << 31)              // HCR_EL2.RW; no trap, no stage 2
    msr hcr_el2, x0
    isb                             // with E2H gone the names below mean what they say
    mov x0, #0xc03                  // CNTHCT_EL2: EL1 has counter and timer (both E2H layouts)
    msr cnthctl_el2, x0
    msr cntvoff_el2, xzr
    mov x0, #0x33ff                 // CPTR_EL2: only its fixed ones, FP and SIMD not trapped
    msr cptr_el2, x0
    msr hstr_el2, xzr
    msr vttbr_el2, xzr
    mrs x0, midr_el1
    msr vpidr_el2, x0
    mrs x0, mpidr_el1
    msr vmpidr_el2, x0
    mrs x0, id_aa64dfr0_el1         // PMU counters all belong to EL1
    ubfx x1, x0, #8, #4
    sub x2, x1, #1
    cmp x2, #14                     // 0 = none, 15 = not the architecture's
    mov x1, xzr
    b.hs 7\unique\()f
    mrs x1, pmcr_el0
    ubfx x1, x1, #11, #5
7\unique\():
    msr mdcr_el2, x1
    mrs x0, id_aa64mmfr1_el1        // FEAT_HCX: nothing of it
    ubfx x0, x0, #40, #4
    cbz x0, 6\unique\()f
    msr S3_4_C1_C2_2, xzr           // HCRX_EL2
6\unique\():
    mrs x0, id_aa64mmfr0_el1        // FEAT_FGT: no fine-grained traps
    ubfx x0, x0, #56, #4
    cbz x0, 5\unique\()f
    msr S3_4_C1_C1_4, xzr           // HFGRTR_EL2
    msr S3_4_C1_C1_5, xzr           // HFGWTR_EL2
    msr S3_4_C1_C1_6, xzr           // HFGITR_EL2
    msr S3_4_C3_C1_4, xzr           // HDFGRTR_EL2
    msr S3_4_C3_C1_5, xzr           // HDFGWTR_EL2
5\unique\():
    mrs x0, id_aa64pfr0_el1         // GIC system registers
    ubfx x0, x0, #24, #4
    cbz x0, 8\unique\()f
    mrs x0, S3_4_C12_C9_5           // ICC_SRE_EL2: SRE, DFB, DIB, Enable
    orr x0, x0, #0xf
    msr S3_4_C12_C9_5, x0
    isb
    msr S3_4_C12_C11_0, xzr         // ICH_HCR_EL2
8\unique\():
    mov x0, #(NEKTON_SCTLR_OFF & 0xffff)
    movk x0, #(NEKTON_SCTLR_OFF >> 16), lsl #16
    msr sctlr_el1, x0
    mov x0, #0x3c5                  // EL1h, everything masked
    msr spsr_el2, x0
    adr x0, 9\unique\()f
    msr elr_el2, x0
    mov x0, sp
    msr sp_el1, x0
    eret
9\unique\():
.endm
