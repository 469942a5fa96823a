/* SPDX-License-Identifier: Apache-2.0 */
/* "mounts": config.md "Mounts" and "Linux mount options". */
#include "oci/config_parts.h"

#include "moat/control.h"

#include <errno.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>

#define OPTIONS_MAX 4096u /* of the file system's own: a page, mount(2) */

#ifndef MS_REC
#define MS_REC 16384
#endif

/* ---- options ---- */

/* Access-time options are one field of three values, of which the last one given counts. */
static void set_attr(uint64_t value, uint64_t *set, uint64_t *clear) {
    if ((value & ~(uint64_t)MOUNT_ATTR__ATIME) == 0) {
        *set &= ~(uint64_t)MOUNT_ATTR__ATIME;
        *clear |= MOUNT_ATTR__ATIME;
    } else {
        *clear &= ~value;
    }
    *set |= value;
}

static void clear_attr(uint64_t value, uint64_t *set, uint64_t *clear) {
    if ((value & MOUNT_ATTR__ATIME) != 0) {
        *clear |= MOUNT_ATTR__ATIME; /* mount_setattr(2) takes it as a whole only */
    }
    *set &= ~value;
    *clear |= value;
}

static void apply(const struct oci_mount_option *o, struct container_mount *m) {
    switch (o->kind) {
    case OPTION_ATTR:
        set_attr(o->value, &m->attr_set, &m->attr_clear);
        break;
    case OPTION_ATTR_CLEAR:
        clear_attr(o->value, &m->attr_set, &m->attr_clear);
        break;
    case OPTION_TREE:
        set_attr(o->value, &m->tree_set, &m->tree_clear);
        break;
    case OPTION_TREE_CLEAR:
        clear_attr(o->value, &m->tree_set, &m->tree_clear);
        break;
    case OPTION_SUPER:
        m->super_flags |= (uint32_t)o->value;
        break;
    case OPTION_SUPER_CLEAR:
        m->super_flags &= ~(uint32_t)o->value;
        break;
    case OPTION_PROPAGATION:
        m->propagation = (uint32_t)o->value;
        break;
    case OPTION_BIND:
        m->kind = MOUNT_BIND;
        m->recursive = m->recursive || o->value != 0;
        break;
    case OPTION_IDMAP:
        m->idmap = true;
        m->idmap_recursive = m->idmap_recursive || o->value != 0;
        break;
    case OPTION_COPY_UP:
        m->tmpcopyup = true;
        break;
    case OPTION_NOTHING:
        break;
    }
}

static const struct oci_mount_option *find_option(const char *name) {
    for (const struct oci_mount_option *o = g_oci_mount_options; o->name != NULL; o++) {
        if (strcmp(o->name, name) == 0) {
            return o;
        }
    }
    return NULL;
}

/* What no option of ours is, the file system gets. */
static int append_option(const struct oci_reader *r, const struct oci_node *n, const char *option,
                         struct container_mount *m) {
    size_t old = m->options == NULL ? 0 : strlen(m->options), more = strlen(option);
    if (old + 1 + more >= OPTIONS_MAX) {
        return oci_fail(r, n, -E2BIG, "the file system's options are longer than %u bytes",
                        OPTIONS_MAX);
    }
    char *grown = realloc(m->options, old + more + 2);
    if (grown == NULL) {
        return oci_fail(r, n, -ENOMEM, "no memory");
    }
    m->options = grown;
    (void)snprintf(grown + old, more + 2, "%s%s", old > 0 ? "," : "", option); /* fits */
    return 0;
}

static int read_options(const struct oci_reader *r, const struct oci_node *n,
                        const struct oci_field *f, void *out) {
    struct container_mount *m = out;
    int e = oci_expect(r, n, json_type_array);
    size_t count = e == 0 ? json_object_array_length(n->value) : 0;
    for (size_t i = 0; i < count && e == 0; i++) {
        struct oci_node element = oci_element(n, i);
        const char *text = "";
        e = oci_text(r, &element, OPTIONS_MAX, &text);
        const struct oci_mount_option *known = e == 0 ? find_option(text) : NULL;
        if (known != NULL) {
            apply(known, m);
        } else if (e == 0 && strcmp(text, "remount") == 0) {
            e = oci_fail(r, &element, -EINVAL,
                         "'remount' is not supported: each entry of mounts is a new mount");
        } else if (e == 0 && text[0] != '\0') {
            e = append_option(r, &element, text, m);
        }
    }
    return e;
}

/* ---- fields ---- */

#define MOUNT(text, reader, field)                                                                 \
    .name = text, .read = reader, .offset = offsetof(struct container_mount, field)
