/* SPDX-License-Identifier: Apache-2.0 */
/* moat.conf: what it may say, and who may choose which isolation. */
#include "check.h"

#include "oci/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int parse(const char *text, struct settings *s, struct err *err) {
    *err = (struct err){0};
    return settings_parse("moat.conf", text, strlen(text), s, err);
}

static void test_bad_files(void) {
    static const struct {
        const char *text, *said;
    } bad[] = {
        {"isolation\n", "moat.conf:1: a line is KEY = VALUE"},
        {"# fine\n\nisolation =\n", "moat.conf:3: isolation: has no value"},
        {"isolation = gvisor",
         "moat.conf:1: isolation: 'gvisor' is not known; it can be native, sentry, vm, vm+sentry"},
        {"isolation=sentry\nisolation=sentry\n", "moat.conf:2: isolation: is set twice"},
        {"Isolation = sentry",
         "moat.conf:1: unknown key: 'Isolation' is not known; it can be isolation, allow, lock, "
         "annotation, overlay, platform, handover, vm.images, vm.files, "
         "vm.start-timeout, vm.answer-timeout, vm.template, vm.vsock"},
        {"vm.start-timeout = 0",
         "moat.conf:1: vm.start-timeout: must be a number of seconds, 1 to 86400"},
        {"vm.answer-timeout = 5s",
         "moat.conf:1: vm.answer-timeout: must be a number of seconds, 1 to 86400"},
        {"vm.answer-timeout = -5",
         "moat.conf:1: vm.answer-timeout: must be a number of seconds, 1 to 86400"},
        {"vm.template = yes", "moat.conf:1: vm.template: 'yes' is not known; it can be off, on"},
        {"vm.images = images", "moat.conf:1: vm.images: must be the absolute path of a folder"},
        {"lock = yes", "moat.conf:1: lock: 'yes' is not known; it can be false, true"},
        {"allow = sentry, foo",
         "moat.conf:1: allow: 'foo' is not known; it can be native, sentry, vm, vm+sentry"},
        {"allow = ,", "moat.conf:1: allow: does not hold what 'isolation' names"},
        {"isolation = native\nallow = sentry",
         "moat.conf:2: allow: does not hold what 'isolation' names"},
        {"allow = sentry\nlock = true",
         "moat.conf:1: allow: lock = true allows one isolation already: leave one of the two out"},
        {"isolation = \x1b[2J",
         "moat.conf:1: isolation: '?[2J' is not known; it can be native, sentry, vm, vm+sentry"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct settings s;
        struct err err;
        int e = parse(bad[i].text, &s, &err);
        if (e != -EINVAL || strcmp(err.msg, bad[i].said) != 0) {
            fprintf(stderr, "%s\n  wanted: %s\n  got: %s\n", bad[i].text, bad[i].said, err.msg);
            exit(1);
        }
    }
}

static void test_good_files(void) {
    struct settings s;
    struct err err;
    CHECK(parse("", &s, &err) == 0 && s.isolation == ISOLATION_SENTRY && s.allowed == 0xf);
    CHECK(s.annotation == SETTINGS_STRONGER && s.overlay == OVERLAY_NONE && !s.lock);
    CHECK(parse("# c\r\n\tisolation=native # c\r\noverlay = memory\nannotation = any", &s, &err) ==
          0);
    CHECK(s.isolation == ISOLATION_NATIVE && s.overlay == OVERLAY_MEMORY);
    CHECK(s.annotation == SETTINGS_ANY);
    CHECK(parse("allow = vm,sentry", &s, &err) == 0 && s.isolation == ISOLATION_VM);
    CHECK(s.allowed == (1u << ISOLATION_VM | 1u << ISOLATION_SENTRY));
    CHECK(parse("lock = true", &s, &err) == 0 && s.allowed == 1u << ISOLATION_SENTRY);
    CHECK(parse("vm.start-timeout = 7\nvm.answer-timeout=86400", &s, &err) == 0 &&
          s.vm_start_timeout_s == 7 && s.vm_answer_timeout_s == 86400);
    CHECK(parse("vm.files = gofer", &s, &err) == 0 && s.vm_files == VM_FILES_GOFER && s.vm_vsock);
    CHECK(parse("vm.vsock = off", &s, &err) == 0 && !s.vm_vsock);
    CHECK(settings_parse("moat.conf", "a\0b", 3, &s, &err) == -EINVAL);
}

struct choice {
    const char *conf, *option, *annotation, *program;
    int code;
    enum isolation_kind kind;
    const char *said;
};

#define ANY "annotation = any\n"
static const struct choice g_choices[] = {
    {"", NULL, NULL, NULL, 0, ISOLATION_SENTRY, NULL},
    {"isolation = native", NULL, NULL, "moat", 0, ISOLATION_NATIVE, NULL},
    /* precedence: option, annotation, name, file */
    {"isolation = vm", NULL, NULL, "/usr/bin/moat-native", 0, ISOLATION_NATIVE, NULL},
    {"isolation = vm", NULL, NULL, "moat-1.2", 0, ISOLATION_VM, NULL},
    {"", NULL, "vm", "moat-sentry", 0, ISOLATION_VM, NULL},
    {ANY, NULL, "native", "moat-sentry", 0, ISOLATION_NATIVE, NULL},
    {"", "native", "vm", "moat-sentry", 0, ISOLATION_NATIVE, NULL},
    {"", "vm+sentry", NULL, NULL, 0, ISOLATION_VM_SENTRY, NULL},
    /* an annotation strengthens only */
    {"", NULL, "native", NULL, -EPERM, 0,
     "isolation 'native' (annotation dev.moat.isolation) is weaker than 'sentry', which holds "
     "otherwise: an annotation may only strengthen the wall, unless /etc/moat/moat.conf says "
     "'annotation = any'"},
    {"isolation = native", NULL, "native", NULL, 0, ISOLATION_NATIVE, NULL},
    {"isolation = native", NULL, "sentry", NULL, 0, ISOLATION_SENTRY, NULL},
    {"annotation = ignore", NULL, "native", NULL, 0, ISOLATION_SENTRY, NULL},
    {"", NULL, "paper", NULL, -EINVAL, 0,
     "annotation dev.moat.isolation: 'paper' is no isolation: it can be native, sentry, vm, "
     "vm+sentry"},
    /* locks bind everybody */
    {"lock = true", "native", NULL, NULL, -EPERM, 0,
     "isolation 'native' (--isolation) is not allowed by moat.conf, which allows sentry"},
    {"lock = true", NULL, NULL, "moat-native", -EPERM, 0,
     "isolation 'native' (the name moat was called by) is not allowed by moat.conf, which allows "
     "sentry"},
    {"lock = true\n" ANY, NULL, "vm", NULL, -EPERM, 0,
     "isolation 'vm' (annotation dev.moat.isolation) is not allowed by moat.conf, which allows "
     "sentry"},
    {"allow = sentry, vm", "native", NULL, NULL, -EPERM, 0,
     "isolation 'native' (--isolation) is not allowed by moat.conf, which allows sentry, vm"},
    {"allow = sentry, vm", NULL, "vm", NULL, 0, ISOLATION_VM, NULL},
    {"lock = true", "sentry", NULL, NULL, 0, ISOLATION_SENTRY, NULL},
};

static void test_choices(void) {
    for (size_t i = 0; i < ARRAY_COUNT(g_choices); i++) {
        const struct choice *c = &g_choices[i];
        const struct settings_request request = {c->option, c->annotation, c->program};
        struct settings s;
        struct err err;
        enum isolation_kind kind = ISOLATION_KINDS;
        CHECK(parse(c->conf, &s, &err) == 0);
        int e = settings_choose(&s, &request, &kind, &err);
        bool right = e == c->code && (e == 0 ? kind == c->kind : strcmp(err.msg, c->said) == 0);
        if (!right) {
            fprintf(stderr, "choice %zu: %d, kind %d, %s\n", i, e, (int)kind, err.msg);
            exit(1);
        }
    }
}

/* A file that somebody else could have written decides nothing. */
static void test_owner(void) {
    char path[] = "/tmp/moat-settings-XXXXXX";
    struct settings s;
    struct err err = {0};
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, "lock = true\n", 12) == 12);
    CHECK(settings_load("/tmp/moat-settings-none/x", &s, &err) == 0 && !s.lock && s.path[0] == 0);
    CHECK(fchmod(fd, 0644) == 0 && settings_load(path, &s, &err) == 0 && s.lock);
    CHECK(settings_load("/tmp", &s, &err) == -EINVAL);
    if (geteuid() == 0) {
        err = (struct err){0};
        CHECK(fchmod(fd, 0664) == 0 && settings_load(path, &s, &err) == -EPERM);
        CHECK(strstr(err.msg, "can be written by others (mode 664)") != NULL);
        err = (struct err){0};
        CHECK(fchmod(fd, 0644) == 0 && fchown(fd, 1000, 1000) == 0);
        CHECK(settings_load(path, &s, &err) == -EPERM);
        CHECK(strstr(err.msg, "belongs to user 1000") != NULL);
    }
    CHECK(unlink(path) == 0 && close(fd) == 0);
}

