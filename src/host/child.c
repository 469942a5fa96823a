/* SPDX-License-Identifier: Apache-2.0 */
/* Work in children: see child.h. */
#include "host/child.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

int child_run(int (*work)(void *arg, struct err *err), void *arg, struct err *err) {
    struct err said = {0};
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) {
        return err_sys(err, -errno, "cannot make a pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        said.code = work(arg, &said);
        _exit(write(report[1], &said, sizeof(said)) == (ssize_t)sizeof(said) ? 0 : 1);
    }
    int e = pid < 0 ? err_sys(err, -errno, "cannot fork") : 0;
    (void)close(report[1]);                                                        /* the child's */
    if (e == 0 && read(report[0], &said, sizeof(said)) != (ssize_t)sizeof(said)) { /* one write */
        e = err_set(err, -EIO, "a child process ended before its work was done");
    }
    (void)close(report[0]); /* only read */
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    said.msg[sizeof(said.msg) - 1] = '\0';
    if (e == 0 && said.msg[0] != '\0') {
        return err_set(err, said.code, "%s", said.msg);
    }
    return e != 0 ? e : said.code;
}
