/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running hooks (OCI runtime specification, config.md "POSIX-platform Hooks" and runtime.md
 * "Lifecycle").  The container's state goes to each on standard input.
 */
#ifndef MOAT_OCI_HOOKS_H
#define MOAT_OCI_HOOKS_H

#include "host/err.h"
#include "oci/spec.h"

/*
 * Runs them in order in the caller's namespaces; `state_json` is what runtime.md "State" shows.
 * The first that fails, cannot be run or passes its timeout (it is killed then) ends the list:
 * -errno with its path, its exit status and the end of its output in *err.
 */
must_check int hooks_run(const struct oci_hook_list *list, const char *state_json, struct err *err);
/* "prestart", "createRuntime", ... */
const char *hook_stage_name(enum hook_stage stage);

#endif
