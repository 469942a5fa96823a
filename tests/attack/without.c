/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a command as if the kernel lacked some system calls: without CALL[,CALL...] -- COMMAND.
 * They answer ENOSYS, here and in everything that the command starts.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CALLS_MAX 32

static const struct {
    const char *name;
    int number;
} g_calls[] = {
    {"openat2", SYS_openat2}, {"open_tree", SYS_open_tree},
    {"fsopen", SYS_fsopen},   {"mount_setattr", SYS_mount_setattr},
    {"clone3", SYS_clone3},   {"memfd_create", SYS_memfd_create},
    {"fsmount", SYS_fsmount}, {"pidfd_open", SYS_pidfd_open},
};

static int find(const char *name) {
    for (size_t i = 0; i < sizeof(g_calls) / sizeof(g_calls[0]); i++) {
        if (strcmp(g_calls[i].name, name) == 0) {
            return g_calls[i].number;
        }
    }
    return -1;
}

static int install(const int *numbers, unsigned int count) {
    struct sock_filter code[2 * CALLS_MAX + 2];
    unsigned short n = 0;
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned int i = 0; i < count; i++) {
        code[n++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)numbers[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog prog = {n, code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

int main(int argc, char **argv) {
    int numbers[CALLS_MAX];
    unsigned int count = 0;
    if (argc < 4 || strcmp(argv[2], "--") != 0) {
        fprintf(stderr, "usage: without CALL[,CALL...] -- COMMAND\n");
        return 2;
    }
    for (char *name = strtok(argv[1], ","); name != NULL && count < CALLS_MAX;
         name = strtok(NULL, ",")) {
        numbers[count] = find(name);
        if (numbers[count++] < 0) {
            fprintf(stderr, "without: %s is not in the table\n", name);
            return 2;
        }
    }
    if (install(numbers, count) != 0) {
        perror("without: seccomp");
        return 1;
    }
    execvp(argv[3], argv + 3);
    perror(argv[3]);
    return 127;
}
