/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_compile of oci/seccomp.h as the agent has it: the host compiled the profile, and the
 * program came with the container.
 */
#include "oci/carry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int seccomp_compile(const struct oci_seccomp *s, struct seccomp_program *out, struct err *err) {
    const char *start = (const char *)s - offsetof(struct carried, c.linux_.seccomp);
    const struct carried *k = (const struct carried *)(const void *)start;
    size_t size = k->seccomp.count * sizeof(*out->code);
    *out = (struct seccomp_program){.code = malloc(size), .count = k->seccomp.count};
    if (out->code == NULL || size == 0) {
        return err_set(err, -EINVAL, "linux.seccomp came without its program");
    }
    memcpy(out->code, k->seccomp.code, size);
    return 0;
}
