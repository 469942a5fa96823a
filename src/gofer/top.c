/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder of exports that a virtual machine mounts: the name of export N is N in decimal.  They
 * are found by name; the folder lists nothing and never changes.
 */
#include "ops.h"

#include <errno.h>
#include <string.h>

int top_create(struct gofer *g) {
    struct node *n = node_find(g->nodes, MOAT_GOFER_ROOT(0));
    if (n == NULL || !n->sealed) {
        return -EINVAL;
    }
    n->top = true;
    return 0;
}

/* The number that `name` is, without leading zeros; -ENOENT when it is none, or too large. */
static int export_number(const char *name) {
    int number = 0;
    if (name[0] == '\0' || (name[0] == '0' && name[1] != '\0')) {
        return -ENOENT;
    }
    for (const char *c = name; *c != '\0'; c++) {
        if (*c < '0' || *c > '9' || number >= (int)MOAT_GOFER_EXPORTS_ALL) {
            return -ENOENT;
        }
        number = number * 10 + (*c - '0');
    }
    return number;
}

int top_lookup(struct gofer *g, const char *name, struct statx *out_stx, struct node **out_node) {
    int number = export_number(name);
    if (number < 0 || (uint32_t)number + g->first_export >= MOAT_GOFER_EXPORTS_ALL) {
        return -ENOENT;
    }
    uint64_t id = MOAT_GOFER_ROOT((uint32_t)number + g->first_export);
    struct node *n = node_find(g->nodes, id);
    if (n == NULL && g->admin_fd >= 0) {
        exports_change(g); /* the machine may ask before the loop looks */
        n = node_find(g->nodes, id);
    }
    if (n == NULL) {
        return -ENOENT;
    }
    int fd = node_fd(g->nodes, n);
    int err = fd < 0 ? fd : node_stat_at(fd, "", out_stx);
    if (err != 0) {
        return err;
    }
    if (n->lookups == UINT64_MAX) {
        return -ENFILE;
    }
    n->lookups++;
    *out_node = n;
    return 0;
}
