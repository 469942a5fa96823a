/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the Sentry what it would choose (probe.h): the Sentry itself runs, as the first process of
 * a pid namespace, up to the choice, and writes it into a pipe.
 */
#include "sandbox/probe.h"

#include "host/cleanup.h"
#include "moat/boot.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the Sentry's process; returns only when it cannot be executed. */
static void probe_exec(int program, int out) {
    struct moat_boot boot = {.magic = MOAT_BOOT_MAGIC,
                             .version = MOAT_BOOT_VERSION,
                             .size = sizeof(boot),
                             .flags = MOAT_BOOT_PROBE,
                             .control_fd = -1,
                             .gofer_fd = -1,
                             .gofer_shm_fd = -1,
                             .memory_dir_fd = -1};
    char fd_text[16];
    char *const argv[] = {(char *)(uintptr_t) "moat-sentry", fd_text, NULL};
    char *const envp[] = {NULL};
    int fd = memfd_create("moat-boot", 0);
    boot.log_fd = dup(out);                             /* without close-on-exec */
    (void)snprintf(fd_text, sizeof(fd_text), "%d", fd); /* fits */
    if (fd >= 0 && boot.log_fd >= 0 && write(fd, &boot, sizeof(boot)) == (ssize_t)sizeof(boot)) {
        (void)execveat(program, "", argv, envp, AT_EMPTY_PATH);
    }
}

static void probe_child(int program, int out) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) {
        _exit(1);
    }
    pid_t init = fork();
    if (init == 0) {
        probe_exec(program, out);
        _exit(1);
    }
    int status = 0;
    (void)waitpid(init, &status, 0); /* the child just made */
    _exit(init > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

int sandbox_probe(char *text, size_t size, struct err *err) {
    int out[2];
    cleanup_fd int program = sandbox_open_program("moat-sentry", err);
    if (program < 0) {
        return program;
    }
    if (pipe2(out, O_CLOEXEC) != 0) {
        return err_sys(err, -errno, "cannot make a pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        probe_child(program, out[1]);
    }
    int e = pid < 0 ? err_sys(err, -errno, "cannot start the Sentry") : 0;
    (void)close(out[1]); /* the child has it */
    size_t len = 0;
    ssize_t n = 1;
    while (e == 0 && n > 0 && len < size - 1) {
        n = read(out[0], text + len, size - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    (void)close(out[0]); /* nothing was written */
    text[len] = '\0';
    int status = 0;
    if (pid > 0) {
        (void)waitpid(pid, &status, 0); /* the child just made */
    }
    if (e == 0 && (len == 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
        e = err_set(err, -EIO,
                    "the Sentry could not look at this host: are user namespaces enabled? see "
                    "/proc/sys/user/max_user_namespaces");
    }
    return e;
}
