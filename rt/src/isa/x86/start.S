# First instruction of a program, and the entry of upcalls.
#
# A program starts with interrupts on, upcalls off (dispatcher page word "disabled"
# is 1), rsp at the top of its first stack, FPU state fresh, no TLS base: nothing
# may touch thread-local storage before nekton_start has set it.

    .section .text._start, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
    xorl %ebp, %ebp
    andq $-16, %rsp
    call nekton_start
    ud2
    .size _start, . - _start

# Upcall: rdi = number, rsi = detail, rdx = dispatcher page, rcx = access; the stack is
# the upcall stack. The interrupted state stands in a save area. Never returns.
    .globl nekton_upcall_entry
    .type nekton_upcall_entry, @function
nekton_upcall_entry:
    xorl %ebp, %ebp
    andq $-16, %rsp
    cld
    call nekton_upcall
    ud2
    .size nekton_upcall_entry, . - nekton_upcall_entry

# First instruction of a further dispatcher of a process: as _start, but with its TLS base;
# rdi = its place.
    .globl nekton_member_entry
    .type nekton_member_entry, @function
nekton_member_entry:
    xorl %ebp, %ebp
    andq $-16, %rsp
    call nekton_member
    ud2
    .size nekton_member_entry, . - nekton_member_entry

# Where the first context goes on once it has its TLS base: Resume loads everything
# else as zero. The stack is aligned as after a call.
    .globl nekton_continue
    .type nekton_continue, @function
nekton_continue:
    xorl %ebp, %ebp
    andq $-16, %rsp
    call nekton_main
    ud2
    .size nekton_continue, . - nekton_continue
