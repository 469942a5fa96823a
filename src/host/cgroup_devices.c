/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which devices a container may use.
 *
 * The list that counts is: everything denied; linux.resources.devices in its order; what every
 * container has (config-linux.md "Default Devices", and mknod of anything, which gives no access by
 * itself).  The last rule that matches decides.  cgroup v2 takes that as it is (cgroup_bpf.c); the
 * v1 controller knows one default and exceptions from it, in which no hole can be cut, so a list
 * that would need one is refused instead of being applied in part.
 */
#include "host/cgroup_internal.h"

#include "host/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULES_MAX 1024u /* also bounds the program of cgroup v2 */
#define ALL       (CG_DEV_READ | CG_DEV_WRITE | CG_DEV_MKNOD)

/* Numbers of Documentation/admin-guide/devices.txt. */
static const struct cg_device g_default_devices[] = {
    {true, 'c', CG_DEV_MKNOD, -1, -1},
    {true, 'b', CG_DEV_MKNOD, -1, -1},
    {true, 'c', ALL, 1, 3},    /* null */
    {true, 'c', ALL, 1, 8},    /* random */
    {true, 'c', ALL, 1, 7},    /* full */
    {true, 'c', ALL, 5, 0},    /* tty */
    {true, 'c', ALL, 1, 5},    /* zero */
    {true, 'c', ALL, 1, 9},    /* urandom */
    {true, 'c', ALL, 136, -1}, /* pts, the console among them */
    {true, 'c', ALL, 5, 2},    /* ptmx */
    {true, 'c', ALL, 10, 200}, /* net/tun: in other runtimes' lists too */
};

int cg_devices_list(const struct cgroup_resources *r, struct cg_device **out, size_t *out_count,
                    struct err *err) {
    size_t count = 0, defaults = ARRAY_COUNT(g_default_devices);
    if (r->device_count > RULES_MAX) {
        return err_set(err, -E2BIG, "linux.resources.devices has %zu rules, more than %u",
                       r->device_count, RULES_MAX);
    }
    struct cg_device *rules = calloc(1 + r->device_count + defaults, sizeof(*rules));
    if (rules == NULL) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    rules[count++] = (struct cg_device){false, 'a', ALL, -1, -1};
    for (size_t i = 0; i < r->device_count; i++) {
        const struct cgroup_device_rule *d = &r->devices[i];
        uint8_t access = (uint8_t)((d->read ? CG_DEV_READ : 0) | (d->write ? CG_DEV_WRITE : 0) |
                                   (d->mknod ? CG_DEV_MKNOD : 0));
        if ((d->type != 'a' && d->type != 'b' && d->type != 'c') || d->major > INT32_MAX ||
            d->minor > INT32_MAX) {
            free(rules);
            return err_set(err, -EINVAL,
                           "linux.resources.devices[%zu]: no device of type '%c' with numbers "
                           "%lld:%lld",
                           i, d->type, (long long)d->major, (long long)d->minor);
        }
        if (access != 0) {
            rules[count++] =
                (struct cg_device){d->allow, d->type, access, d->major < 0 ? -1 : d->major,
                                   d->minor < 0 ? -1 : d->minor};
        }
    }
    memcpy(rules + count, g_default_devices, sizeof(g_default_devices));
    *out = rules;
    *out_count = count + defaults;
    return 0;
}

/* ---- the v1 controller ---- */

/* A default and the exceptions from it. */
struct exceptions {
    bool allow; /* the default */
    struct cg_device *items;
    size_t count;
};

static void rule_text(const struct cg_device *d, char out[64]) {
    char major[16] = "*", minor[16] = "*";
    if (d->major >= 0) {
        (void)snprintf(major, sizeof(major), "%d", (int)d->major); /* fits */
    }
    if (d->minor >= 0) {
        (void)snprintf(minor, sizeof(minor), "%d", (int)d->minor);
    }
    (void)snprintf(out, 64, "%c %s:%s %s%s%s", d->type, major, minor,
                   d->access & CG_DEV_READ ? "r" : "", d->access & CG_DEV_WRITE ? "w" : "",
                   d->access & CG_DEV_MKNOD ? "m" : "");
}

static bool covers(int64_t wide, int64_t narrow) {
    return wide == -1 || wide == narrow;
}

static bool overlaps(int64_t a, int64_t b) {
    return a == -1 || b == -1 || a == b;
}

/* A rule that says the default: what it names is no exception any more. */
static int exceptions_remove(struct exceptions *x, const struct cg_device *rule, struct err *err) {
    size_t kept = 0;
    for (size_t i = 0; i < x->count; i++) {
        struct cg_device d = x->items[i];
        bool touched = d.type == rule->type && (d.access & rule->access) != 0 &&
                       overlaps(d.major, rule->major) && overlaps(d.minor, rule->minor);
        if (touched && !(covers(rule->major, d.major) && covers(rule->minor, d.minor))) {
            char inner[64], outer[64];
            rule_text(rule, inner);
            rule_text(&d, outer);
            return err_set(err, -EINVAL,
                           "linux.resources.devices: '%s' cannot be taken out of '%s', which the "
                           "devices controller of cgroup v1 cannot do: list what is %s one by one",
                           inner, outer, x->allow ? "denied" : "allowed");
        }
        d.access &= touched ? (uint8_t)~rule->access : ALL;
        if (d.access != 0) {
            x->items[kept++] = d;
        }
    }
    x->count = kept;
    return 0;
}

static void exceptions_add(struct exceptions *x, const struct cg_device *rule) {
    for (size_t i = 0; i < x->count; i++) {
        struct cg_device *d = &x->items[i];
        if (d->type == rule->type && d->major == rule->major && d->minor == rule->minor) {
            d->access |= rule->access;
            return;
        }
    }
    x->items[x->count++] = *rule;
}

static int exceptions_take(struct exceptions *x, const struct cg_device *rule, struct err *err) {
    if (rule->type == 'a' && rule->access == ALL && rule->major < 0 && rule->minor < 0) {
        x->allow = rule->allow;
        x->count = 0;
        return 0;
    }
    for (const char *type = "bc"; *type != '\0'; type++) {
        struct cg_device one = *rule;
        one.type = *type;
        int e = 0;
        if (rule->type != 'a' && rule->type != *type) {
            continue;
        }
        if (rule->allow == x->allow) {
            e = exceptions_remove(x, &one, err);
        } else {
            exceptions_add(x, &one);
        }
        if (e != 0) {
            return e;
        }
    }
    return 0;
}

int cg_devices_v1(const struct cg_dir *d, const struct cg_device *rules, size_t count,
                  struct err *err) {
    struct exceptions x = {.items = calloc(2 * count + 1, sizeof(*rules))};
    cleanup_free struct cg_device *items = x.items;
    int e = items == NULL ? err_set(err, -ENOMEM, "out of memory") : 0;
    for (size_t i = 0; i < count && e == 0; i++) {
        e = exceptions_take(&x, &rules[i], err);
    }
    if (e == 0) {
        e = cg_set(d, x.allow ? "devices.allow" : "devices.deny", err, "a *:* rwm");
    }
    for (size_t i = 0; i < x.count && e == 0; i++) {
        char text[64];
        rule_text(&x.items[i], text);
        e = cg_set(d, x.allow ? "devices.deny" : "devices.allow", err, "%s", text);
    }
    return e;
}
