/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch between kernel stacks.  Only what the System V ABI calls callee-saved is kept: the kernel is compiled without
 * FPU, and a user context's registers are the platform's.
 */
        .text

/* void arch_switch_stack(void **save_sp, void *load_sp) */
        .globl  arch_switch_stack
        .type   arch_switch_stack, @function
        .p2align 4
arch_switch_stack:
        pushq   %rbp
        pushq   %rbx
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbx
        popq    %rbp
        ret
        .size   arch_switch_stack, . - arch_switch_stack

/* First code on a new stack. */
        .globl  arch_task_start
        .type   arch_task_start, @function
        .p2align 4
arch_task_start:
        xorl    %ebp, %ebp
        andq    $-16, %rsp
        call    sched_task_main
        ud2
        .size   arch_task_start, . - arch_task_start

        .section .note.GNU-stack, "", @progbits