/* An annotation reaches images of the bundle, and of the folder that is set aside for them. */
static void test_root_images(void) {
    static const struct {
        const char *conf, *value, *base, *image;
        enum isolation_kind kind;
    } all[] = {
        {"", "r.erofs", "/bundle", "r.erofs", ISOLATION_VM},
        {"vm.images = /img", "/img/a/b", "/img", "a/b", ISOLATION_VM_SENTRY},
        {"", "r.erofs", NULL, NULL, ISOLATION_SENTRY},
        {"", "", NULL, NULL, ISOLATION_VM},
        {"", "/etc/shadow", NULL, NULL, ISOLATION_VM},
        {"vm.images = /img", "/imgs/a", NULL, NULL, ISOLATION_VM},
        {"vm.images = /img", "/img", NULL, NULL, ISOLATION_VM},
    };
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        struct container c = {0};
        struct settings s;
        struct err err;
        CHECK(parse(all[i].conf, &s, &err) == 0);
        int e = settings_root_image(&s, all[i].kind, all[i].value, "/bundle", &c, &err);
        CHECK((e == 0) == (all[i].base != NULL));
        CHECK(e != 0 || (strcmp(c.root_image_base, all[i].base) == 0 &&
                         strcmp(c.root_image, all[i].image) == 0));
        container_free(&c);
    }
}

int main(void) {
    test_bad_files();
    test_good_files();
    test_choices();
    test_owner();
    test_root_images();
    return 0;
}
