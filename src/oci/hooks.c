/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running hooks: see hooks.h.  A hook gets the environment that its entry says and nothing of the
 * caller's: no descriptors, no blocked signals, and a process group of its own that a timeout
 * kills.
 */
#include "oci/hooks.h"

#include "host/cleanup.h"
#include "host/clock.h"
#include "host/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define OUTPUT_KEPT 256u /* of its end, for the error */

struct hook_process {
    pid_t pid;
    int pidfd;
    int output; /* what it writes to standard output and error */
    char tail[OUTPUT_KEPT + 1];
    size_t tail_len;
};

static const char *const g_stage_names[HOOK_STAGES] = {
    [HOOK_PRESTART] = "prestart",
    [HOOK_CREATE_RUNTIME] = "createRuntime",
    [HOOK_CREATE_CONTAINER] = "createContainer",
    [HOOK_START_CONTAINER] = "startContainer",
    [HOOK_POSTSTART] = "poststart",
    [HOOK_POSTSTOP] = "poststop",
};

const char *hook_stage_name(enum hook_stage stage) {
    return g_stage_names[stage];
}

/* A file that a hook of any appetite can be given: nobody has to feed a pipe. */
static int state_file(const char *state_json, struct err *err) {
    int fd = memfd_make("moat-hook-state", state_json, strlen(state_json));
    return fd >= 0 ? fd : err_sys(err, fd, "cannot lay down the state for hooks");
}

static noreturn_fn void hook_child(const struct oci_hook *hook, int input, int output, int status) {
    static char *const none[] = {NULL};
    char *const bare[] = {hook->path, NULL};
    sigset_t empty;
    (void)sigemptyset(&empty); /* cannot fail, as the next two with valid arguments */
    (void)sigprocmask(SIG_SETMASK, &empty, NULL);
    (void)setpgid(0, 0);
    if (dup2(input, 0) == 0 && dup2(output, 1) == 1 && dup2(output, 2) == 2) {
        (void)close_range(3, ~0u, CLOSE_RANGE_CLOEXEC); /* cannot fail on this range */
        (void)execve(hook->path, hook->args.count > 0 ? hook->args.items : bare,
                     hook->env.count > 0 ? hook->env.items : none);
    }
    int e = errno;
    (void)!write(status, &e, sizeof(e)); /* else the exit status tells less */
    _exit(127);
}

static int begin(const struct oci_hook *hook, const char *state_json, struct hook_process *p,
                 struct err *err) {
    int output[2], status[2], failure = 0;
    cleanup_fd int input = state_file(state_json, err);
    if (input < 0) {
        return input;
    }
    if (pipe2(output, O_CLOEXEC) != 0) {
        return err_sys(err, -errno, "cannot make a pipe");
    }
    if (pipe2(status, O_CLOEXEC) != 0) {
        (void)close(output[0]); /* unused */
        (void)close(output[1]);
        return err_sys(err, -errno, "cannot make a pipe");
    }
    p->pid = fork();
    int saved = -errno;
    if (p->pid == 0) {
        hook_child(hook, input, output[1], status[1]);
    }
    (void)close(output[1]); /* the hook's */
    (void)close(status[1]);
    p->output = output[0];
    (void)fcntl(p->output, F_SETFL, O_NONBLOCK); /* cannot fail on a pipe */
    ssize_t n = p->pid < 0 ? 0 : read(status[0], &failure, sizeof(failure));
    (void)close(status[0]); /* read-only */
    if (p->pid < 0) {
        return err_sys(err, saved, "cannot fork the hook %s", hook->path);
    }
    if (n == (ssize_t)sizeof(failure)) {
        return err_sys(err, failure > 0 ? -failure : -EIO, "cannot run the hook %s", hook->path);
    }
    p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    return p->pidfd >= 0 ? 0 : err_sys(err, -errno, "cannot watch the hook %s", hook->path);
}

static void keep_output(struct hook_process *p) {
    char buf[4096];
    ssize_t n;
    while ((n = read(p->output, buf, sizeof(buf))) > 0) {
        size_t take = MIN((size_t)n, (size_t)OUTPUT_KEPT);
        size_t stay = MIN(p->tail_len, OUTPUT_KEPT - take);
        memmove(p->tail, p->tail + p->tail_len - stay, stay);
        memcpy(p->tail + stay, buf + n - take, take);
        p->tail_len = stay + take;
    }
    if (n == 0) { /* it closed its output and may live on */
        (void)close(p->output);
        p->output = -1;
    }
}

/* Its wait status, or -ETIME. */
static int wait_hook(const struct oci_hook *hook, struct hook_process *p) {
    int64_t deadline = clock_now_ms() + (int64_t)hook->timeout_s * 1000;
    for (;;) {
        struct pollfd polls[2] = {{.fd = p->pidfd, .events = POLLIN},
                                  {.fd = p->output, .events = POLLIN}};
        int64_t left = hook->timeout_s == 0 ? -1 : MAX(deadline - clock_now_ms(), (int64_t)0);
        int n = poll(polls, 2, (int)MIN(left, (int64_t)INT32_MAX));
        if (n < 0) {
            continue; /* EINTR */
        }
        if (p->output >= 0) {
            keep_output(p);
        }
        if ((polls[0].revents & POLLIN) != 0) {
            int status = 0;
            (void)waitpid(p->pid, &status, 0); /* our child, which has ended */
            p->pid = -1;
            return status;
        }
        if (left == 0) {
            return -ETIME;
        }
    }
}

static void end(struct hook_process *p) {
    if (p->pid > 0) {
        (void)kill(-p->pid, SIGKILL); /* its group; it may not have made it yet */
        (void)kill(p->pid, SIGKILL);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    cleanup_fd_fn(&p->pidfd);
    cleanup_fd_fn(&p->output);
}

static int failed(const struct oci_hook *hook, struct hook_process *p, int status,
                  struct err *err) {
    int e;
    p->tail[p->tail_len] = '\0';
    if (status == -ETIME) {
        e = err_set(err, -ETIME, "the hook %s passed its timeout of %u s and was killed",
                    hook->path, hook->timeout_s);
    } else if (WIFSIGNALED(status)) {
        e = err_set(err, -ECANCELED, "the hook %s was killed by signal %d", hook->path,
                    WTERMSIG(status));
    } else {
        e = err_set(err, -ECANCELED, "the hook %s failed with exit status %d", hook->path,
                    WEXITSTATUS(status));
    }
    if (p->tail_len > 0) {
        err_append(err, "; its output ends with: %s", p->tail);
    }
    return e;
}

static int run_one(const struct oci_hook *hook, const char *state_json, struct err *err) {
    struct hook_process p = {.pid = -1, .pidfd = -1, .output = -1};
    int e = begin(hook, state_json, &p, err);
    if (e == 0) {
        int status = wait_hook(hook, &p);
        e = status == 0 ? 0 : failed(hook, &p, status, err);
    }
    end(&p);
    return e;
}

int hooks_run(const struct oci_hook_list *list, const char *state_json, struct err *err) {
    for (size_t i = 0; i < list->count; i++) {
        int e = run_one(&list->items[i], state_json, err);
        if (e != 0) {
            return e;
        }
    }
    return 0;
}
