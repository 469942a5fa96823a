/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups through systemd: a transient scope for each container
 * (org.freedesktop.systemd1(5)), with the limits as properties of the unit so that a reload of
 * systemd keeps them, and the subtree delegated to moat, which writes the rest itself.
 */
#ifndef MOAT_HOST_CGROUP_SYSTEMD_H
#define MOAT_HOST_CGROUP_SYSTEMD_H

#include "host/cgroup_internal.h"
#include "host/dbus.h"

/* Starts the scope with `pid` in it, makes the groups that systemd does not, and fills *out. */
must_check int cg_systemd_create(const struct cg_host *host, const struct cgroup_options *options,
                                 const struct cgroup_resources *resources, pid_t pid,
                                 struct cgroup *out, struct err *err);
/* Tells systemd of changed limits. */
must_check int cg_systemd_update(const struct cgroup *cg, const struct cgroup_resources *resources,
                                 struct err *err);
/* Ends the scope; 0 also when systemd knows it no more. */
must_check int cg_systemd_stop(const struct cgroup *cg, struct err *err);

/* ---- elements of an array of properties, a(sv) (cgroup_systemd_props.c) ---- */

/* Begins one: the caller adds the value of that signature. */
void scope_property(struct dbus_body *b, const char *name, const char *signature);
void scope_property_text(struct dbus_body *b, const char *name, const char *value);
void scope_property_bool(struct dbus_body *b, const char *name, bool value);
void scope_put_limits(struct dbus_body *b, const struct cgroup_resources *r, bool v2);
/* DevicePolicy and DeviceAllow, for v1 alone. */
must_check int scope_put_devices(struct dbus_body *b, const struct cgroup_resources *r,
                                 struct err *err);

#endif
