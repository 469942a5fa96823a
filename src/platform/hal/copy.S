/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory access that survives a host bus error: the handler in faults.c moves an instruction pointer in [begin, end) to
 * the fail label.  All return 0 or -EFAULT in eax.  Leaf functions, no stack.
 */
#define EFAULT 14

    .text
    .globl fixup_begin, fixup_end, fixup_fail
    .globl hal_copy, hal_zero, hal_cas_u32, hal_load_u32
fixup_begin:

    .type hal_copy, @function
hal_copy:                       /* dst rdi, src rsi, len rdx */
    cmp $16, %rdx
    jbe 1f
    mov %rdx, %rcx
    rep movsb
    xor %eax, %eax
    ret
1:  cmp $8, %rdx
    jb 2f
    mov (%rsi), %rax
    mov -8(%rsi,%rdx), %rcx
    mov %rax, (%rdi)
    mov %rcx, -8(%rdi,%rdx)
    xor %eax, %eax
    ret
2:  cmp $4, %rdx
    jb 3f
    mov (%rsi), %eax
    mov -4(%rsi,%rdx), %ecx
    mov %eax, (%rdi)
    mov %ecx, -4(%rdi,%rdx)
    xor %eax, %eax
    ret
3:  test %rdx, %rdx
    jz 4f
    movb (%rsi), %al
    movb %al, (%rdi)
    inc %rsi
    inc %rdi
    dec %rdx
    jmp 3b
4:  xor %eax, %eax
    ret
    .size hal_copy, . - hal_copy

    .type hal_zero, @function
hal_zero:                       /* dst rdi, len rsi */
    mov %rsi, %rcx
    xor %eax, %eax
    rep stosb
    ret
    .size hal_zero, . - hal_zero

    .type hal_cas_u32, @function
hal_cas_u32:                    /* word rdi, expected esi, desired edx, out rcx */
    mov %esi, %eax
    lock cmpxchg %edx, (%rdi)
    mov %eax, (%rcx)
    xor %eax, %eax
    ret
    .size hal_cas_u32, . - hal_cas_u32

    .type hal_load_u32, @function
hal_load_u32:                   /* word rdi, out rsi */
    mov (%rdi), %eax
    mov %eax, (%rsi)
    xor %eax, %eax
    ret
    .size hal_load_u32, . - hal_load_u32

fixup_end:
fixup_fail:
    mov $-EFAULT, %eax
    ret
    .section .note.GNU-stack, "", @progbits
