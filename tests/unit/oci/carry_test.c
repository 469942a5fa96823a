/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers as bytes (src/oci/carry.c): what engines write comes out as it went in, and no cut or
 * changed text does harm (sanitizers watch).
 */
#include "oci_fixture.h"

#include "oci/carry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static char g_first[1 << 20], g_second[1 << 20];

static void load(const char *path, struct carried *out) {
    const struct oci_reading how = {.bundle = "/usr"};
    struct err err = {0};
    char *text = NULL;
    size_t len = 0;
    CHECK(oci_text_load(path, &text, &len, &err) == 0);
    CHECK(oci_config_parse(&how, text, len, &out->c, &err) == 0);
    free(text);
    out->c.id = strdup("castle");
    out->state_json = strdup("{\"id\": \"castle\"}");
    out->seccomp.code = calloc(3, sizeof(*out->seccomp.code));
    out->seccomp.count = 3;
    out->seccomp.code[2].k = 0x7fff0000;
}

static void same_process(const struct container_process *a, const struct container_process *b) {
    CHECK(a->args.count == b->args.count && a->env.count == b->env.count);
    for (size_t i = 0; i < a->args.count; i++) {
        CHECK(strcmp(a->args.items[i], b->args.items[i]) == 0);
    }
    CHECK(b->args.items[b->args.count] == NULL);
    CHECK(strcmp(a->cwd, b->cwd) == 0 && a->uid == b->uid && a->gid == b->gid);
    CHECK(a->group_count == b->group_count && a->rlimit_count == b->rlimit_count);
    CHECK(memcmp(&a->caps, &b->caps, sizeof(a->caps)) == 0);
    CHECK(a->terminal == b->terminal && a->no_new_privs == b->no_new_privs);
    CHECK(a->scheduler.set == b->scheduler.set && a->scheduler.nice == b->scheduler.nice);
    CHECK((a->apparmor_profile == NULL) == (b->apparmor_profile == NULL));
    CHECK(a->oom_score_adj == b->oom_score_adj);
}

static void same(const struct carried *a, const struct carried *b) {
    const struct oci_linux *l = &a->c.linux_, *m = &b->c.linux_;
    same_process(&a->c.process, &b->c.process);
    CHECK(strcmp(a->c.id, b->c.id) == 0 && strcmp(a->c.rootfs, b->c.rootfs) == 0);
    CHECK(strcmp(a->state_json, b->state_json) == 0);
    CHECK(a->c.root_readonly == b->c.root_readonly && a->c.overlay == b->c.overlay);
    CHECK(a->c.mount_count == b->c.mount_count);
    for (size_t i = 0; i < a->c.mount_count; i++) {
        const struct container_mount *p = &a->c.mounts[i], *q = &b->c.mounts[i];
        CHECK(p->kind == q->kind && strcmp(p->target, q->target) == 0);
        CHECK(p->attr_set == q->attr_set && p->idmap == q->idmap && p->flags == q->flags);
    }
    CHECK(a->c.hooks[HOOK_START_CONTAINER].count == b->c.hooks[HOOK_START_CONTAINER].count);
    CHECK(b->c.hooks[HOOK_POSTSTOP].count == 0);
    for (int kind = 0; kind < NS_KINDS; kind++) {
        CHECK(l->namespaces[kind].set == m->namespaces[kind].set);
    }
    CHECK(l->uid_mappings.count == m->uid_mappings.count && l->device_count == m->device_count);
    CHECK(l->resources.memory.limit.value == m->resources.memory.limit.value);
    CHECK(l->resources.device_count == m->resources.device_count);
    CHECK(l->resources.unified_count == m->resources.unified_count);
    CHECK(l->monotonic.secs == m->monotonic.secs && l->boottime.nanosecs == m->boottime.nanosecs);
    CHECK(l->masked_paths.count == m->masked_paths.count && l->sysctl.count == m->sysctl.count);
    CHECK(l->seccomp.set == m->seccomp.set && l->seccomp.flags == m->seccomp.flags);
    CHECK(b->seccomp.count == 3 && b->seccomp.code[2].k == 0x7fff0000);
}

/* Any text is read or refused; a copy of its own size shows reads beyond it. */
static int try_read(const char *from, size_t len) {
    struct carried k = {.state_json = NULL};
    char *copy = malloc(len + 1);
    memcpy(copy, from, len);
    int e = carry_container_read(copy, len, &k);
    CHECK(e == 0 || e == -EBADMSG || e == -ENOMEM);
    carried_free(&k);
    free(copy);
    return e;
}

static void wrong(size_t len) {
    uint32_t seed = 1;
    for (size_t cut = 0; cut < len; cut += cut < 300 || len - cut < 300 ? 1 : 37) {
        CHECK(try_read(g_first, cut) == -EBADMSG);
    }
    for (int i = 0; i < 3000; i++) {
        seed = seed * 1103515245u + 12345u;
        size_t at = (seed >> 8) % len;
        char old = g_first[at];
        g_first[at] = (char)(seed >> 3);
        (void)try_read(g_first, len); /* some of them are containers */
        g_first[at] = old;
    }
}

static void check(const char *path) {
    struct carried in = {.state_json = NULL}, out = {.state_json = NULL};
    size_t len = 0, again = 0;
    load(path, &in);
    CHECK(carry_container_write(&in, g_first, sizeof(g_first), &len) == 0);
    CHECK(carry_container_read(g_first, len, &out) == 0);
    same(&in, &out);
    CHECK(carry_container_write(&out, g_second, sizeof(g_second), &again) == 0);
    CHECK(again == len && memcmp(g_first, g_second, len) == 0);
    CHECK(carry_container_write(&in, g_second, len - 1, &again) == -E2BIG);

    struct container_process p = {.uid = 0};
    CHECK(carry_process_write(&in.c.process, g_second, sizeof(g_second), &again) == 0);
    CHECK(carry_process_read(g_second, again, &p) == 0);
    same_process(&in.c.process, &p);
    container_process_free(&p);
    wrong(len);
    carried_free(&in);
    carried_free(&out);
}

int main(int argc, char **argv) {
    CHECK(argc > 1);
    for (int i = 1; i < argc; i++) {
        check(argv[i]);
    }
    return 0;
}
