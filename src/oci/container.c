/* SPDX-License-Identifier: Apache-2.0 */
/* Containers as data: see container.h. */
#include "oci/container.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

static int copy_text(char **out, const char *text) {
    *out = NULL;
    if (text != NULL) {
        *out = strdup(text);
    }
    return text != NULL && *out == NULL ? -ENOMEM : 0;
}

int container_add_mount(struct container *c, enum mount_kind kind, uint32_t flags,
                        const char *source, const char *target, const char *fstype,
                        const char *options) {
    struct container_mount *grown = reallocarray(c->mounts, c->mount_count + 1, sizeof(*c->mounts));
    if (grown == NULL) {
        return -ENOMEM;
    }
    c->mounts = grown;
    struct container_mount *m = &grown[c->mount_count];
    *m = (struct container_mount){.kind = kind, .flags = flags};
    c->mount_count++;
    int err = copy_text(&m->source, source);
    err = err != 0 ? err : copy_text(&m->target, target);
    err = err != 0 ? err : copy_text(&m->fstype, fstype);
    return err != 0 ? err : copy_text(&m->options, options);
}

int container_add_rlimit(struct container_process *p, uint32_t resource, uint64_t cur,
                         uint64_t max) {
    struct container_rlimit *grown =
        reallocarray(p->rlimits, p->rlimit_count + 1, sizeof(*p->rlimits));
    if (grown == NULL) {
        return -ENOMEM;
    }
    p->rlimits = grown;
    grown[p->rlimit_count++] = (struct container_rlimit){resource, cur, max};
    return 0;
}

void container_process_free(struct container_process *p) {
    strlist_free(&p->args);
    strlist_free(&p->env);
    free(p->cwd);
    free(p->groups);
    free(p->rlimits);
    free(p->apparmor_profile);
    free(p->selinux_label);
    free(p->cpu_affinity.initial);
    free(p->cpu_affinity.final);
    *p = (struct container_process){0};
}

void container_free(struct container *c) {
    for (size_t i = 0; i < c->mount_count; i++) {
        free(c->mounts[i].source);
        free(c->mounts[i].target);
        free(c->mounts[i].fstype);
        free(c->mounts[i].options);
        free(c->mounts[i].uid_mappings.items);
        free(c->mounts[i].gid_mappings.items);
    }
    free(c->mounts);
    container_process_free(&c->process);
    free(c->id);
    free(c->hostname);
    free(c->domainname);
    free(c->rootfs);
    free(c->root_image);
    free(c->root_image_base);
    for (int stage = 0; stage < HOOK_STAGES; stage++) {
        oci_hook_list_free(&c->hooks[stage]);
    }
    oci_key_values_free(&c->annotations);
    oci_linux_free(&c->linux_);
    *c = (struct container){0};
}

uint64_t container_caps_all(void) {
    return (2ull << CAP_LAST_CAP) - 1;
}
