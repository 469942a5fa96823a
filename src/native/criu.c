/* SPDX-License-Identifier: Apache-2.0 */
/* Speaking to CRIU: see criu.h. */
#include "native/criu.h"

#include "host/cleanup.h"
#include "host/memfd.h"
#include "host/msg.h"
#include "native/life.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* rpc.proto: numbers of the fields of criu_req, criu_resp and criu_notify. */
enum { REQ_TYPE = 1, REQ_OPTIONS = 2, REQ_NOTIFY_SUCCESS = 3 };
enum { RESP_TYPE = 1, RESP_SUCCESS = 2, RESP_RESTORE = 4, RESP_NOTIFY = 5, RESP_MESSAGE = 9 };
enum { RESTORE_PID = 1, NOTIFY_SCRIPT = 1, NOTIFY_PID = 2 };

#define WORKER_SOCKET 3

/* ---- starting ---- */

/* CRIU wants the new root to be a mount; with a mount namespace around both, it goes with them. */
static int mount_root(const char *root) {
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) == 0 &&
                   mount(root, root, NULL, MS_BIND | MS_REC, NULL) == 0
               ? 0
               : -errno;
}

static int open_folder(const char *path) {
    int fd = path != NULL ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    return fd >= 0 || path == NULL ? fd : -errno;
}

/* Each descriptor to its place, from above all places; what is left ends with execve.  The new
 * number of `gate`, or -errno. */
static int place_descriptors(const struct criu_start *how, int sock, int output, int gate) {
    const struct {
        int from, to;
    } rows[] = {{gate, -1}, /* stays where it gets */
                {sock, WORKER_SOCKET},
                {0, CRIU_STREAM(0)},
                {1, CRIU_STREAM(1)},
                {2, CRIU_STREAM(2)},
                {how->pass[0], CRIU_PASSED(0)},
                {how->pass[1], CRIU_PASSED(1)},
                {open_folder(how->images), CRIU_IMAGES},
                {open_folder(how->work), CRIU_WORK},
                {how->status, CRIU_STATUS},
                {output, 1},
                {output, 2}};
    int high[ARRAY_COUNT(rows)];
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        high[i] = rows[i].from >= 0 ? fcntl(rows[i].from, F_DUPFD_CLOEXEC, 16) : -1;
        if (rows[i].from < -1 || (rows[i].from >= 0 && high[i] < 0)) {
            return rows[i].from < -1 ? rows[i].from : -errno;
        }
    }
    (void)syscall(SYS_close_range, 3, 15, 0);         /* older than any kernel CRIU is used on */
    (void)syscall(SYS_close_range, 16, ~0u, 1u << 2); /* CLOSE_RANGE_CLOEXEC */
    for (size_t i = 1; i < ARRAY_COUNT(rows); i++) {
        if (high[i] >= 0 && dup2(high[i], rows[i].to) < 0) {
            return -errno;
        }
    }
    return high[0];
}

/*
 * CRIU takes numbers of descriptors for those of the process that made the socket pair, and paths
 * by them for its own mount namespace's: so that process is itself.  A failure is told by `gate`,
 * and the caller's end of the pair goes there too.
 */
static noreturn_fn void worker_main(const struct criu_start *how, int output, int gate) {
    const char *program = how->program != NULL ? how->program : "criu";
    char number[8];
    int socks[2] = {-1, -1};
    (void)snprintf(number, sizeof(number), "%d", WORKER_SOCKET); /* fits */
    char *args[] = {(char *)(uintptr_t)program, (char *)(uintptr_t) "swrk", number, NULL};
    int e = how->root != NULL ? mount_root(how->root) : 0;
    if (e == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) != 0) {
        e = -errno;
    }
    e = e != 0 ? e : msg_send(gate, &e, sizeof(e), &socks[0], 1, false);
    int placed = e != 0 ? e : place_descriptors(how, socks[1], output, gate);
    if (placed >= 0) {
        gate = placed;
        spawn_reset_signals();
        if (how->no_new_privs) {
            (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* cannot fail */
        }
        (void)execvp(program, args); /* returns only with an error */
        placed = -errno;
    }
    (void)!msg_send(gate, &placed, sizeof(placed), NULL, 0, false); /* else its end tells */
    _exit(127);
}

