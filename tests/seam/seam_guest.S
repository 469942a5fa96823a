/* SPDX-License-Identifier: Apache-2.0 */
/* Guest programs of the platform tests: position independent, data at GUEST_DATA in r12 by convention. */
    .section .rodata, "a"
    .balign 16
    .globl guest_start, guest_end
guest_start:

/* rbx times getppid; sums results in r13, then exit(r13) */
    .globl guest_calls
guest_calls:
    xor %r13d, %r13d
1:  mov $110, %eax
    syscall
    add %rax, %r13
    dec %rbx
    jnz 1b
    mov $60, %eax
    mov %r13, %rdi
    syscall
    ud2

/* reads and writes at r12, then exit(value read) */
    .globl guest_touch
guest_touch:
    mov (%r12), %rdi
    incq (%r12)
    mov $60, %eax
    syscall
    ud2

/* fork (57): parent exits with the child's number, child with 1000 + (r12) */
    .globl guest_fork
guest_fork:
    mov $57, %eax
    syscall
    test %rax, %rax
    jnz 1f
    mov (%r12), %rax
    add $1000, %rax
1:  mov %rax, %rdi
    mov $60, %eax
    syscall
    ud2

/* clone (56): both increment (r12) and exit with what clone answered */
    .globl guest_clone
guest_clone:
    mov $56, %eax
    syscall
    lock incq (%r12)
    mov %rax, %rdi
    mov $60, %eax
    syscall
    ud2

/* counts in r12 for ever; all other registers hold patterns */
    .globl guest_spin
guest_spin:
    inc %r14
    jmp guest_spin

/* writes r14 to (r12) for ever */
    .globl guest_spin_store
guest_spin_store:
    inc %r14
    mov %r14, (%r12)
    jmp guest_spin_store

/* alternates between a call and a few steps of arithmetic; r13 counts the calls */
    .globl guest_mixed
guest_mixed:
    mov $110, %eax
    syscall
    add %rax, %r14
    inc %r13
    mov $40, %ecx
1:  dec %ecx
    jnz 1b
    jmp guest_mixed

    .globl guest_ud2, guest_div, guest_int3, guest_gp
guest_ud2:
    ud2
guest_div:
    xor %ecx, %ecx
    mov $1, %eax
    xor %edx, %edx
    div %ecx
guest_int3:
    int3
guest_gp:
    mov $0x8000000000000000, %rax
    mov (%rax), %rax

/* xmm0 and ymm-free state: puts (r12) in xmm0, traps (fork), stores xmm0 at 16(r12), exit(fs:0) */
    .globl guest_fpu
guest_fpu:
    movdqu (%r12), %xmm0
    mov $57, %eax
    syscall
    movdqu %xmm0, 16(%r12)
    mov %fs:0, %rdi
    mov $60, %eax
    syscall
    ud2

/* exit(first 8 bytes of (r12)) */
    .globl guest_load
guest_load:
    mov (%r12), %rdi
    mov $60, %eax
    syscall
    ud2

/* jumps to r12 with the registers as they are */
    .globl guest_jump
guest_jump:
    jmp *%r12

/* i386 call getpid, then exit with its answer */
    .globl guest_int80
guest_int80:
    mov $20, %eax
    int $0x80
    movslq %eax, %rdi
    mov $60, %eax
    syscall
    ud2

/* rbx times the call in r14 by way of the post entry in rbp, the arguments rbx to rbx + 5; sums the answers in r13, then exit(r13).  Flags
 * have to survive. */
    .globl guest_posts
guest_posts:
    xor %r13d, %r13d
1:  mov %rbx, %rdi
    lea 1(%rbx), %rsi
    lea 2(%rbx), %rdx
    lea 3(%rbx), %r10
    lea 4(%rbx), %r8
    lea 5(%rbx), %r9
    mov %r14d, %eax
    cmp %rbx, %rdi
    stc
    lea 2f(%rip), %r11
    jmp *%rbp
    syscall
2:  jnc 3f
    jnz 3f
    add %rax, %r13
    dec %rbx
    jnz 1b
    mov $60, %eax
    mov %r13, %rdi
    syscall
3:  ud2
guest_end:
    .section .note.GNU-stack, "", @progbits