const struct oci_field g_mount_fields[] = {
    {MOUNT("destination", oci_read_path, target), .required = true},
    {MOUNT("type", oci_read_text, fstype), .max = 255},
    {MOUNT("source", oci_read_text, source), .max = PATH_MAX - 1},
    {.name = "options", .read = read_options},
    {MOUNT("uidMappings", oci_read_array, uid_mappings.items),
     .count_offset = offsetof(struct container_mount, uid_mappings.count),
     .item_size = sizeof(struct oci_id_mapping), .fields = g_mapping_fields,
     .check = oci_mapping_check, .max = OCI_MAPPINGS_MAX},
    {MOUNT("gidMappings", oci_read_array, gid_mappings.items),
     .count_offset = offsetof(struct container_mount, gid_mappings.count),
     .item_size = sizeof(struct oci_id_mapping), .fields = g_mapping_fields,
     .check = oci_mapping_check, .max = OCI_MAPPINGS_MAX},
    {0},
};

void oci_mount_init(void *mount) {
    ((struct container_mount *)mount)->kind = MOUNT_TYPED;
}

/* ---- rules ---- */

/* What the application kernel knows of the flags (moat/control.h). */
static uint32_t control_flags(uint64_t attr) {
    uint32_t flags = 0;
    flags |= (attr & MOUNT_ATTR_RDONLY) != 0 ? MOAT_MOUNT_RDONLY : 0;
    flags |= (attr & MOUNT_ATTR_NOSUID) != 0 ? MOAT_MOUNT_NOSUID : 0;
    flags |= (attr & MOUNT_ATTR_NODEV) != 0 ? MOAT_MOUNT_NODEV : 0;
    flags |= (attr & MOUNT_ATTR_NOEXEC) != 0 ? MOAT_MOUNT_NOEXEC : 0;
    flags |= (attr & MOUNT_ATTR_NOATIME) != 0 ? MOAT_MOUNT_NOATIME : 0;
    return flags;
}

/* The source of a bind mount is relative to the bundle; a bind mount has no type or options. */
static int check_bind(const struct oci_reader *r, const struct oci_node *n,
                      struct container_mount *m) {
    struct oci_node source = oci_member(n, "source"), options = oci_member(n, "options");
    char joined[PATH_MAX];
    if (m->source == NULL) {
        return oci_fail(r, &source, -EINVAL, "is missing: a bind mount needs what to mount");
    }
    if (m->options != NULL || m->super_flags != 0) {
        oci_warn(r, &options, "%.60s: not options of a bind mount, left out",
                 m->options != NULL ? m->options : "flags of the file system itself");
    }
    free(m->fstype);
    free(m->options);
    m->fstype = NULL;
    m->options = NULL;
    m->super_flags = 0;
    if (m->source[0] == '/') {
        return 0;
    }
    int len = snprintf(joined, sizeof(joined), "%s/%s", r->how->bundle, m->source);
    if (len < 0 || (size_t)len >= sizeof(joined)) {
        return oci_fail(r, &source, -ENAMETOOLONG, "is too long together with the bundle's path");
    }
    return oci_copy(r, &source, joined, &m->source);
}

static int check_idmap(const struct oci_reader *r, const struct oci_node *n,
                       struct container_mount *m) {
    bool uids = m->uid_mappings.count > 0, gids = m->gid_mappings.count > 0;
    if (uids != gids) {
        struct oci_node at = oci_member(n, uids ? "gidMappings" : "uidMappings");
        return oci_fail(r, &at, -EINVAL, "is missing: a mapped mount needs both mappings");
    }
    m->idmap = m->idmap || uids;
    if (m->idmap && m->kind != MOUNT_BIND) {
        return oci_fail(r, n, -EINVAL, "only bind mounts can have their ids mapped");
    }
    return 0;
}

int oci_mount_check(const struct oci_reader *r, const struct oci_node *n, void *mount) {
    struct container_mount *m = mount;
    struct oci_node type = oci_member(n, "type"), options = oci_member(n, "options");
    if (m->fstype != NULL && strcmp(m->fstype, "bind") == 0) {
        m->kind = MOUNT_BIND;
    }
    int e = m->kind == MOUNT_BIND ? check_bind(r, n, m) : 0;
    e = e != 0 ? e : check_idmap(r, n, m);
    if (e == 0 && m->kind == MOUNT_TYPED && m->fstype == NULL) {
        e = oci_fail(r, &type, -EINVAL,
                     "is missing: name a file system, or 'bind' or 'rbind' among the options");
    }
    if (e == 0 && m->tmpcopyup && (m->fstype == NULL || strcmp(m->fstype, "tmpfs") != 0)) {
        oci_warn(r, &options, "tmpcopyup belongs to tmpfs alone, ignored");
        m->tmpcopyup = false;
    }
    m->flags = control_flags(m->attr_set | m->tree_set);
    return e;
}
