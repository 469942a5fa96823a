/* SPDX-License-Identifier: Apache-2.0 */
/* "linux" without resources and seccomp: config-linux.md of the OCI runtime specification. */
#include "oci/config_parts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAJOR_MAX 4095u /* 12 and 20 bits of a device number, linux/kdev_t.h */
#define MINOR_MAX 1048575u

/* ---- namespaces, mappings, time ---- */

struct namespace_reading {
    uint32_t kind;
    char *path;
};

static const struct oci_field g_namespace_fields[] = {
    {.name = "type",
     .read = oci_read_name,
     .offset = offsetof(struct namespace_reading, kind),
     .names = g_oci_namespaces,
     .required = true},
    {.name = "path", .read = oci_read_path, .offset = offsetof(struct namespace_reading, path)},
    {0},
};

static int read_namespaces(const struct oci_reader *r, const struct oci_node *n,
                           const struct oci_field *f, void *out) {
    struct oci_linux *l = out;
    int e = oci_expect(r, n, json_type_array);
    size_t count = e == 0 ? json_object_array_length(n->value) : 0;
    for (size_t i = 0; i < count && e == 0; i++) {
        struct oci_node element = oci_element(n, i);
        struct namespace_reading ns = {0};
        e = oci_read_members(r, &element, g_namespace_fields, &ns);
        if (e == 0 && l->namespaces[ns.kind].set) {
            e = oci_fail(r, &element, -EINVAL, "namespace '%s' is given twice",
                         oci_name_of(g_oci_namespaces, ns.kind));
        }
        if (e != 0) {
            free(ns.path);
            return e;
        }
        l->namespaces[ns.kind] = (struct oci_namespace_entry){.set = true, .path = ns.path};
    }
    return e;
}

#define MAPPING(text, field)                                                                       \
    .name = text, .read = oci_read_u32, .offset = offsetof(struct oci_id_mapping, field)
const struct oci_field g_mapping_fields[] = {
    {MAPPING("containerID", container_id), .max = UINT32_MAX - 1, .required = true},
    {MAPPING("hostID", host_id), .max = UINT32_MAX - 1, .required = true},
    {MAPPING("size", size), .min = 1, .required = true},
    {0},
};

int oci_mapping_check(const struct oci_reader *r, const struct oci_node *n, void *mapping) {
    const struct oci_id_mapping *m = mapping;
    uint64_t end_inside = (uint64_t)m->container_id + m->size;
    uint64_t end_outside = (uint64_t)m->host_id + m->size;
    if (end_inside > UINT32_MAX || end_outside > UINT32_MAX) {
        return oci_fail(r, n, -ERANGE, "the mapping ends beyond the largest id, %u",
                        UINT32_MAX - 1);
    }
    return 0;
}

#define OFFSET(text, reader, field)                                                                \
    .name = text, .read = reader, .offset = offsetof(struct oci_time_offset, field)
static const struct oci_field g_offset_fields[] = {
    {OFFSET("secs", oci_read_i64, secs), .min = INT64_MIN},
    {OFFSET("nanosecs", oci_read_u32, nanosecs), .max = NSEC_PER_SEC - 1},
    {0},
};

static int check_offset(const struct oci_reader *r, const struct oci_node *n, void *object) {
    ((struct oci_time_offset *)object)->set = true;
    return 0;
}

static const struct oci_field g_offsets_fields[] = {
    {.name = "monotonic",
     .read = oci_read_object,
     .offset = offsetof(struct oci_linux, monotonic),
     .fields = g_offset_fields,
     .check = check_offset},
    {.name = "boottime",
     .read = oci_read_object,
     .offset = offsetof(struct oci_linux, boottime),
     .fields = g_offset_fields,
     .check = check_offset},
    {0},
};

/* ---- devices ---- */

