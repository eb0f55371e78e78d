/* Where firmware lets a core out (SIPI): real mode, in a page below 1 MiB,
 * CS = page << 8, IP = 0. Straight to long mode (SDM vol. 3A, 10.8.5 allows
 * paging and protection to be set by one write of CR0), under the page after
 * this one as root table, and from there to the pen. AT&T syntax: only there
 * can the 16-bit far jump be written.
 *
 * The words that depend on the page's address are computed from CS, so that
 * the code needs no relocation; they are the same for every core.
 */
    .section .rodata.nekton_trampoline, "a"
    .balign 16
    .globl nekton_trampoline_start, nekton_trampoline_target, nekton_trampoline_end
    .code16
nekton_trampoline_start:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    movzwl %ax, %ebx
    shll $4, %ebx
    leal (3f - nekton_trampoline_start)(%ebx), %eax
    movl %eax, (4f - nekton_trampoline_start + 2)
    leal (2f - nekton_trampoline_start)(%ebx), %eax
    movl %eax, (5f - nekton_trampoline_start)
    lgdtl (4f - nekton_trampoline_start)
    movl ${PAE}, %eax
    movl %eax, %cr4
    leal 0x1000(%ebx), %eax
    movl %eax, %cr3
    movl ${EFER}, %ecx
    rdmsr
    orl ${EFER_BITS}, %eax
    wrmsr
    movl ${CR0}, %eax
    movl %eax, %cr0
    ljmpl *(5f - nekton_trampoline_start)
    .code64
2:  movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movq nekton_trampoline_target(%rip), %rax
    jmpq *%rax
    .balign 8
3:  .quad 0, 0x00209b0000000000, 0x0000930000000000
4:  .word 23
    .long 0
    .balign 4
5:  .long 0
    .word 8
    .balign 8
nekton_trampoline_target:
    .quad 0
nekton_trampoline_end:
    .text