static int explain_start(const struct criu_start *how, int e, struct err *err) {
    const char *program = how->program != NULL ? how->program : "criu";
    return e == -ENOENT || e == -EACCES
               ? err_sys(err, e,
                         "checkpoint and restore of isolation native need CRIU (apt-get install "
                         "criu, or name it by --criu): cannot run %s",
                         program)
               : err_sys(err, e, "cannot start %s", program);
}

/* The worker's socket comes first, and its failure, or nothing when it has become CRIU. */
static int await_worker(struct criu *criu, int gate) {
    int fds[MSG_FDS_MAX], code = -EIO;
    size_t count = 0;
    ssize_t n = msg_recv(gate, &code, sizeof(code), fds, &count, false);
    criu->sock = count > 0 ? fds[0] : -1;
    if (n != (ssize_t)sizeof(code) || code != 0 || count == 0) {
        return n == (ssize_t)sizeof(code) && code < 0 ? code : -EIO;
    }
    n = msg_recv(gate, &code, sizeof(code), fds, &count, false);
    return n == 0 || n == -ECONNRESET ? 0 : n > 0 && code < 0 ? code : -EIO;
}

int criu_begin(struct criu *criu, const struct criu_start *how, struct err *err) {
    int gate[2] = {-1, -1};
    *criu = (struct criu){.sock = -1, .output = -1};
    criu->output = memfd_create("criu", MFD_CLOEXEC);
    if (criu->output < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, gate) != 0) {
        return err_sys(err, -errno, "cannot make a socket to CRIU");
    }
    criu->pid = fork();
    if (criu->pid == 0) {
        (void)close(gate[0]); /* the parent's */
        worker_main(how, criu->output, gate[1]);
    }
    int e = criu->pid < 0 ? -errno : 0;
    (void)close(gate[1]); /* the worker's */
    e = e != 0 ? e : await_worker(criu, gate[0]);
    (void)close(gate[0]); /* only read */
    return e == 0 ? 0 : explain_start(how, e, err);
}

