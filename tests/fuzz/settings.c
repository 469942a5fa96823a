/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: any bytes as moat.conf.  Whatever is accepted leaves a choice that is allowed. */
#include "fuzz.h"

#include "oci/settings.h"

#include <errno.h>

static void require(bool holds) {
    if (!holds) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const asked[] = {NULL, "native", "sentry", "vm", "vm+sentry"};
    struct settings s;
    struct err err = {0};
    int e = settings_parse("moat.conf", (const char *)data, size, &s, &err);
    require((e != 0) == (err.msg[0] != '\0'));
    for (size_t i = 0; e == 0 && i < ARRAY_COUNT(asked); i++) {
        const struct settings_request by_annotation = {.annotation = asked[i]};
        const struct settings_request by_option = {.option = asked[i]};
        enum isolation_kind kind;
        err = (struct err){0};
        if (settings_choose(&s, &by_annotation, &kind, &err) == 0) {
            require((s.allowed >> kind & 1) != 0);
            require(s.annotation != SETTINGS_STRONGER || kind >= s.isolation);
        }
        err = (struct err){0};
        if (settings_choose(&s, &by_option, &kind, &err) == 0) {
            require((s.allowed >> kind & 1) != 0);
        }
        require(!s.lock || s.allowed == 1u << s.isolation);
    }
    return 0;
}
