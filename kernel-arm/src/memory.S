// memcpy, memmove, memset as compilers call them. The ones that come with the language copy word by
// word for machines that forbid unaligned accesses; kernels run with translation on, on memory that
// allows them, and every system call copies a structure or two.

.section .text.nekton_memory, "ax"

// x0 = to, x1 = from, x2 = bytes; returns x0.
.balign 64
.global memcpy
memcpy:
    mov x3, x0
    subs x2, x2, #64
    b.lo 2f
1:  ldp x4, x5, [x1]
    ldp x6, x7, [x1, #16]
    ldp x8, x9, [x1, #32]
    ldp x10, x11, [x1, #48]
    add x1, x1, #64
    stp x4, x5, [x3]
    stp x6, x7, [x3, #16]
    stp x8, x9, [x3, #32]
    stp x10, x11, [x3, #48]
    add x3, x3, #64
    subs x2, x2, #64
    b.hs 1b
2:  tbz x2, #5, 3f
    ldp x4, x5, [x1], #16
    ldp x6, x7, [x1], #16
    stp x4, x5, [x3], #16
    stp x6, x7, [x3], #16
3:  tbz x2, #4, 4f
    ldp x4, x5, [x1], #16
    stp x4, x5, [x3], #16
4:  tbz x2, #3, 5f
    ldr x4, [x1], #8
    str x4, [x3], #8
5:  tst x2, #7
    b.eq 9f
    tbz x2, #2, 6f
    ldr w4, [x1], #4
    str w4, [x3], #4
6:  tbz x2, #1, 7f
    ldrh w4, [x1], #2
    strh w4, [x3], #2
7:  tbz x2, #0, 9f
    ldrb w4, [x1]
    strb w4, [x3]
9:  ret

// As memcpy; the ranges may overlap.
.balign 16
.global memmove
memmove:
    sub x3, x0, x1
    cmp x3, x2
    b.hs memcpy                     // to is before from, or behind its end
    add x1, x1, x2
    add x3, x0, x2
1:  tst x2, #7
    b.eq 2f
    ldrb w4, [x1, #-1]!
    strb w4, [x3, #-1]!
    sub x2, x2, #1
    b 1b
2:  cbz x2, 9b
    ldr x4, [x1, #-8]!
    str x4, [x3, #-8]!
    sub x2, x2, #8
    b 2b

// x0 = to, w1 = byte, x2 = bytes; returns x0.
.balign 64
.global memset
memset:
    mov x3, x0
    and x1, x1, #0xff
    mov x4, #0x0101010101010101
    mul x1, x1, x4
    subs x2, x2, #64
    b.lo 2f
1:  stp x1, x1, [x3]
    stp x1, x1, [x3, #16]
    stp x1, x1, [x3, #32]
    stp x1, x1, [x3, #48]
    add x3, x3, #64
    subs x2, x2, #64
    b.hs 1b
2:  tbz x2, #5, 3f
    stp x1, x1, [x3], #16
    stp x1, x1, [x3], #16
3:  tbz x2, #4, 4f
    stp x1, x1, [x3], #16
4:  tbz x2, #3, 5f
    str x1, [x3], #8
5:  tst x2, #7
    b.eq 9f
    tbz x2, #2, 6f
    str w1, [x3], #4
6:  tbz x2, #1, 7f
    strh w1, [x3], #2
7:  tbz x2, #0, 9f
    strb w1, [x3]
9:  ret
