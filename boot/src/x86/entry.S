/* The two doors of the loader, and the way to 64-bit mode.
 *
 * PVH (Xen's HVM direct boot, "x86/HVM direct boot ABI"): 32-bit protected
 * mode, paging off, EBX = start info. Multiboot2 (specification 2.0, 3.3):
 * the same, EAX = magic, EBX = information. Neither promises a stack or a
 * descriptor table. Each door tells itself apart by its own entry point.
 *
 * All memory below 4 GiB is mapped at its own address by 2-MiB blocks; the
 * window comes later, in Rust.
 */
    .section .head.multiboot2, "a"
    .balign 8
1:  .long 0xe85250d6, 0, 2f - 1b
    .long -(0xe85250d6 + (2f - 1b))
    .short 0, 0
    .long 8
2:
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18                  /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long pvh_entry

    .section .text.entry, "ax"
    .code32
    .globl multiboot2_entry, pvh_entry
multiboot2_entry:
    mov edi, 1
    jmp 1f
pvh_entry:
    xor edi, edi
1:  cli
    cld
    .byte 0x0f, 0x1f, 0x80          /* nopl disp32(%eax): marker (abi::marker) */
    .long {MARKER}
    mov esi, ebx
    lea esp, [stack_top]
    /* Two page-directory levels by hand, four directories of 512 blocks. */
    lea eax, [loader_root]
    lea ecx, [low_pdpt]
    or ecx, 3
    mov [eax], ecx
    lea eax, [low_pdpt]
    lea ecx, [low_directories]
    or ecx, 3
    mov edx, 4
2:  mov [eax], ecx
    add eax, 8
    add ecx, 4096
    dec edx
    jnz 2b
    lea eax, [low_directories]
    mov ecx, 0x83
    mov edx, 2048
3:  mov [eax], ecx
    add eax, 8
    add ecx, 0x200000
    dec edx
    jnz 3b
    mov eax, {CR4}
    mov cr4, eax
    lea eax, [loader_root]
    mov cr3, eax
    mov ecx, {MSR_EFER}
    rdmsr
    or eax, {EFER}
    wrmsr
    mov eax, {CR0}
    mov cr0, eax
    lgdt [gdt_pointer]
    push 8
    lea eax, [4f]
    push eax
    retf
    .code64
4:  mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    lidt [rip + idt_pointer]
    mov edi, edi
    mov esi, esi
    lea rsp, [rip + stack_top]
    xor ebp, ebp
    call {enter}
5:  cli
    hlt
    jmp 5b

/* One stub per exception: number and error code for a message. */
    .balign 16
    .globl exception_stubs
exception_stubs:
    .set vector, 0
    .rept 32
    .balign 16
    .if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    push 0
    .endif
    push vector
    jmp 6f
    .set vector, vector + 1
    .endr
6:  pop rdi
    pop rsi
    mov rdx, [rsp]
    mov rcx, cr2
    and rsp, -16
    call {exception}
    jmp 5b

    .section .rodata.entry, "a"
    .balign 8
gdt:
    .quad 0, 0x00209b0000000000, 0x0000930000000000
gdt_pointer:
    .word 23
    .quad gdt
idt_pointer:
    .word 32 * 16 - 1
    .quad {idt}

    .section .bss.entry, "aw", @nobits
    .balign 4096
    .globl loader_root
loader_root: .skip 4096
low_pdpt: .skip 4096
low_directories: .skip 4 * 4096
    .skip 0x8000
stack_top:
    .text
