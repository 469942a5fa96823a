/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands that handle containers share. */
#include "cli/cli.h"
#include "host/userns.h"
#include "native/native.h"
#include "oci/annotations.h"
#include "oci/settings.h"
#include "sandbox/sentry.h"
#include "vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct isolation_ops *const g_isolations[] = {&g_isolation_sentry, &g_isolation_native,
                                                    &g_isolation_vm, &g_isolation_vm_sentry, NULL};

static void warn(void *arg, const char *message) {
    cli_report(arg, "warning", message);
}

bool cli_is_rootless(void) {
    return geteuid() != 0 || !userns_is_first();
}

struct runtime cli_runtime(const struct cli_globals *globals) {
    bool asked = globals->rootless != NULL && strcmp(globals->rootless, "auto") != 0;
    return (struct runtime){
        .root = globals->root,
        .default_root = globals->default_root,
        .isolations = g_isolations,
        .systemd_cgroup = globals->systemd_cgroup,
        .rootless = asked ? strcmp(globals->rootless, "true") == 0 : cli_is_rootless(),
        .log_fd = -1,
        .debug = globals->debug,
        .log_json = globals->log_format != NULL && strcmp(globals->log_format, "json") == 0,
        .warn = warn,
        .arg = (void *)(uintptr_t)globals,
    };
}

static const struct isolation_ops *find_isolation(const char *name) {
    for (const struct isolation_ops *const *ops = g_isolations; *ops != NULL; ops++) {
        if (strcmp((*ops)->name, name) == 0) {
            return *ops;
        }
    }
    return NULL;
}

int cli_apply_settings(const struct cli_globals *globals, const char *option, const char *bundle,
                       struct container *c, const struct isolation_ops **out, struct err *err) {
    const struct oci_reading reading = {
        .bundle = "/", .warn = warn, .arg = (void *)(uintptr_t)globals};
    const struct settings_request request = {
        .option = option,
        .annotation = oci_key_values_get(&c->annotations, "dev.moat.isolation"),
        .program = globals->program};
    struct settings s;
    enum isolation_kind kind = ISOLATION_SENTRY;
    int e = settings_load(SETTINGS_PATH, &s, err);
    e = e != 0 ? e : settings_choose(&s, &request, &kind, err);
    if (e != 0) {
        return e;
    }
    *out = find_isolation(isolation_kind_name(kind));
    if (*out == NULL) {
        return err_set(err, -EOPNOTSUPP, "isolation '%s' is not part of this build: choose another",
                       isolation_kind_name(kind));
    }
    const char *image = oci_key_values_get(&c->annotations, "dev.moat.vm.root-image");
    c->vm_template = s.vm_template;
    c->vm_vsock = s.vm_vsock;
    c->overlay = s.overlay;
    c->platform = s.platform;
    c->handover = s.handover;
    c->vm_files = s.vm_files;
    c->vm_start_timeout_s = s.vm_start_timeout_s;
    c->vm_answer_timeout_s = s.vm_answer_timeout_s;
    e = image != NULL ? settings_root_image(&s, kind, image, bundle, c, err) : 0;
    return e != 0 ? e : oci_annotations_apply(&reading, c, err);
}

int cli_open_log(const struct cli_globals *globals, bool wanted, int *out_fd, struct err *err) {
    *out_fd = -1;
    if (globals->log != NULL && (wanted || globals->debug)) {
        *out_fd = open(globals->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (*out_fd < 0) {
            return err_sys(err, -errno, "cannot open the log %s", globals->log);
        }
    }
    return 0;
}

/* From passwd(5) alone: moat is linked statically, where other sources of names cannot be loaded.
 */
const char *cli_owner_name(uint32_t uid) {
    static char name[64]; /* of the last one asked for: mostly all have the same */
    static uint32_t known = UINT32_MAX;
    if (uid == known && name[0] != '\0') {
        return name;
    }
    known = uid;
    FILE *file = fopen("/etc/passwd", "re");
    (void)snprintf(name, sizeof(name), "#%u", uid); /* fits */
    for (const struct passwd *who; file != NULL && (who = fgetpwent(file)) != NULL;) {
        if (who->pw_uid == uid) {
            (void)snprintf(name, sizeof(name), "%s", who->pw_name); /* a cut name is still one */
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file); /* read-only */
    }
    return name;
}