void criu_end(struct criu *criu) {
    cleanup_fd_fn(&criu->sock); /* it ends when nobody is left to speak to */
    criu->sock = -1;
    if (criu->pid > 0) {
        while (waitpid(criu->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        criu->pid = 0;
    }
    cleanup_fd_fn(&criu->output);
    criu->output = -1;
}

/* ---- what went wrong ---- */

/* The first line of a text that holds "Error", without what is only CRIU's own; or false. */
static bool find_error(FILE *text, char *out, size_t size) {
    char line[512];
    for (int i = 0; i < 200000 && fgets(line, sizeof(line), text) != NULL; i++) {
        const char *at = strstr(line, "Error ");
        if (at != NULL) {
            (void)snprintf(out, size, "%.*s", (int)strcspn(at, "\n"), at); /* cut is as well */
            return true;
        }
    }
    return false;
}

static bool error_in_file(int fd, char *out, size_t size) {
    FILE *text = fd >= 0 ? fdopen(fd, "r") : NULL;
    bool found = text != NULL && find_error(text, out, size);
    if (text != NULL) {
        (void)fclose(text); /* only read */
    } else if (fd >= 0) {
        (void)close(fd);
    }
    return found;
}

static int explain(const struct criu *criu, const char *said, const char *log, int e,
                   struct err *err) {
    char why[400] = "";
    int output = fcntl(criu->output, F_DUPFD_CLOEXEC, 3);
    (void)lseek(output, 0, SEEK_SET); /* what cannot be read is not there */
    bool found = error_in_file(open(log, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), why, sizeof(why)) ||
                 error_in_file(output, why, sizeof(why));
    if (output >= 0 && found && strstr(why, "(criu/") != NULL) {
        /* Its own probe of the kernel, before anything of the container was looked at. */
        bool probe = strstr(why, "vdso.c") != NULL || strstr(why, "kerndat") != NULL;
        return err_set(err, e, "CRIU failed: %s%s (log: %s)", why,
                       probe ? "; this version may be too old for the host's kernel: see 'criu "
                               "check', and install a newer one"
                             : "",
                       log);
    }
    return err_set(err, e, "CRIU failed%s%s; see 'criu check' (log: %s)",
                   found || said[0] != '\0' ? ": " : "", found ? why : said, log);
}

/* ---- messages ---- */

struct answer {
    uint64_t type;
    bool success;
    pid_t pid;
    char event[64]; /* of a notification */
    char message[256];
};

static pid_t as_pid(uint64_t value) {
    return value > 0 && value <= INT32_MAX ? (pid_t)value : 0;
}

/* The fields of the two embedded messages that matter. */
static int read_inner(struct protobuf_in in, bool notification, struct answer *a) {
    struct protobuf_field f;
    int n;
    while ((n = protobuf_next(&in, &f)) > 0) {
        if (notification && f.number == NOTIFY_SCRIPT && f.is_bytes) {
            protobuf_copy_text(&f.bytes, a->event, sizeof(a->event));
        } else if (f.number == (uint32_t)(notification ? NOTIFY_PID : RESTORE_PID) && !f.is_bytes) {
            a->pid = as_pid(f.value);
        }
    }
    return n;
}

static int read_answer(struct protobuf_in in, struct answer *a) {
    struct protobuf_field f;
    int n, e = 0;
    *a = (struct answer){0};
    while (e == 0 && (n = protobuf_next(&in, &f)) != 0) {
        if (n < 0) {
            return n;
        }
        if (f.number == RESP_TYPE && !f.is_bytes) {
            a->type = f.value;
        } else if (f.number == RESP_SUCCESS && !f.is_bytes) {
            a->success = f.value != 0;
        } else if ((f.number == RESP_NOTIFY || f.number == RESP_RESTORE) && f.is_bytes) {
            e = read_inner(f.bytes, f.number == RESP_NOTIFY, a);
        } else if (f.number == RESP_MESSAGE && f.is_bytes) {
            protobuf_copy_text(&f.bytes, a->message, sizeof(a->message));
        }
    }
    return e;
}

static int send_request(const struct criu *criu, struct protobuf_out *request) {
    int e = request->failed ? -ENOMEM
                            : msg_send(criu->sock, request->data, request->len, NULL, 0, false);
    protobuf_free(request);
    return e;
}

static int acknowledge(const struct criu *criu, bool good) {
    struct protobuf_out reply = {0};
    protobuf_add_number(&reply, REQ_TYPE, CRIU_NOTIFY);
    protobuf_add_number(&reply, REQ_NOTIFY_SUCCESS, good);
    return send_request(criu, &reply);
}

/* One record: 1 with *out, 0 at the end. */
static int receive(const struct criu *criu, struct answer *out, int *out_fd) {
    uint8_t data[4096];
    int fds[MSG_FDS_MAX];
    size_t count = 0;
    *out_fd = -1;
    ssize_t n = msg_recv(criu->sock, data, sizeof(data), fds, &count, false);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 && n > 0) {
            *out_fd = fds[0];
        } else {
            (void)close(fds[i]); /* none is expected */
        }
    }
    if (n <= 0) {
        return n == -ECONNRESET ? 0 : (int)n;
    }
    int e = read_answer((struct protobuf_in){data, (size_t)n}, out);
    return e == 0 ? 1 : e;
}

int criu_request(struct criu *criu, enum criu_request_type type, const struct protobuf_out *options,
                 criu_notify_fn *notify, void *arg, const char *log, pid_t *out_pid,
                 struct err *err) {
    struct protobuf_out request = {0};
    struct answer a = {0};
    *out_pid = 0;
    protobuf_add_number(&request, REQ_TYPE, type);
    protobuf_add_message(&request, REQ_OPTIONS, options);
    int e = send_request(criu, &request);
    while (e == 0) {
        int fd;
        int n = receive(criu, &a, &fd);
        cleanup_fd int owned = fd;
        if (n <= 0) {
            return n == 0 ? explain(criu, "it ended without an answer", log, -EIO, err)
                          : err_sys(err, n, "cannot understand CRIU");
        }
        *out_pid = a.pid > 0 ? a.pid : *out_pid;
        if (a.type != CRIU_NOTIFY) {
            break;
        }
        int said = notify(arg, a.event, a.pid, owned, err);
        e = acknowledge(criu, said == 0);
        if (said != 0) {
            return said;
        }
    }
    if (e != 0) {
        return err_sys(err, e, "cannot speak to CRIU");
    }
    return a.type == (uint64_t)type && a.success ? 0 : explain(criu, a.message, log, -EIO, err);
}