static int read_device_type(const struct oci_reader *r, const struct oci_node *n,
                            const struct oci_field *f, void *out) {
    const char *text = "";
    int e = oci_text(r, n, OCI_TEXT_MAX, &text);
    if (e == 0 && (strlen(text) != 1 || strchr("cubp", text[0]) == NULL)) {
        e = oci_fail(r, n, -EINVAL, "'%.20s' is not known; it can be c, u, b, p", text);
    }
    if (e == 0) {
        ((struct oci_device *)out)->type = text[0];
    }
    return e;
}

/* Some engines write all of st_mode; the type stands in "type". */
static int read_file_mode(const struct oci_reader *r, const struct oci_node *n,
                          const struct oci_field *f, void *out) {
    struct oci_device *d = out;
    int e = oci_read_u32(r, n, f, out);
    d->mode &= 07777;
    return e;
}

#define DEVICE(text, reader, field)                                                                \
    .name = text, .read = reader, .offset = offsetof(struct oci_device, field)
static const struct oci_field g_device_fields[] = {
    {DEVICE("type", read_device_type, type), .required = true},
    {DEVICE("path", oci_read_path, path), .required = true},
    {DEVICE("major", oci_read_i64, major), .max = MAJOR_MAX},
    {DEVICE("minor", oci_read_i64, minor), .max = MINOR_MAX},
    {DEVICE("fileMode", read_file_mode, mode), .max = 0177777},
    {DEVICE("uid", oci_read_u32, uid), .max = UINT32_MAX - 1},
    {DEVICE("gid", oci_read_u32, gid), .max = UINT32_MAX - 1},
    {0},
};

static void init_device(void *object) {
    struct oci_device *d = object;
    d->mode = 0666;
    d->major = d->minor = -1;
}

static int check_device(const struct oci_reader *r, const struct oci_node *n, void *object) {
    struct oci_device *d = object;
    if (d->type != 'p' && (d->major < 0 || d->minor < 0)) {
        struct oci_node at = oci_member(n, d->major < 0 ? "major" : "minor");
        return oci_fail(r, &at, -EINVAL, "is missing: only a FIFO (type p) has no number");
    }
    d->major = d->major < 0 ? 0 : d->major;
    d->minor = d->minor < 0 ? 0 : d->minor;
    return 0;
}

