/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd: tables of /etc/containerd/config.toml (containerd-config.toml(5),
 * docs/cri/config.md).
 *
 * containerd merges imported files plugin by plugin, so that a drop-in with runtimes would take
 * the place of the whole CRI section.  Therefore moat's tables stand at the end of the file itself,
 * between two remarks: TOML lets a table be opened anywhere, and the rest of the file is not
 * touched.
 */
#include "install/engines.h"

#include "host/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FILE_NAME "containerd/config.toml"
#define BEGIN     "# begin moat: written by `moat install`, taken away by `moat install --remove`\n"
#define END       "# end moat\n"

/* The file without moat's part; the blank line before it goes too. */
static char *without_ours(const char *text, const char *path, struct err *err) {
    const char *begin = strstr(text, BEGIN);
    const char *end = begin != NULL ? strstr(begin, END) : NULL;
    char *out = NULL;
    if (begin != NULL && end == NULL) {
        (void)err_set(err, -EINVAL, "%s: the line '%.10s' is missing: take moat's part out by hand",
                      path, END);
        return NULL;
    }
    size_t front = begin != NULL ? (size_t)(begin - text) : strlen(text);
    if (begin != NULL && front >= 2 && begin[-1] == '\n' && begin[-2] == '\n') {
        front--;
    }
    if (asprintf(&out, "%.*s%s", (int)front, text, end != NULL ? end + strlen(END) : "") < 0) {
        (void)err_sys(err, -ENOMEM, "cannot change %s", path);
        return NULL;
    }
    return out;
}

/* The value behind a key that stands at the beginning of a line; NULL when there is none. */
static const char *find_key(const char *text, const char *key) {
    size_t len = strlen(key);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += strspn(line, " \t\n");
        if (strncmp(line, key, len) == 0) {
            const char *value = line + len + strspn(line + len, " \t");
            if (*value == '=') {
                return value + 1 + strspn(value + 1, " \t");
            }
        }
        if (*line == '\0') {
            break;
        }
    }
    return NULL;
}

/* The plugin that knows runtimes, by the version of the file. */
static const char *plugin_of(const char *text, const char *path, struct err *err) {
    const char *version = find_key(text, "version");
    if (version != NULL && *version == '2') {
        return "io.containerd.grpc.v1.cri";
    }
    if (version != NULL && *version == '3') {
        return "io.containerd.cri.v1.runtime";
    }
    (void)err_set(err, -EINVAL,
                  "%s has no 'version = 2' or 3: containerd reads older files in another way; "
                  "'containerd config migrate' shows it in the new one",
                  path);
    return NULL;
}

/* A file that names any runtime takes the place of containerd's own list, which is runc alone and
 * which default_runtime_name points to: without it the plugin would not be loaded any more. */
static void write_runc(const char *plugin, bool systemd, FILE *out) {
    fprintf(out,
            "[plugins.\"%s\".containerd.runtimes.runc]\n"
            "  runtime_type = \"io.containerd.runc.v2\"\n"
            "  [plugins.\"%s\".containerd.runtimes.runc.options]\n"
            "    SystemdCgroup = %s\n",
            plugin, plugin, systemd ? "true" : "false");
}

static void write_tables(const struct install_plan *p, const char *plugin, bool systemd, bool alone,
                         FILE *out) {
    fprintf(out, BEGIN);
    if (alone) {
        write_runc(plugin, systemd, out);
    }
    if (p->make_default) {
        fprintf(out, "[plugins.\"%s\".containerd]\n  default_runtime_name = \"%s\"\n", plugin,
                p->handlers[0].name);
    }
    for (size_t i = 0; i < p->handler_count; i++) {
        const struct install_handler *h = &p->handlers[i];
        fprintf(out,
                "[plugins.\"%s\".containerd.runtimes.\"%s\"]\n"
                "  runtime_type = \"io.containerd.runc.v2\"\n"
                "  pod_annotations = [\"dev.moat.*\"]\n"
                "  container_annotations = [\"dev.moat.*\"]\n"
                "  [plugins.\"%s\".containerd.runtimes.\"%s\".options]\n"
                "    BinaryName = \"%s\"\n"
                "    SystemdCgroup = %s\n",
                plugin, h->name, plugin, h->name, h->program, systemd ? "true" : "false");
    }
    fprintf(out, END);
}

/* A table may be opened once only (TOML v1.0.0 "Table"). */
static int check_names(const struct install_plan *p, const char *rest, const char *path,
                       struct err *err) {
    for (size_t i = 0; i < p->handler_count; i++) {
        static const char *const forms[] = {".runtimes.%s]", ".runtimes.\"%s\"]"};
        for (size_t k = 0; k < ARRAY_COUNT(forms); k++) {
            char table[96];
            (void)snprintf(table, sizeof(table), forms[k], p->handlers[i].name); /* fits */
            if (strstr(rest, table) != NULL) {
                return err_set(err, -EEXIST,
                               "%s has a runtime '%s' already that moat did not write: take its "
                               "tables out first, or leave out --handler %s",
                               path, p->handlers[i].name, p->handlers[i].name);
            }
        }
    }
    if (p->make_default && find_key(rest, "default_runtime_name") != NULL) {
        return err_set(err, -EEXIST,
                       "%s sets default_runtime_name already: change it there, without --default",
                       path);
    }
    return 0;
}

static int build(struct install_plan *p, const char *path, const char *rest, char **out_after,
                 struct err *err) {
    const char *plugin = plugin_of(rest, path, err);
    int e = plugin != NULL ? check_names(p, rest, path, err) : -EINVAL;
    if (e != 0) {
        return e;
    }
    const char *systemd = find_key(rest, "SystemdCgroup");
    const char *disabled = find_key(rest, "disabled_plugins");
    size_t size = 0;
    if (disabled != NULL && strncmp(disabled, "[\"cri\"", 6) == 0) {
        p->warn(p->arg,
                "containerd's plugin cri is disabled (disabled_plugins): Kubernetes needs it");
    }
    FILE *out = open_memstream(out_after, &size);
    if (out == NULL) {
        return err_sys(err, -ENOMEM, "cannot plan %s", path);
    }
    size_t len = strlen(rest);
    fprintf(out, "%s%s%s", rest, len > 0 && rest[len - 1] != '\n' ? "\n" : "", "\n");
    bool alone = strstr(rest, ".containerd.runtimes") == NULL;
    for (size_t i = 0; i < p->handler_count; i++) {
        alone = alone && strcmp(p->handlers[i].name, "runc") != 0;
    }
    write_tables(p, plugin, systemd != NULL && strncmp(systemd, "true", 4) == 0, alone, out);
    return fclose(out) == 0 ? 0 : err_sys(err, -ENOMEM, "cannot plan %s", path);
}

int install_containerd(struct install_plan *p, struct err *err) {
    cleanup_free char *path = NULL;
    cleanup_free char *before = NULL;
    cleanup_free char *rest = NULL;
    cleanup_free char *after = NULL;
    int e = plan_read(p, FILE_NAME, &path, &before, err);
    if (e != 0 || (before == NULL && p->remove)) {
        return e;
    }
    rest = without_ours(before != NULL ? before : "version = 2\n", path, err);
    if (rest == NULL) {
        return err->code;
    }
    e = p->remove ? 0 : build(p, path, rest, &after, err);
    if (e == 0 && p->remove && strcmp(rest, "version = 2\n") != 0) {
        after = steal_ptr(&rest);
    }
    return e != 0
               ? e
               : plan_add_change(p, steal_ptr(&path), steal_ptr(&before), steal_ptr(&after), err);
}
