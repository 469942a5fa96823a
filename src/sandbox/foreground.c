/* SPDX-License-Identifier: Apache-2.0 */
/* Running a container in the foreground: see foreground.h. */
#include "sandbox/foreground.h"

#include "host/cleanup.h"
#include "moat/control.h"
#include "sandbox/ctlmsg.h"
#include "sandbox/monitor.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

static int terminal_raw(int fd, struct termios *out_saved, struct err *err) {
    struct termios raw;
    if (tcgetattr(fd, out_saved) != 0) {
        return err_sys(err, -errno, "cannot use standard input as a terminal (leave out -t when it is none)");
    }
    raw = *out_saved;
    cfmakeraw(&raw);
    return tcsetattr(fd, TCSANOW, &raw) == 0
               ? 0
               : err_sys(err, -errno, "cannot set the terminal to raw mode");
}

static int create_and_start(struct monitor *m, const struct container *c,
                            const struct foreground *fg, struct err *err) {
    cleanup_free void *create = NULL;
    size_t len = 0;
    struct moat_ctl_ref start;
    int e = ctlmsg_build_create(c, &c->process, NULL, 1, &create, &len, err);
    if (e == 0) {
        e = monitor_request(m, create, len, fg->stdio, 3, err);
    }
    if (e == 0 && fg->on_start != NULL) {
        e = fg->on_start(fg->arg, m->sandbox, err);
    }
    if (e == 0) {
        e = ctlmsg_ref(&start, MOAT_CTL_START, sizeof(start), 2, c->id, NULL);
        e = e != 0 ? err_sys(err, e, "container id '%s'", c->id)
                   : monitor_request(m, &start, sizeof(start), NULL, 0, err);
    }
    return e;
}

int foreground_run(const struct container *c, const struct sandbox_options *options,
                   const struct foreground *fg, int *out_wait_status, struct err *err) {
    struct sandbox sandbox;
    struct monitor m;
    struct termios saved;
    bool raw = false;
    int e = monitor_init(&m, &sandbox, c->id, err);
    if (e != 0) {
        return e;
    }
    e = sandbox_start(c, options, &sandbox, err);
    if (e == 0) {
        m.forward_signals = true;
        m.listen_fd = fg->listen_fd;
        m.on_exit = fg->on_exit;
        m.arg = fg->arg;
        if (c->process.terminal) {
            e = terminal_raw(fg->stdio[0], &saved, err);
            raw = e == 0;
            m.terminal_fd = fg->stdio[0];
        }
        e = e != 0 ? e : create_and_start(&m, c, fg, err);
        e = e != 0 ? e : monitor_run(&m, false, err);
        if (raw) {
            (void)tcsetattr(fg->stdio[0], TCSADRAIN, &saved); /* the terminal may be gone */
        }
        *out_wait_status = m.exit_status;
        sandbox_kill(&sandbox);
    }
    monitor_close(&m);
    return e;
}
