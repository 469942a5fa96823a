/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any bytes as config.json, as a process and as resources.  What is refused has a
 * message; what is accepted holds what other parts rely on.
 */
#include "fuzz.h"

#include "oci/config.h"

static void require(bool holds) {
    if (!holds) {
        __builtin_trap();
    }
}

static void warn(void *arg, const char *message) {
    require(message[0] != '\0');
}

/* What the isolations take for granted. */
static void check_container(const struct container *c) {
    require(c->process.args.count > 0 && c->process.args.items[c->process.args.count] == NULL);
    require(c->process.cwd != NULL && c->process.cwd[0] == '/');
    require(c->rootfs != NULL && c->rootfs[0] == '/');
    require(c->hostname == NULL || c->linux_.namespaces[NS_UTS].set);
    for (size_t i = 0; i < c->mount_count; i++) {
        const struct container_mount *m = &c->mounts[i];
        require(m->target != NULL && m->target[0] == '/');
        require(m->kind == MOUNT_BIND ? m->source != NULL && m->source[0] == '/'
                                      : m->fstype != NULL);
    }
    for (size_t i = 0; i < c->linux_.device_count; i++) {
        require(c->linux_.devices[i].path[0] == '/' && c->linux_.devices[i].type != '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct oci_reading how = {.bundle = "/", .warn = warn};
    const char *text = (const char *)data;
    struct container c = {0};
    struct container_process p = {0};
    struct cgroup_resources r = {0};
    struct err err = {0};
    int e = oci_config_parse(&how, text, size, &c, &err);
    require((e != 0) == (err.msg[0] != '\0'));
    if (e == 0) {
        check_container(&c);
    }
    container_free(&c);
    err = (struct err){0};
    e = oci_process_parse(&how, text, size, &p, &err);
    require((e != 0) == (err.msg[0] != '\0'));
    container_process_free(&p);
    err = (struct err){0};
    e = oci_resources_parse(&how, text, size, &r, &err);
    require((e != 0) == (err.msg[0] != '\0'));
    cgroup_resources_free(&r);
    return 0;
}
