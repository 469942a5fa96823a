/* SPDX-License-Identifier: Apache-2.0 */
/* Isolation `native`: see native.h. */
#include "native/native.h"

#include "native/life.h"

const struct isolation_ops g_isolation_native = {
    .name = "native",
    .run = native_run,
    .create = native_create,
    .start = native_start,
    .kill = native_kill,
    .exec = native_exec,
    .processes = native_processes,
    .destroy = native_destroy,
    .checkpoint = native_checkpoint,
    .restore = native_restore,
};
