/* SPDX-License-Identifier: Apache-2.0 */
/* Control messages: a sound one is read back; hostile offsets, counts and bytes never lead outside
 * the record. */
#include "check.h"

#include "kernel/control_msg.h"

#include <errno.h>
#include <string.h>

struct message {
    struct moat_ctl_create f;
    struct moat_ctl_str args[2];
    struct moat_ctl_str env[1];
    uint32_t groups[4]; /* three, padded */
    struct moat_ctl_rlimit limits[1];
    struct moat_ctl_mount mounts[1];
    struct moat_ctl_str masked[2], readonly[1];
    struct moat_ctl_sysctl sysctls[1];
    struct moat_ctl_device devices[1];
    struct sock_filter seccomp[2];
    char strings[128];
};

static struct moat_ctl_str put(struct message *m, size_t *at, const char *s) {
    struct moat_ctl_str r = {(uint32_t)*at, (uint32_t)strlen(s)};

    memcpy(m->strings + *at, s, strlen(s) + 1);
    *at += strlen(s) + 1;
    return r;
}

static void sound(struct message *m) {
    size_t at = 0;

    memset(m, 0, sizeof(*m));
    m->f.h =
        (struct moat_ctl_header){MOAT_CTL_MAGIC, MOAT_CTL_VERSION, MOAT_CTL_CREATE, sizeof(*m), 7};
    m->f.container = put(m, &at, "box");
    m->f.exec_id = put(m, &at, "");
    m->f.cwd = put(m, &at, "/");
    m->f.hostname = put(m, &at, "h");
    m->args[0] = put(m, &at, "ls");
    m->args[1] = put(m, &at, "-l");
    m->env[0] = put(m, &at, "A=b");
    m->f.argc = 2;
    m->f.envc = 1;
    m->f.group_count = 3;
    m->groups[2] = 42;
    m->f.rlimit_count = 1;
    m->f.mount_count = 1;
    m->mounts[0].kind = MOAT_MOUNT_TYPED;
    m->mounts[0].target = put(m, &at, "/tmp");
    m->mounts[0].fstype = put(m, &at, "tmpfs");
    m->mounts[0].source = m->f.exec_id;
    m->mounts[0].options = m->f.exec_id;
    m->f.domainname = m->f.share = m->f.exec_id;
    m->f.masked_count = 2;
    m->masked[0] = m->masked[1] = put(m, &at, "/proc/kcore");
    m->f.readonly_count = 1;
    m->readonly[0] = m->masked[0];
    m->f.sysctl_count = 1;
    m->sysctls[0].name = put(m, &at, "kernel.msgmax");
    m->sysctls[0].value = put(m, &at, "4096");
    m->f.device_count = 1;
    m->devices[0].path = put(m, &at, "/dev/null");
    m->f.seccomp_count = 2;
    m->seccomp[1].code = 6;
    m->f.strings_off = offsetof(struct message, strings);
}

static void test_sound(void) {
    struct message m;
    struct moat_ctl_header h;
    struct ctl_create c;

    sound(&m);
    CHECK(ctl_header_check(&m, sizeof(m), &h) == 0 && h.id == 7);
    CHECK(ctl_create_parse(&m, sizeof(m), &c) == 0);
    CHECK(strcmp(ctl_string(&c, c.argv[1]), "-l") == 0);
    CHECK(strcmp(ctl_string(&c, c.envp[0]), "A=b") == 0);
    CHECK(c.groups[2] == 42);
    CHECK(strcmp(ctl_string(&c, c.mounts[0].fstype), "tmpfs") == 0);
    CHECK(strcmp(ctl_string(&c, c.masked[1]), "/proc/kcore") == 0);
    CHECK(strcmp(ctl_string(&c, c.sysctls[0].value), "4096") == 0);
    CHECK(strcmp(ctl_string(&c, c.devices[0].path), "/dev/null") == 0);
    CHECK(c.seccomp[1].code == 6);
}

#define REFUSED(change)                                                                            \
    do {                                                                                           \
        struct message m;                                                                          \
        struct ctl_create c;                                                                       \
        sound(&m);                                                                                 \
        change;                                                                                    \
        CHECK(ctl_create_parse(&m, sizeof(m), &c) == -EINVAL);                                     \
    } while (0)

