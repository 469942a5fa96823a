/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `moat do` under native isolation: one command in namespaces of its own, without a state folder.
 * What the command line leaves open is filled in (oci/customary.h).
 */
#include "host/attend.h"
#include "host/cleanup.h"
#include "native/life.h"
#include "oci/customary.h"

#include <signal.h>

static int run_completed(const struct container *c, const struct isolation_run *run,
                         int *out_wait_status, struct err *err) {
    struct attend attend;
    sigset_t old;
    pid_t pid;
    (void)sigprocmask(SIG_BLOCK, NULL, &old); /* cannot fail: it only asks */
    int e = attend_begin(&attend, c->process.terminal, err);
    const struct isolation_setup how = {.bundle = c->rootfs,
                                        .state_json = "{}",
                                        .log_fd = run->log_fd,
                                        .console_socket = attend.console[1],
                                        .debug = run->debug,
                                        .log_json = run->log_json};
    const struct isolation_target target = {.c = c, .state_dir = -1, .state_path = ""};
    e = e != 0 ? e : native_create(&target, &how, &pid, err);
    e = e != 0 ? e : attend_run(&attend, pid, out_wait_status, err);
    attend_end(&attend);
    (void)sigprocmask(SIG_SETMASK, &old, NULL); /* as it was */
    return e;
}

int native_run(const struct container *c, const struct isolation_run *run, int *out_wait_status,
               struct err *err) {
    struct customary completed;
    int e = customary_complete(c, &completed, err);
    e = e != 0 ? e : run_completed(&completed.c, run, out_wait_status, err);
    customary_free(&completed);
    return e;
}
