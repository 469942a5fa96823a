/* SPDX-License-Identifier: Apache-2.0 */
/*
 * long recv_wait(struct vcpu *v (rdi), int listener (esi), struct seccomp_notif *n (rdx))
 *
 * Receives a notification, or returns -EINTR when v->attention is or becomes set.  No wake-up is lost: who sets
 * attention looks at v->waiting afterwards and signals this thread, and the signal's handler moves an instruction pointer
 * in [begin, end) to abort, be it before the call or in its restart.
 */
#define NR_IOCTL   16
#define RECV       0xc0502100 /* SECCOMP_IOCTL_NOTIF_RECV */
#define EINTR      4
#define ATTENTION  0
#define WAITING    4

    .text
    .globl recv_wait, recv_wait_begin, recv_wait_end, recv_wait_abort
    .type recv_wait, @function
recv_wait:
    mov %rdi, %r8
    mov $1, %eax
    xchg %eax, WAITING(%r8)
    mov %esi, %edi
    mov $RECV, %esi
recv_wait_begin:
    cmpl $0, ATTENTION(%r8)
    jne recv_wait_abort
    mov $NR_IOCTL, %eax
    syscall
recv_wait_end:
    movl $0, WAITING(%r8)
    ret
recv_wait_abort:
    movl $0, WAITING(%r8)
    mov $-EINTR, %rax
    ret
    .size recv_wait, . - recv_wait
    .section .note.GNU-stack, "", @progbits
