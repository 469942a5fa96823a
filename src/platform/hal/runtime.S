/* SPDX-License-Identifier: Apache-2.0 */
/* What a program without libc needs in assembly: threads, and the return from signal handlers. */
#define NR_RT_SIGRETURN 15
#define NR_CLONE        56

    .text
/* long host_clone(flags rdi, stack top rsi, fn rdx, arg rcx): the child runs fn(arg), which must not return. */
    .globl host_clone
    .type host_clone, @function
host_clone:
    sub $16, %rsi
    mov %rdx, 0(%rsi)
    mov %rcx, 8(%rsi)
    xor %edx, %edx
    xor %r10d, %r10d
    xor %r8d, %r8d
    mov $NR_CLONE, %eax
    syscall
    test %rax, %rax
    jz 1f
    ret
1:  xor %ebp, %ebp
    pop %rax
    pop %rdi
    call *%rax
    ud2
    .size host_clone, . - host_clone

    .globl host_sigreturn
    .type host_sigreturn, @function
host_sigreturn:
    mov $NR_RT_SIGRETURN, %eax
    syscall
    .size host_sigreturn, . - host_sigreturn
    .section .note.GNU-stack, "", @progbits
