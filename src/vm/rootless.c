/* SPDX-License-Identifier: Apache-2.0 */
/* User namespaces for ordinary users' machines: see rootless.h. */
#include "vm/rootless.h"

#include "host/userns.h"

#include <sched.h>
#include <unistd.h>

int rootless_enter(struct err *err) {
    if (geteuid() == 0) {
        return 0;
    }
    int e = userns_enter_alone(CLONE_NEWNS, 0, 0);
    return e == 0 ? 0
                  : err_sys(err, e,
                            "isolation vm needs a user namespace when it is not root's, and cannot "
                            "make one ('moat check' says what the host lacks)");
}
