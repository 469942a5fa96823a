/* SPDX-License-Identifier: Apache-2.0 */
/* What this build can do, as the OCI runtime specification's features.md structures it. */
#ifndef MOAT_OCI_FEATURES_H
#define MOAT_OCI_FEATURES_H

#include <json-c/json.h>

/* A new object, or NULL without memory.  Names come from the tables that config.json is read with;
 * what this host's kernel lacks (seccomp flags) is left out where the structure asks for that.
 * `isolations`: the names of those built in, with commas. */
struct json_object *oci_features(const char *isolations);

#endif
