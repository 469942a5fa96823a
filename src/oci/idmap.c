/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings of user namespaces: see idmap.h.  Sources: user_namespaces(7), newuidmap(1). */
#include "oci/idmap.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAP_TEXT_MAX 4096 /* user_namespaces(7): a mapping's text is less than a page */

static int map_text(const struct oci_mapping_list *list, char text[MAP_TEXT_MAX]) {
    size_t used = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct oci_id_mapping *m = &list->items[i];
        int n = snprintf(text + used, MAP_TEXT_MAX - used, "%u %u %u\n", m->container_id,
                         m->host_id, m->size);
        if (n < 0 || (size_t)n >= MAP_TEXT_MAX - used) {
            return -E2BIG;
        }
        used += (size_t)n;
    }
    return 0;
}

/* newuidmap(1) PID then three numbers a mapping. */
static int map_by_tool(const char *tool, pid_t pid, const struct oci_mapping_list *list,
                       struct err *err) {
    struct strlist args = {0};
    char text[16];
    int status = 0;
    pid_t child = 0;
    (void)snprintf(text, sizeof(text), "%d", (int)pid); /* fits, as the next ones */
    int e = strlist_add(&args, tool);
    e = e != 0 ? e : strlist_add(&args, text);
    for (size_t i = 0; i < list->count && e == 0; i++) {
        const uint32_t numbers[3] = {list->items[i].container_id, list->items[i].host_id,
                                     list->items[i].size};
        for (int k = 0; k < 3 && e == 0; k++) {
            (void)snprintf(text, sizeof(text), "%u", numbers[k]);
            e = strlist_add(&args, text);
        }
    }
    e = e != 0 ? e : -posix_spawnp(&child, tool, NULL, NULL, args.items, environ);
    strlist_free(&args);
    if (e == -ENOENT) {
        return err_set(err, e,
                       "the id mappings need %s, which is not installed (Debian: apt install "
                       "uidmap)",
                       tool);
    }
    if (e != 0) {
        return err_sys(err, e, "cannot run %s", tool);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? 0
               : err_set(err, -EPERM,
                         "%s refused the mapping (see above): /etc/subuid and /etc/subgid name the "
                         "ids that a user may map",
                         tool);
}

static bool is_single_self(const struct oci_mapping_list *list, uint32_t id) {
    return list->count == 1 && list->items[0].size == 1 && list->items[0].host_id == id;
}

static int map_kind(const struct procfs *proc, pid_t pid, const struct oci_mapping_list *list,
                    bool users, struct err *err) {
    char path[48], text[MAP_TEXT_MAX];
    bool self = is_single_self(list, users ? geteuid() : getegid());
    if (geteuid() != 0 && !self) {
        return map_by_tool(users ? "newuidmap" : "newgidmap", pid, list, err);
    }
    if (geteuid() != 0 && !users) {
        (void)snprintf(path, sizeof(path), "%d/setgroups", (int)pid); /* fits, as the next */
        int e = procfs_write(proc, path, "deny");
        if (e != 0 && e != -ENOENT) {
            return err_sys(err, e, "cannot give up setgroups for the group mapping");
        }
    }
    (void)snprintf(path, sizeof(path), "%d/%s", (int)pid, users ? "uid_map" : "gid_map");
    int e = map_text(list, text);
    e = e != 0 ? e : procfs_write(proc, path, text);
    return e == 0 ? 0
                  : err_sys(err, e, "cannot write linux.%sMappings to /proc/%s",
                            users ? "uid" : "gid", path);
}

int idmap_write(const struct procfs *proc, pid_t pid, const struct oci_mapping_list *uids,
                const struct oci_mapping_list *gids, struct err *err) {
    if (uids->count == 0 || gids->count == 0) {
        return err_set(err, -EINVAL,
                       "a new user namespace needs linux.uidMappings and linux.gidMappings");
    }
    int e = map_kind(proc, pid, gids, false, err);
    return e != 0 ? e : map_kind(proc, pid, uids, true, err);
}