/* dev_valid_name() of the kernel, netdevice(7): at most 15 bytes, no '/', ':' or white space. */
static bool is_device_name(const char *name) {
    return name[0] != '\0' && strlen(name) <= 15 && strpbrk(name, "/: \t\n\v\f\r") == NULL &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static const struct oci_field g_net_device_fields[] = {
    {.name = "name", .read = oci_read_text, .offset = offsetof(struct oci_net_device, name)},
    {0},
};

static int read_net_devices(const struct oci_reader *r, const struct oci_node *n,
                            const struct oci_field *f, void *out) {
    struct oci_linux *l = out;
    int e = oci_expect(r, n, json_type_object);
    size_t count = e == 0 ? (size_t)json_object_object_length(n->value) : 0;
    if (count == 0) {
        return e;
    }
    if (count > f->max) {
        return oci_fail(r, n, -E2BIG, "has %zu members, at most %llu are allowed", count,
                        (unsigned long long)f->max);
    }
    l->net_devices = calloc(count, sizeof(*l->net_devices));
    if (l->net_devices == NULL) {
        return oci_fail(r, n, -ENOMEM, "no memory");
    }
    struct json_object_iterator at = json_object_iter_begin(n->value);
    struct json_object_iterator end = json_object_iter_end(n->value);
    for (; e == 0 && !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
        struct oci_node member = oci_member(n, json_object_iter_peek_name(&at));
        struct oci_net_device *d = &l->net_devices[l->net_device_count++];
        e = is_device_name(member.key) ? oci_copy(r, &member, member.key, &d->host_name)
                                       : oci_fail(r, &member, -EINVAL, "is no interface name");
        e = e != 0 ? e : oci_read_members(r, &member, f->fields, d);
        if (e == 0 && d->name != NULL && !is_device_name(d->name)) {
            struct oci_node name = oci_member(&member, "name");
            e = oci_fail(r, &name, -EINVAL, "'%.40s' is no interface name", d->name);
        }
    }
    return e;
}

/* ---- paths and keys ---- */

/* A path below the hierarchies, or slice:prefix:name for systemd; it never leads upwards. */
static int read_cgroups_path(const struct oci_reader *r, const struct oci_node *n,
                             const struct oci_field *f, void *out) {
    const char *text = "";
    int e = oci_text(r, n, PATH_MAX - 1, &text);
    for (const char *at = text; e == 0 && *at != '\0';) {
        size_t len = strcspn(at, "/");
        if (len == 2 && strncmp(at, "..", 2) == 0) {
            e = oci_fail(r, n, -EINVAL, "'%.100s' must not lead upwards with '..'", text);
        }
        at += len + (at[len] == '/');
    }
    return e != 0 || text[0] == '\0'
               ? e
               : oci_copy(r, n, text, &((struct oci_linux *)out)->cgroups_path);
}

/*
 * sysctl(8): names are written with dots or with slashes; the first separator tells which, and the
 * other character then stands for itself ("net/ipv4/conf/eth0.1/forwarding").  Stored with dots, or
 * with slashes where a component holds a dot.  No component may be empty, "." or "..".
 */
static int normalize_sysctl(const struct oci_reader *r, const struct oci_node *n, char *key) {
    bool slashes = key[strcspn(key, "./")] == '/';
    char separator = slashes ? '/' : '.', other = slashes ? '.' : '/';
    bool mixed = strchr(key, other) != NULL;
    for (char *at = key;;) {
        size_t len = strcspn(at, slashes ? "/" : ".");
        size_t dots = strspn(at, slashes ? "." : "/");
        if (len == 0 || dots == len) {
            return oci_fail(r, n, -EINVAL, "is no name of a kernel parameter");
        }
        at += len;
        if (*at == '\0') {
            break;
        }
        at++;
    }
    for (char *c = key; *c != '\0'; c++) {
        bool separates = *c == separator;
        if (separates || *c == other) {
            *c = separates == mixed ? '/' : '.';
        }
    }
    return 0;
}

static int read_sysctl(const struct oci_reader *r, const struct oci_node *n,
                       const struct oci_field *f, void *out) {
    struct oci_linux *l = out;
    int e = oci_read_pairs(r, n, f, out);
    for (size_t i = 0; i < l->sysctl.count && e == 0; i++) {
        struct oci_node member = {.up = n, .key = l->sysctl.items[i].key};
        e = normalize_sysctl(r, &member, l->sysctl.items[i].key);
    }
    return e;
}

/* ---- personality and resource director ---- */

static int read_persona_flags(const struct oci_reader *r, const struct oci_node *n,
                              const struct oci_field *f, void *out) {
    int e = oci_expect(r, n, json_type_array);
    if (e == 0 && json_object_array_length(n->value) > 0) {
        e = oci_fail(r, n, -EINVAL, "the specification defines no flags yet");
    }
    return e;
}

static const struct oci_field g_personality_fields[] = {
    {.name = "domain",
     .read = oci_read_name,
     .offset = offsetof(struct oci_linux, personality),
     .names = g_oci_personalities,
     .required = true},
    {.name = "flags", .read = read_persona_flags},
    {0},
};

static int check_personality(const struct oci_reader *r, const struct oci_node *n, void *object) {
    ((struct oci_linux *)object)->personality_set = true;
    return 0;
}

#define RDT(text, reader, field)                                                                   \
    .name = text, .read = reader, .offset = offsetof(struct oci_intel_rdt, field)
static const struct oci_field g_rdt_fields[] = {
    {RDT("closID", oci_read_text, clos_id), .max = 255},
    {RDT("l3CacheSchema", oci_read_text, l3_cache_schema)},
    {RDT("memBwSchema", oci_read_text, mem_bw_schema)},
    {RDT("enableCMT", oci_read_bool, enable_cmt)},
    {RDT("enableMBM", oci_read_bool, enable_mbm)},
    {.name = "schemata",
     .read = oci_read_foreign,
     .note = "is newer than specification 1.2 and not supported, ignored"},
    {.name = "enableMonitoring",
     .read = oci_read_foreign,
     .note = "is newer than specification 1.2 and not supported, ignored"},
    {0},
};

/* closID names a folder of /sys/fs/resctrl; each schema is one line of its own kind. */
static int check_rdt(const struct oci_reader *r, const struct oci_node *n, void *object) {
    struct oci_intel_rdt *rdt = object;
    const char *id = rdt->clos_id;
    rdt->set = true;
    if (id != NULL && (strchr(id, '/') != NULL || strchr(id, '\n') != NULL ||
                       strcmp(id, ".") == 0 || strcmp(id, "..") == 0)) {
        struct oci_node at = oci_member(n, "closID");
        return oci_fail(r, &at, -EINVAL, "'%.60s' cannot name a folder", id);
    }
    if (rdt->mem_bw_schema != NULL && strncmp(rdt->mem_bw_schema, "MB:", 3) != 0) {
        struct oci_node at = oci_member(n, "memBwSchema");
        return oci_fail(r, &at, -EINVAL, "must begin with 'MB:'");
    }
    if (rdt->l3_cache_schema != NULL && strstr(rdt->l3_cache_schema, "MB:") != NULL) {
        struct oci_node at = oci_member(n, "l3CacheSchema");
        return oci_fail(r, &at, -EINVAL, "must not hold 'MB:': that is memBwSchema's");
    }
    return 0;
}

/* ---- the section ---- */

#define LINUX(text, reader, field)                                                                 \
    .name = text, .read = reader, .offset = offsetof(struct oci_linux, field)
#define MAPPINGS(text, field)                                                                      \
    LINUX(text, oci_read_array, field.items),                                                      \
        .count_offset = offsetof(struct oci_linux, field.count),                                   \
        .item_size = sizeof(struct oci_id_mapping), .fields = g_mapping_fields,                    \
        .check = oci_mapping_check, .max = OCI_MAPPINGS_MAX

const struct oci_field g_linux_fields[] = {
    {.name = "namespaces", .read = read_namespaces, .fields = g_namespace_fields, .item_size = 1},
    {MAPPINGS("uidMappings", uid_mappings)},
    {MAPPINGS("gidMappings", gid_mappings)},
    {.name = "timeOffsets", .read = oci_read_object, .fields = g_offsets_fields},
    {LINUX("devices", oci_read_array, devices),
     .count_offset = offsetof(struct oci_linux, device_count),
     .item_size = sizeof(struct oci_device), .fields = g_device_fields, .init = init_device,
     .check = check_device, .max = 4096},
    {.name = "netDevices", .read = read_net_devices, .fields = g_net_device_fields, .max = 1024},
    {.name = "cgroupsPath", .read = read_cgroups_path},
    {LINUX("resources", oci_read_object, resources), .fields = g_resources_fields},
    {LINUX("rootfsPropagation", oci_read_name, rootfs_propagation), .names = g_oci_propagations},
    {LINUX("seccomp", oci_read_object, seccomp), .fields = g_seccomp_fields,
     .check = oci_seccomp_check},
    {LINUX("sysctl", read_sysctl, sysctl), .max = 4096},
    {LINUX("maskedPaths", oci_read_paths, masked_paths), .max = 4096},
    {LINUX("readonlyPaths", oci_read_paths, readonly_paths), .max = 4096},
    {LINUX("mountLabel", oci_read_text, mount_label), .max = 4096},
    {.name = "personality",
     .read = oci_read_object,
     .fields = g_personality_fields,
     .check = check_personality},
    {LINUX("intelRdt", oci_read_object, intel_rdt), .fields = g_rdt_fields, .check = check_rdt},
    {.name = "memoryPolicy",
     .read = oci_read_foreign,
     .note = "is newer than specification 1.2 and not supported, ignored"},
    {0},
};
