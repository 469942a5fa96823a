/* SPDX-License-Identifier: Apache-2.0 */
/* Isolation `vm`: see vm.h.  Its monitors are the sandbox's; only what they start differs. */
#include "vm/vm.h"

#include "sandbox/foreground.h"
#include "vm/machine.h"

static int vm_run(const struct container *c, const struct isolation_run *run, int *out_wait_status,
                  struct err *err) {
    const struct foreground f = {.start = machine_start,
                                 .stdio = run->stdio,
                                 .log_fd = run->log_fd,
                                 .debug = run->debug,
                                 .log_json = run->log_json,
                                 .listen_fd = -1};
    return foreground_run(c, &f, out_wait_status, err);
}

const struct isolation_ops g_isolation_vm = {.name = "vm", .run = vm_run};
