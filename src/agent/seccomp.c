/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_compile of oci/seccomp.h as the agent has it: the host compiled the profile, and the
 * program came with the container.
 */
#include "agent/box.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct carried *g_carried;

int seccomp_compile(const struct oci_seccomp *s, struct seccomp_program *out, struct err *err) {
    const struct seccomp_program *p = &g_carried->seccomp;
    size_t size = p->count * sizeof(*out->code);
    *out = (struct seccomp_program){.code = malloc(size), .count = p->count};
    if (out->code == NULL || size == 0) {
        return err_set(err, -EINVAL, "linux.seccomp came without its program");
    }
    memcpy(out->code, p->code, size);
    return 0;
}
