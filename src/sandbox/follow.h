/* SPDX-License-Identifier: Apache-2.0 */
/* A monitor that is a client of a sandbox's monitor: follows one process inside to its end. */
#ifndef MOAT_SANDBOX_FOLLOW_H
#define MOAT_SANDBOX_FOLLOW_H

#include "host/err.h"
#include "moat/control.h"

struct follow {
    const char *container, *exec_id; /* exec_id "": the container's first process */
    int sock;                        /* connected (client.h) */
    int signals;                     /* of monitor_signals */
    bool terminal;                   /* descriptor 0 is one, whose size is forwarded */
    uint32_t next_id;
};

/* Is the event (zeroed: none came) the end of the process? */
bool follow_is_end(const struct follow *f, const struct moat_ctl_exit *event);
/* Waits for the end, forwarding signals and window sizes.  -errno when the sandbox is gone. */
must_check int follow_to_end(struct follow *f, struct moat_ctl_exit *event, struct err *err);
/* The exit code of a monitor whose process ended with this wait status. */
int follow_exit_code(int wait_status);

#endif
