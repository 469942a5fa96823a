/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/pid/ns: the names of the name spaces (namespaces(7)).  A container has one of each kind, so
 * the links only tell that processes share them.
 */
#include "fs/proc/proc.h"

#include "base/fmt.h"
#include "base/string.h"

#include <asm-generic/errno.h>
#include <linux/stat.h>

/* Numbers Linux gives to the first of each kind. */
#define NS_FIRST 4026531834u

static int64_t ns_readlink(const struct proc_node *node, char *buf, size_t size) {
    char text[48];
    const char *kind = node->entry->name;
    size_t len = strlen(kind);
    const char *suffix = strstr(kind, "_for_children");
    struct task *t = proc_task_get(node);
    int err = t != NULL ? proc_may_access(t) : -ENOENT;
    if (t != NULL) {
        task_put(t);
    }
    if (err != 0) {
        return err;
    }
    len = suffix != NULL ? (size_t)(suffix - kind) : len;
    size_t total =
        fmt_snprintf(text, sizeof(text), "%.*s:[%u]", (int)len, kind, (uint32_t)node->entry->value);
    total = MIN(total, MIN(size, sizeof(text) - 1));
    memcpy(buf, text, total);
    return (int64_t)total;
}

#define NS(n, id)                                                                                  \
    { .name = (n), .mode = S_IFLNK | 0777, .readlink = ns_readlink, .value = NS_FIRST + (id) }

const struct proc_entry g_proc_ns[] = {
    NS("cgroup", 1), NS("ipc", 5),
    NS("mnt", 7),    NS("net", 8),
    NS("pid", 2),    NS("pid_for_children", 2),
    NS("time", 0),   NS("time_for_children", 0),
    NS("user", 3),   NS("uts", 4),
    {.name = NULL},
};
