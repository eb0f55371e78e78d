// The door of the arm64 Image (Linux, Documentation/arch/arm64/booting.rst).
//
// Firmware jumps to byte 0 with x0 = device tree (physical), MMU off, at EL1 or
// EL2, DAIF masked, this image cleaned to memory. We go to EL1, clear .bss,
// apply our own relocations, and call Rust with translation still off: nothing
// but aligned, plain accesses are allowed until it has made tables.

.section .text.image_header, "ax"
.global image_start
image_start:
    b enter_image
    .long 0
    .quad 0                         // text_offset
    .quad image_bytes               // bytes in memory, .bss and stack included
    .quad 0xa                       // little endian, 4-KiB pages, anywhere in memory
    .quad 0, 0, 0
    .ascii "ARM\x64"
    .long 0

enter_image:
    movz xzr, #{LOADER_ENTRY}       // marker (abi::marker): does nothing
    msr daifset, #0xf
    mov x19, x0
    mrs x20, CurrentEL
    adrp x0, loader_stack_top
    add x0, x0, :lo12:loader_stack_top
    mov sp, x0
    bl nekton_drop_to_el1
    msr spsel, #1
    adrp x0, loader_stack_top
    add x0, x0, :lo12:loader_stack_top
    mov sp, x0
    isb
    mrs x21, cntvct_el0
    adrp x0, loader_vectors
    add x0, x0, :lo12:loader_vectors
    msr vbar_el1, x0
    isb

    adrp x0, image_bss
    add x0, x0, :lo12:image_bss
    adrp x1, image_end
    add x1, x1, :lo12:image_end
1:  stp xzr, xzr, [x0], #16
    cmp x0, x1
    b.lo 1b

    adr x0, image_start             // linked at 0: this is what every relocation adds
    adrp x1, image_rela
    add x1, x1, :lo12:image_rela
    adrp x2, image_rela_end
    add x2, x2, :lo12:image_rela_end
    b 3f
2:  ldr x3, [x1]                    // place; the linker makes no kind but RELATIVE here
    ldr x4, [x1, #16]               // addend
    add x4, x4, x0
    str x4, [x0, x3]
    add x1, x1, #24
3:  cmp x1, x2
    b.lo 2b

    ubfx x1, x20, #2, #2            // exception level that firmware used
    mov x0, x19
    mov x2, x21
    mov x29, xzr
    mov x30, xzr
    bl loader_enter

.macro LOADER_VECTOR
    .balign 0x80
    b loader_fault
.endm

.balign 0x800
loader_vectors:
.rept 16
    LOADER_VECTOR
.endr
loader_fault:
    mrs x0, esr_el1
    mrs x1, elr_el1
    mrs x2, far_el1
    adrp x3, loader_stack_top
    add x3, x3, :lo12:loader_stack_top
    mov sp, x3
    bl loader_exception

.section .bss.loader_stack, "aw", @nobits
.balign 16
    .skip 0x10000
loader_stack_top:
