/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of every stub, mapped read-only at STUB_TEXT: the signal handler that turns a trap into a notification, the
 * loop that carries out the Sentry's orders, and the first steps of newborn threads.  Position independent, no stack
 * use, no memory but the thread's own context page.
 *
 * Registers inside: rbp signal frame, r13 context page, r14 command, r12 orders left, rbx next order, r15 number of the order.
 */
#include "platform/systrap/stub_abi.h"

#define NR_MMAP         9
#define NR_GETPID       39
#define NR_RT_SIGRETURN 15
#define NR_CLONE        56
#define NR_EXIT         60
#define CLONE_VM_BIT    0x100

    .section .rodata, "a"
    .balign 4096
    .globl stub_text_start
stub_text_start:

/* void handler(rdi signal, rsi siginfo, rdx ucontext), rsp = the frame */
    .globl stub_entry_handler
stub_entry_handler:
    rdfsbase %r10
    rdgsbase %r8
    .globl stub_entry_handler_nofsgs
stub_entry_handler_nofsgs:
    mov %rsp, %rbp
    xor %r9d, %r9d
    mov $STUB_NR_TRAP, %eax
    syscall
    .globl stub_ip_trap
stub_ip_trap:

/* rax: the command */
command:
    mov %eax, %r14d
    test %eax, %eax
    jz leave
    mov %rbp, %r13
    and $-STUB_AREA_SIZE, %r13
    test $STUB_CMD_EXIT, %r14d
    jnz exit_thread
    movzbl %r14b, %r12d
    lea STUB_CTX_ORDERS(%r13), %rbx
next_order:
    test %r12d, %r12d
    jz orders_done
    mov 0(%rbx), %rax
    mov 8(%rbx), %rdi
    mov 16(%rbx), %rsi
    mov 24(%rbx), %rdx
    mov 32(%rbx), %r10
    mov 40(%rbx), %r8
    mov 48(%rbx), %r9
    mov %rax, %r15
    syscall
    .globl stub_ip_order
stub_ip_order:
    test %rax, %rax
    jnz 1f
    cmp $NR_CLONE, %r15
    je newborn
1:  cmp $-4095, %rax
    jae report
    add $STUB_ORDER_SIZE, %rbx
    dec %r12d
    jmp next_order

orders_done:
    test $STUB_CMD_REPORT, %r14d
    jz leave
    xor %eax, %eax
report:
    mov %rax, %rdi
    mov %r12, %rsi
    mov $STUB_NR_REPORT, %eax
    syscall
    .globl stub_ip_report
stub_ip_report:
    jmp command

leave:
    test $STUB_CMD_BASES, %r14d
    jz 1f
    mov STUB_CTX_FS_BASE(%r13), %rcx
    wrfsbase %rcx
    mov STUB_CTX_GS_BASE(%r13), %rcx
    wrgsbase %rcx
1:  lea 8(%rbp), %rsp
    mov $NR_RT_SIGRETURN, %eax
    syscall
    .globl stub_ip_sigreturn
stub_ip_sigreturn:
    ud2

exit_thread:
    xor %edi, %edi
    mov $NR_EXIT, %eax
    syscall
    .globl stub_ip_exit
stub_ip_exit:
    ud2

/* The child of a clone order.  r8, r9: descriptor and offset of its area, as in the order.  A process maps its area over
 * the parent's copy before it touches memory; a thread came with its frame as its stack. */
newborn:
    test $CLONE_VM_BIT, %edi
    jnz 1f
    mov %r13, %rdi
    mov $STUB_AREA_SIZE, %esi
    mov $3, %edx
    mov $0x11, %r10d
    mov $NR_MMAP, %eax
    syscall
    .globl stub_ip_birth
stub_ip_birth:
    cmp %r13, %rax
    jne exit_thread
    mov STUB_CTX_COMMAND(%r13), %rax
    jmp command
1:  mov %rsp, %rbp
    mov %rbp, %rdi
    and $-STUB_AREA_SIZE, %rdi
    mov $STUB_NR_BORN, %eax
    syscall
    .globl stub_ip_born
stub_ip_born:
    jmp command

/* A zygote comes here with rbp = the address of the frame its children start from. */
    .globl stub_entry_zygote
stub_entry_zygote:
    xor %r12d, %r12d
    xor %eax, %eax
    jmp report

/* What a zygote runs while the way through the handler is measured: one trap after the other. */
    .globl stub_probe
stub_probe:
    int3
    jmp stub_probe

/*
 * Where rewritten call sites come to: rax is the call's number, r11 the address behind its syscall instruction, all else as at
 * the call.  Changes nothing that a system call leaves alone, the flags included: hence lea and jrcxz where others
 * would compare.  Answers in rax and goes on at r11; or goes to the syscall instruction itself, two bytes before, with the
 * number in rax.  gs is the guest's to change: unless it points into the stub's region (its upper half is 0x7fff), nothing is
 * posted.
 *
 * A call that nobody takes within a few microseconds is made as ever: whoever looked was interrupted, or waits for this very
 * CPU, whose number is left for it.  One that was taken
 * gets as much time again.
 */
/* Its limit is the number of the CPU and of its node (getcpu(2) in the vDSO reads it, too); below: 12 bits for the CPU. */
#define CPUNODE_SEGMENT 0x7b
    .balign 64
    .globl stub_post_plain
stub_post_plain:
    lea -2(%r11), %rcx
    jmp *%rcx
6:  mov %gs:STUB_POST_PID, %ecx
    jrcxz 7f
    mov %ecx, %eax
    .globl stub_post_pid
stub_post_pid:
    jmp *%r11
    .globl stub_post
stub_post:
    rdgsbase %rcx
    bswap %rcx
    lea 0x810000(%rcx), %ecx
    jrcxz 1f
    jmp stub_post_plain
1:  lea -NR_GETPID(%rax), %ecx
    jrcxz 6b
7:  mov %gs:STUB_POST_OPEN, %ecx
    jrcxz stub_post_plain
    mov %r11, %gs:STUB_POST_RET
    mov %gs:STUB_POST_SEQ, %rcx
    lea 1(%rcx), %rcx
    mov %rcx, %gs:STUB_POST_SEQ
    mov %rax, %gs:STUB_POST_NR
    mov %rdi, %gs:STUB_POST_ARGS
    mov %rsi, %gs:STUB_POST_ARGS+8
    mov %rdx, %gs:STUB_POST_ARGS+16
    mov %r10, %gs:STUB_POST_ARGS+24
    mov %r8, %gs:STUB_POST_ARGS+32
    mov %r9, %gs:STUB_POST_ARGS+40
    movl $POST_POSTED, %gs:STUB_POST_STATE
    .globl stub_post_committed
stub_post_committed:
    mov %gs:STUB_POST_SPINS, %eax
4:  mov %gs:STUB_POST_STATE, %ecx
    lea -POST_POSTED(%rcx), %ecx
    jrcxz 5f
    mov %gs:STUB_POST_SPINS, %eax
    jmp 2f
5:  lea -1(%rax), %eax
    mov %eax, %ecx
    jrcxz 3f
    pause
    jmp 4b
2:  mov %gs:STUB_POST_STATE, %ecx
    lea -POST_DONE(%rcx), %ecx
    jrcxz answered
    lea POST_DONE-POST_WAIT(%rcx), %ecx
    jrcxz sleep
    lea POST_WAIT-POST_REFUSED(%rcx), %ecx
    jrcxz refused
    lea -1(%rax), %eax
    mov %eax, %ecx
    jrcxz 3f
    pause
    jmp 2b
3:  mov $CPUNODE_SEGMENT, %ecx
    lahf
    lsl %ecx, %ecx
    sahf
    mov %ecx, %gs:STUB_POST_CPU
    mov $POST_SLEEP, %ecx
    xchg %ecx, %gs:STUB_POST_STATE
    lea -POST_DONE(%rcx), %ecx
    jrcxz answered
    lea POST_DONE-POST_POSTED(%rcx), %ecx
    jrcxz refused
    lea POST_POSTED-POST_REFUSED(%rcx), %ecx
    jrcxz refused
sleep:
    mov $STUB_NR_WAIT, %eax
    syscall
    .globl stub_ip_wait
stub_ip_wait:
    mov %gs:STUB_POST_RET, %r11
    jmp *%r11
answered:
    mov %gs:STUB_POST_NR, %rax
    jmp *%r11
refused:
    mov %gs:STUB_POST_NR, %rax
    jmp stub_post_plain
    .globl stub_post_end
stub_post_end:

    .globl stub_text_end
stub_text_end:
    .section .note.GNU-stack, "", @progbits
