/* SPDX-License-Identifier: Apache-2.0 */
/* The planners of install.h, one an engine. */
#ifndef MOAT_INSTALL_ENGINES_H
#define MOAT_INSTALL_ENGINES_H

#include "install/install.h"

must_check int install_docker(struct install_plan *p, struct err *err);
must_check int install_containerd(struct install_plan *p, struct err *err);
must_check int install_podman(struct install_plan *p, struct err *err);
must_check int install_crio(struct install_plan *p, struct err *err);

#endif
