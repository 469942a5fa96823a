/* SPDX-License-Identifier: Apache-2.0 */
/* Security labels: AppArmor profiles and SELinux contexts. */
#ifndef MOAT_NATIVE_LSM_H
#define MOAT_NATIVE_LSM_H

#include "host/err.h"
#include "oci/isolation.h"

enum lsm_label { LSM_NONE, LSM_APPARMOR, LSM_SELINUX };

/* The label that the process asks for, NULL and LSM_NONE when there is none or its module is not
 * active here. */
const char *lsm_label(const struct container_process *p, enum lsm_label *out_kind);
/* linux.mountLabel where SELinux is active, else NULL; asked in the parent. */
const char *lsm_mount_label(const struct container *c);
/* What a new file system of that type gets as its option `context`, or NULL; label may be NULL. */
const char *lsm_mount_context(const char *label, const char *fstype);
/* Labels the root of a file system that takes no such option but can be labelled: mqueue. */
must_check int lsm_label_root(int mnt, const char *label, const char *fstype, struct err *err);
/* Keys that this process makes from now on get the label that LSM_OPEN opened the file for; with
 * NULL its own again. */
struct setup;
must_check int lsm_label_keys(const struct setup *s, const char *label, struct err *err);
/* In the parent: -ENOTSUP with *err for an AppArmor profile that this host cannot enforce; a
 * warning for an SELinux label, which engines give also where SELinux is off. */
must_check int lsm_check(const struct container_process *p, const struct isolation_setup *how,
                         struct err *err);

#endif
