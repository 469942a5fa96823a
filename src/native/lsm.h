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
/* linux.mountLabel where SELinux is active, else NULL. */
const char *lsm_mount_context(const struct container *c);
/* In the parent: -ENOTSUP with *err for an AppArmor profile that this host cannot enforce; a
 * warning for an SELinux label, which engines give also where SELinux is off. */
must_check int lsm_check(const struct container_process *p, const struct isolation_setup *how,
                         struct err *err);

#endif