static void test_refused(void) {
    REFUSED(m.f.argc = 0);
    REFUSED(m.f.argc = UINT32_MAX);
    REFUSED(m.f.envc = 0x20000000u);
    REFUSED(m.f.mount_count = MOAT_CTL_MOUNTS_MAX + 1);
    REFUSED(m.f.group_count = 1000);
    REFUSED(m.f.masked_count = MOAT_CTL_PATHS_MAX + 1);
    REFUSED(m.f.readonly_count = 100);
    REFUSED(m.f.sysctl_count = UINT32_MAX);
    REFUSED(m.f.device_count = MOAT_CTL_DEVICES_MAX);
    REFUSED(m.f.seccomp_count = MOAT_SECCOMP_MAX + 1);
    REFUSED(m.f.seccomp_count = 1000);
    REFUSED(m.f.share.off = 5000);
    REFUSED(m.masked[1] = m.args[0]); /* not absolute */
    REFUSED(m.devices[0].path.len = 99);
    REFUSED(m.sysctls[0].value.off = UINT32_MAX);
    REFUSED(m.f.strings_off = sizeof(m));
    REFUSED(m.f.strings_off = 4);
    REFUSED(m.args[0].off = UINT32_MAX);
    REFUSED(m.args[0].len = UINT32_MAX);
    REFUSED(m.args[0].len = 1); /* ends before its NUL */
    REFUSED(m.args[0].len = 4); /* holds a NUL */
    REFUSED(m.mounts[0].kind = 9);
    REFUSED(m.mounts[0].target = m.args[0]); /* not absolute */
    REFUSED(memset(m.strings, 'x', sizeof(m.strings)));
}

static void test_fixed(void) {
    struct message m;
    struct moat_ctl_header h;
    struct moat_ctl_ref ref;

    sound(&m);
    CHECK(ctl_header_check(&m, 8, &h) == -EPROTO);
    CHECK(ctl_header_check(&m, sizeof(m) - 1, &h) == -EPROTO);
    m.f.h.magic++;
    CHECK(ctl_header_check(&m, sizeof(m), &h) == -EPROTO);
    memset(&ref, 'x', sizeof(ref));
    CHECK(ctl_ref_check(&ref, sizeof(ref), sizeof(ref)) == -EINVAL);
    memset(&ref, 0, sizeof(ref));
    CHECK(ctl_ref_check(&ref, sizeof(ref), sizeof(ref)) == 0);
    CHECK(ctl_ref_check(&ref, sizeof(ref) - 1, sizeof(ref)) == -EINVAL);
}

static bool inside(const struct message *m, const void *p, size_t len) {
    const char *base = (const char *)m;
    const char *at = p;

    return at >= base && len <= sizeof(*m) && at <= base + sizeof(*m) - len;
}

static void test_mutations(void) {
    unsigned long seed = 424242;

    for (int round = 0; round < 200000; round++) {
        struct message m;
        struct ctl_create c;
        sound(&m);
        for (int n = 0; n < 3; n++) {
            ((unsigned char *)&m)[test_random(&seed) % sizeof(m)] =
                (unsigned char)test_random(&seed);
        }
        if (ctl_create_parse(&m, sizeof(m), &c) != 0) {
            continue;
        }
        CHECK(inside(&m, c.argv, c.fixed->argc * sizeof(*c.argv)));
        CHECK(inside(&m, c.mounts, c.fixed->mount_count * sizeof(*c.mounts)));
        CHECK(inside(&m, c.masked, c.fixed->masked_count * sizeof(*c.masked)));
        CHECK(inside(&m, c.readonly, c.fixed->readonly_count * sizeof(*c.readonly)));
        CHECK(inside(&m, c.sysctls, c.fixed->sysctl_count * sizeof(*c.sysctls)));
        CHECK(inside(&m, c.devices, c.fixed->device_count * sizeof(*c.devices)));
        CHECK(inside(&m, c.seccomp, c.fixed->seccomp_count * sizeof(*c.seccomp)));
        CHECK(inside(&m, c.groups, c.fixed->group_count * sizeof(*c.groups)));
        for (uint32_t i = 0; i < c.fixed->argc; i++) {
            const char *s = ctl_string(&c, c.argv[i]);
            CHECK(inside(&m, s, (size_t)c.argv[i].len + 1) && strlen(s) == c.argv[i].len);
        }
    }
}

int main(void) {
    test_sound();
    test_refused();
    test_fixed();
    test_mutations();
    return 0;
}
