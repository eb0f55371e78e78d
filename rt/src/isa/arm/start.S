// First instruction of a program, and the entry of upcalls.
//
// A program starts with interrupts on, upcalls off (dispatcher page word "disabled"
// is 1), sp at the top of its first stack, FPU state fresh, no TLS base: nothing
// may touch thread-local storage before nekton_start has set it.

    .section .text._start, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
    mov x29, #0
    mov x30, #0
    bl nekton_start
    udf #0
    .size _start, . - _start

// Upcall: x0 = number, x1 = detail, x2 = dispatcher page, x3 = access; the stack is
// the upcall stack. The interrupted state stands in a save area. Never returns.
    .globl nekton_upcall_entry
    .type nekton_upcall_entry, @function
nekton_upcall_entry:
    mov x29, #0
    mov x30, #0
    bl nekton_upcall
    udf #0
    .size nekton_upcall_entry, . - nekton_upcall_entry

// First instruction of a further dispatcher of a process: as _start, but with its TLS base;
// x0 = its place.
    .globl nekton_member_entry
    .type nekton_member_entry, @function
nekton_member_entry:
    mov x29, #0
    mov x30, #0
    bl nekton_member
    udf #0
    .size nekton_member_entry, . - nekton_member_entry

// Where the first context goes on once it has its TLS base: Resume loads everything else as zero.
    .globl nekton_continue
    .type nekton_continue, @function
nekton_continue:
    mov x29, #0
    mov x30, #0
    bl nekton_main
    udf #0
    .size nekton_continue, . - nekton_continue
