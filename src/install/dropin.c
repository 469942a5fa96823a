/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Engines that read drop-in files: Podman (containers.conf(5), "containers.conf.d") and CRI-O
 * (crio.conf.d(5)).  moat's file is its own, written whole and removed whole.
 */
#include "install/engines.h"

#include "host/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEADER                                                                                     \
    "# Written by `moat install`; `moat install --remove` takes it away.\n"                        \
    "# Changes are lost when it is written again: use a file of your own for them.\n\n"

static void podman_text(const struct install_plan *p, FILE *out) {
    fprintf(out, HEADER "[engine]\n");
    if (p->make_default) {
        fprintf(out, "runtime = \"%s\"\n", p->handlers[0].name);
    }
    fprintf(out, "\n[engine.runtimes]\n");
    for (size_t i = 0; i < p->handler_count; i++) {
        fprintf(out, "\"%s\" = [\"%s\"]\n", p->handlers[i].name, p->handlers[i].program);
    }
}

static void crio_text(const struct install_plan *p, FILE *out) {
    fprintf(out, HEADER);
    if (p->make_default) {
        fprintf(out, "[crio.runtime]\ndefault_runtime = \"%s\"\n\n", p->handlers[0].name);
    }
    for (size_t i = 0; i < p->handler_count; i++) {
        const struct install_handler *h = &p->handlers[i];
        fprintf(out,
                "[crio.runtime.runtimes.\"%s\"]\n"
                "runtime_path = \"%s\"\n"
                "runtime_type = \"oci\"\n"
                "runtime_root = \"/run/moat\"\n"
                "allowed_annotations = [\"dev.moat.isolation\", \"dev.moat.overlay\"]\n%s",
                h->name, h->program, i + 1 < p->handler_count ? "\n" : "");
    }
}

static int plan_file(struct install_plan *p, const char *name,
                     void (*write_text)(const struct install_plan *p, FILE *out), struct err *err) {
    cleanup_free char *path = NULL;
    cleanup_free char *before = NULL;
    cleanup_free char *after = NULL;
    size_t size = 0;
    int e = plan_read(p, name, &path, &before, err);
    if (e != 0) {
        return e;
    }
    if (!p->remove) {
        FILE *out = open_memstream(&after, &size);
        if (out == NULL) {
            return err_sys(err, -ENOMEM, "cannot plan %s", path);
        }
        write_text(p, out);
        if (fclose(out) != 0) {
            return err_sys(err, -ENOMEM, "cannot plan %s", path);
        }
    }
    return plan_add_change(p, steal_ptr(&path), steal_ptr(&before), steal_ptr(&after), err);
}

int install_podman(struct install_plan *p, struct err *err) {
    return plan_file(p, "containers/containers.conf.d/50-moat.conf", podman_text, err);
}

int install_crio(struct install_plan *p, struct err *err) {
    return plan_file(p, "crio/crio.conf.d/50-moat.conf", crio_text, err);
}
