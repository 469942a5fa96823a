/* SPDX-License-Identifier: Apache-2.0 */
/* The first instruction of moat-sentry: no libc, so no set-up but the stack's alignment. */
    .text
    .globl _start
_start:
    xor %ebp, %ebp
    mov %rsp, %rdi
    and $-16, %rsp
    call sentry_main
    ud2
    .section .note.GNU-stack, "", @progbits
