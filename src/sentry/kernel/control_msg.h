/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading control messages (include/moat/control.h).  Pure.
 *
 * Trust: the peer is moat's own host side, and is not trusted here all the same: a message is
 * private to the caller once it was received; every offset and count is checked against its size
 * before anything is used.
 */
#ifndef MOAT_SENTRY_CONTROL_MSG_H
#define MOAT_SENTRY_CONTROL_MSG_H

#include "base/types.h"
#include "moat/control.h"

#include <linux/filter.h>

/* A CREATE or EXEC message, with pointers into it.  All its strings have been checked. */
struct ctl_create {
    const struct moat_ctl_create *fixed;
    const struct moat_ctl_str *argv, *envp;
    const uint32_t *groups;
    const struct moat_ctl_rlimit *rlimits;
    const struct moat_ctl_mount *mounts;
    const struct moat_ctl_str *masked, *readonly;
    const struct moat_ctl_sysctl *sysctls;
    const struct moat_ctl_device *devices;
    const struct sock_filter *seccomp; /* its instructions are not checked yet */
    const char *strings;
    size_t strings_len;
};

/* Magic, version and size.  0 or -EPROTO. */
must_check int ctl_header_check(const void *msg, size_t len, struct moat_ctl_header *out_header);
/* 0 or -EINVAL; `msg` is 8-byte aligned and has passed ctl_header_check. */
must_check int ctl_create_parse(const void *msg, size_t len, struct ctl_create *out);
/* A checked string. */
const char *ctl_string(const struct ctl_create *c, struct moat_ctl_str s);
/* The fixed-size messages: 0 with both ids terminated, or -EINVAL. */
must_check int ctl_ref_check(const struct moat_ctl_ref *ref, size_t len, size_t want);

#endif
