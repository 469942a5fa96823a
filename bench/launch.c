/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch COMMAND [ARG...]: runs it and prints on standard output its wall time in microseconds, the
 * peak resident memory in KB of it and of what it waited for (getrusage(2)), and its exit status.
 * The command's own output goes to standard error.  A small program of its own, as peak memory
 * counts what the process was before exec.
 */
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    struct timespec a, b;
    struct rusage usage;
    posix_spawn_file_actions_t actions;
    int status = 0;
    pid_t pid;
    if (argc < 2) {
        return 2;
    }
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, 2, 1);
    (void)clock_gettime(CLOCK_MONOTONIC, &a);
    if (posix_spawnp(&pid, argv[1], &actions, NULL, argv + 1, environ) != 0 ||
        wait4(pid, &status, 0, &usage) != pid) {
        return 1;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%ld %ld %d\n", (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000,
           usage.ru_maxrss, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 0;
}
