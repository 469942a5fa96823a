/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sections of a config.json ask of each other.  The rule behind most of it: a setting must
 * land in a namespace of the container's own, never in the host's.
 */
#include "oci/config_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct checking {
    const struct oci_reader *r;
    const struct container *c;
    const struct oci_node *top;
    struct oci_node linux_;
};

static bool has(const struct checking *k, enum oci_namespace ns) {
    return k->c->linux_.namespaces[ns].set;
}

static bool is_new(const struct checking *k, enum oci_namespace ns) {
    const struct oci_namespace_entry *e = &k->c->linux_.namespaces[ns];
    return e->set && e->path == NULL;
}

static int needs(const struct checking *k, const struct oci_node *at, enum oci_namespace ns) {
    return has(k, ns) ? 0
                      : oci_fail(k->r, at, -EINVAL,
                                 "needs a namespace of type '%s' in linux.namespaces: it would "
                                 "change the host's otherwise",
                                 oci_name_of(g_oci_namespaces, ns));
}

/* ---- names ---- */

static int check_names(const struct checking *k) {
    struct oci_node host = oci_member(k->top, "hostname");
    struct oci_node domain = oci_member(k->top, "domainname");
    int e = k->c->hostname != NULL ? needs(k, &host, NS_UTS) : 0;
    return e == 0 && k->c->domainname != NULL ? needs(k, &domain, NS_UTS) : e;
}

/* ---- user namespaces ---- */

static int compare_inside(const void *a, const void *b) {
    const struct oci_id_mapping *x = a, *y = b;
    return x->container_id < y->container_id ? -1 : x->container_id > y->container_id;
}

static int compare_outside(const void *a, const void *b) {
    const struct oci_id_mapping *x = a, *y = b;
    return x->host_id < y->host_id ? -1 : x->host_id > y->host_id;
}

/* user_namespaces(7): neither side of a mapping may overlap. */
static bool overlaps(const struct oci_mapping_list *list) {
    struct oci_id_mapping sorted[OCI_MAPPINGS_MAX];
    bool found = false;
    if (list->count < 2) {
        return false;
    }
    memcpy(sorted, list->items, list->count * sizeof(*sorted));
    qsort(sorted, list->count, sizeof(*sorted), compare_inside);
    for (size_t i = 0; i + 1 < list->count; i++) {
        found = found || sorted[i + 1].container_id - sorted[i].container_id < sorted[i].size;
    }
    qsort(sorted, list->count, sizeof(*sorted), compare_outside);
    for (size_t i = 0; i + 1 < list->count; i++) {
        found = found || sorted[i + 1].host_id - sorted[i].host_id < sorted[i].size;
    }
    return found;
}

static int check_overlap(const struct checking *k, const struct oci_node *at,
                         const struct oci_mapping_list *list) {
    return overlaps(list) ? oci_fail(k->r, at, -EINVAL, "two of the mappings overlap") : 0;
}

static int check_mappings(const struct checking *k) {
    const struct oci_linux *l = &k->c->linux_;
    struct oci_node uids = oci_member(&k->linux_, "uidMappings");
    struct oci_node gids = oci_member(&k->linux_, "gidMappings");
    if (!has(k, NS_USER) && (l->uid_mappings.count > 0 || l->gid_mappings.count > 0)) {
        return needs(k, l->uid_mappings.count > 0 ? &uids : &gids, NS_USER);
    }
    if (is_new(k, NS_USER) && (l->uid_mappings.count == 0 || l->gid_mappings.count == 0)) {
        return oci_fail(k->r, l->uid_mappings.count == 0 ? &uids : &gids, -EINVAL,
                        "is missing: a new user namespace needs both mappings");
    }
    int e = check_overlap(k, &uids, &l->uid_mappings);
    return e != 0 ? e : check_overlap(k, &gids, &l->gid_mappings);
}

static int check_mounts(const struct checking *k) {
    struct oci_node mounts = oci_member(k->top, "mounts");
    for (size_t i = 0; i < k->c->mount_count; i++) {
        const struct container_mount *m = &k->c->mounts[i];
        struct oci_node at = oci_element(&mounts, i);
        struct oci_node uids = oci_member(&at, "uidMappings"),
                        gids = oci_member(&at, "gidMappings");
        if (m->idmap && m->uid_mappings.count == 0 && !has(k, NS_USER)) {
            return oci_fail(k->r, &at, -EINVAL,
                            "idmap needs uidMappings and gidMappings here, or a user namespace of "
                            "the container");
        }
        int e = check_overlap(k, &uids, &m->uid_mappings);
        e = e != 0 ? e : check_overlap(k, &gids, &m->gid_mappings);
        if (e != 0) {
            return e;
        }
    }
    return 0;
}

