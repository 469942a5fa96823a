/* SPDX-License-Identifier: Apache-2.0 */
/* What engines really write (tests/oci/configs) is accepted without a word. */
#include "oci_fixture.h"

#include <string.h>

static bool ends_with(const char *text, const char *end) {
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static int load(const char *path, const struct oci_reading *how, const char *text, size_t len,
                struct err *err) {
    struct container c = {0};
    struct cgroup_resources r = {0};
    int e;
    if (ends_with(path, ".process.json")) {
        e = oci_process_parse(how, text, len, &c.process, err);
        CHECK(e != 0 || c.process.args.count > 0);
    } else if (ends_with(path, ".resources.json")) {
        e = oci_resources_parse(how, text, len, &r, err);
        CHECK(e != 0 || r.memory.limit.set);
        CHECK(e != 0 || !r.memory.kernel.set); /* 0: not asked for */
    } else {
        e = oci_config_parse(how, text, len, &c, err);
        CHECK(e != 0 || c.mount_count > 3);
    }
    container_free(&c);
    cgroup_resources_free(&r);
    return e;
}

/* Older `runc spec` asks for ambient capabilities that the kernel cannot give. */
static void warn(void *arg, const char *message) {
    if (strstr(arg, "runc-spec") != NULL &&
        strncmp(message, "process.capabilities.ambient: ", 30) == 0) {
        return;
    }
    fprintf(stderr, "%s: warning: %s\n", (const char *)arg, message);
    exit(1);
}

int main(int argc, char **argv) {
    CHECK(argc > 5);
    for (int i = 1; i < argc; i++) {
        const struct oci_reading how = {.bundle = "/usr", .warn = warn, .arg = argv[i]};
        struct err err = {0};
        char *text = NULL;
        size_t len = 0;
        CHECK(oci_text_load(argv[i], &text, &len, &err) == 0);
        if (load(argv[i], &how, text, len, &err) != 0) {
            fprintf(stderr, "%s: %s\n", argv[i], err.msg);
            return 1;
        }
        free(text);
    }
    return 0;
}
