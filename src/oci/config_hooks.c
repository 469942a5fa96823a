/* SPDX-License-Identifier: Apache-2.0 */
/* "hooks": config.md "POSIX-platform Hooks". */
#include "oci/config_parts.h"

#define HOOKS_MAX 1024u

static const struct oci_field g_hook_fields[] = {
    {.name = "path",
     .read = oci_read_path,
     .offset = offsetof(struct oci_hook, path),
     .required = true},
    {.name = "args", .read = oci_read_texts, .offset = offsetof(struct oci_hook, args)},
    {.name = "env", .read = oci_read_texts, .offset = offsetof(struct oci_hook, env)},
    {.name = "timeout",
     .read = oci_read_u32,
     .offset = offsetof(struct oci_hook, timeout_s),
     .min = 1,
     .max = INT32_MAX},
    {0},
};

#define STAGE(text, stage)                                                                         \
    {                                                                                              \
        .name = text, .read = oci_read_array,                                                      \
        .offset = (stage) * sizeof(struct oci_hook_list) + offsetof(struct oci_hook_list, items),  \
        .count_offset =                                                                            \
            (stage) * sizeof(struct oci_hook_list) + offsetof(struct oci_hook_list, count),        \
        .item_size = sizeof(struct oci_hook), .fields = g_hook_fields, .max = HOOKS_MAX            \
    }

const struct oci_field g_hooks_fields[] = {
    STAGE("prestart", HOOK_PRESTART),
    STAGE("createRuntime", HOOK_CREATE_RUNTIME),
    STAGE("createContainer", HOOK_CREATE_CONTAINER),
    STAGE("startContainer", HOOK_START_CONTAINER),
    STAGE("poststart", HOOK_POSTSTART),
    STAGE("poststop", HOOK_POSTSTOP),
    {0},
};
