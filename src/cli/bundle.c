/* SPDX-License-Identifier: Apache-2.0 */
/* Containers from a bundle: see bundle.h. */
#include "cli/bundle.h"

#include "host/attend.h"
#include "oci/config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

int bundle_read(const struct cli_globals *globals, const struct runtime *rt, const char *bundle,
                const char *isolation, struct container *c, struct lifecycle_create *how,
                char **out_text, struct err *err) {
    static char path[PATH_MAX];
    const char *given = bundle != NULL ? bundle : ".";
    int e = state_check_id(how->id, err);
    if (e != 0) {
        return e;
    }
    if (realpath(given, path) == NULL) {
        return err_sys(err, -errno, "--bundle %s", given);
    }
    const struct oci_reading reading = {.bundle = path, .warn = rt->warn, .arg = rt->arg};
    e = oci_bundle_text(path, out_text, &how->config_len, err);
    e = e != 0 ? e : oci_config_parse(&reading, *out_text, how->config_len, c, err);
    e = e != 0 ? e : cli_apply_settings(globals, isolation, path, c, &how->isolation, err);
    if (e != 0) {
        return e;
    }
    how->bundle = path;
    how->config = *out_text;
    c->id = strdup(how->id);
    return c->id != NULL ? 0 : err_sys(err, -ENOMEM, "cannot describe the container");
}

int bundle_check_console(const struct container *c, const char *console_socket, bool background,
                         struct err *err) {
    if (background && c->process.terminal && console_socket == NULL) {
        return err_set(err, -EINVAL,
                       "the process has a terminal (process.terminal): give --console-socket, or "
                       "set it to false");
    }
    if (console_socket != NULL && (!background || !c->process.terminal)) {
        return err_set(err, -EINVAL,
                       "--console-socket needs a process with a terminal in the background: leave "
                       "it out");
    }
    return 0;
}

static void terminal_size(struct container_process *p) {
    struct winsize ws;
    if (p->terminal && ioctl(0, TIOCGWINSZ, &ws) == 0) {
        p->rows = ws.ws_row;
        p->cols = ws.ws_col;
    }
}

int bundle_run(const struct runtime *rt, const struct bundle_foreground *foreground,
               struct container *c, struct lifecycle_create *how, int *out_wait_status,
               struct err *err) {
    struct attend attend;
    struct err ignored = {0};
    pid_t pid;
    if (foreground->subreaper) {
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* older than any kernel we run on */
    }
    terminal_size(&c->process);
    int e = attend_begin(&attend, c->process.terminal, err);
    how->console_fd = attend.console[1];
    e = e != 0 ? e : lifecycle_create(rt, c, how, &pid, err);
    if (e == 0) {
        e = how->image == NULL ? lifecycle_start(rt, how->id, err) : 0;
        e = e != 0 ? e : attend_run(&attend, pid, out_wait_status, err);
        if (e != 0 || !foreground->keep) {
            /* What the run itself came to is what is told. */
            (void)lifecycle_delete(rt, how->id, true, &ignored);
        } else {
            lifecycle_note_exit(rt, how->id, *out_wait_status);
        }
    }
    attend_end(&attend);
    return e;
}