/* ---- other namespaces ---- */

static int check_time(const struct checking *k) {
    const struct oci_linux *l = &k->c->linux_;
    struct oci_node at = oci_member(&k->linux_, "timeOffsets");
    if (!l->monotonic.set && !l->boottime.set) {
        return 0;
    }
    if (has(k, NS_TIME) && !is_new(k, NS_TIME)) {
        return oci_fail(k->r, &at, -EINVAL, "cannot be set for a time namespace that is joined");
    }
    return needs(k, &at, NS_TIME);
}

static int check_paths(const struct checking *k) {
    const struct oci_linux *l = &k->c->linux_;
    struct oci_node masked = oci_member(&k->linux_, "maskedPaths");
    struct oci_node readonly = oci_member(&k->linux_, "readonlyPaths");
    struct oci_node devices = oci_member(&k->linux_, "netDevices");
    int e = l->masked_paths.count > 0 ? needs(k, &masked, NS_MOUNT) : 0;
    e = e == 0 && l->readonly_paths.count > 0 ? needs(k, &readonly, NS_MOUNT) : e;
    return e == 0 && l->net_device_count > 0 ? needs(k, &devices, NS_NETWORK) : e;
}

/* Kernel parameters that belong to a namespace: sysctl(5), namespaces(7), ipc_namespaces(7). */
static int sysctl_namespace(const char *key) {
    static const char *const ipc[] = {
        "kernel.msgmax",      "kernel.msgmnb",      "kernel.msgmni",      "kernel.sem",
        "kernel.shmall",      "kernel.shmmax",      "kernel.shmmni",      "kernel.shm_rmid_forced",
        "kernel.msg_next_id", "kernel.sem_next_id", "kernel.shm_next_id", "kernel.auto_msgmni",
    };
    for (size_t i = 0; i < ARRAY_COUNT(ipc); i++) {
        if (strcmp(key, ipc[i]) == 0) {
            return NS_IPC;
        }
    }
    if (strncmp(key, "fs.mqueue.", 10) == 0) {
        return NS_IPC;
    }
    if (strcmp(key, "kernel.hostname") == 0 || strcmp(key, "kernel.domainname") == 0) {
        return NS_UTS;
    }
    return strncmp(key, "net.", 4) == 0 || strncmp(key, "net/", 4) == 0 ? NS_NETWORK : -1;
}

static int check_sysctl(const struct checking *k) {
    struct oci_node list = oci_member(&k->linux_, "sysctl");
    const struct oci_key_values *sysctl = &k->c->linux_.sysctl;
    for (size_t i = 0; i < sysctl->count; i++) {
        const char *key = sysctl->items[i].key;
        struct oci_node at = {.up = &list, .key = key};
        int ns = sysctl_namespace(key);
        if (ns < 0) {
            return oci_fail(k->r, &at, -EINVAL,
                            "is not a parameter of a namespace: it would change the host's");
        }
        if ((strcmp(key, "kernel.hostname") == 0 && k->c->hostname != NULL) ||
            (strcmp(key, "kernel.domainname") == 0 && k->c->domainname != NULL)) {
            return oci_fail(k->r, &at, -EINVAL, "contradicts %s", key + strlen("kernel."));
        }
        int e = needs(k, &at, (enum oci_namespace)ns);
        if (e != 0) {
            return e;
        }
    }
    return 0;
}

int oci_config_check(const struct oci_reader *r, const struct oci_node *n,
                     const struct container *c) {
    struct checking k = {.r = r, .c = c, .top = n, .linux_ = oci_member(n, "linux")};
    int e = check_names(&k);
    e = e != 0 ? e : check_mappings(&k);
    e = e != 0 ? e : check_mounts(&k);
    e = e != 0 ? e : check_time(&k);
    e = e != 0 ? e : check_paths(&k);
    return e != 0 ? e : check_sysctl(&k);
}
