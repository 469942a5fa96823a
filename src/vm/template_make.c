/* SPDX-License-Identifier: Apache-2.0 */
/* Making templates (template.h), and starting from them. */
#include "host/cleanup.h"
#include "vm/image.h"
#include "vm/jail.h"
#include "vm/machine_parts.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int save_machine(struct machine *m, struct err *err) {
    int status = 0;
    pid_t pid = -1;
    int e = operation_open(&m->operation, m->hypervisor, HYPERVISOR_SAVE, &m->config, m->user, err);
    e = e != 0 ? e : image_open(IMAGE_AGENT_NATIVE, &m->kernel, &m->initramfs, &m->image_lock, err);
    if (e == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, m->agent) != 0) {
        e = err_sys(err, -errno, "cannot make a socket pair");
    }
    e = e != 0 ? e : machine_bridge(m, &pid, err);
    if (pid > 0 && waitpid(pid, &status, 0) != pid && e == 0) {
        e = err_sys(err, -errno, "cannot wait for the machine");
    }
    return e != 0 ? e
                  : template_store(m->operation.place, &m->operation.ram, m->operation.state, err);
}

/* The template for machines of that size, made if it is not there. */
static int make_template(const struct hypervisor_config *size, bool wait, char out_place[PATH_MAX],
                         struct err *err) {
    const struct sandbox_options quiet = {.log_fd = -1};
    struct machine m = {.options = &quiet,
                        .hypervisor = &g_hypervisor_qemu,
                        MACHINE_NONE,
                        .user = jail_user(getpid())};
    operation_init(&m.operation);
    m.config.kvm = size->kvm;
    m.config.cpus = size->cpus;
    m.config.memory = size->memory;
    int e = template_place(m.hypervisor, &m.config, out_place, err);
    cleanup_fd int lock = e != 0 ? -1 : template_lock(out_place, wait, err);
    e = e != 0 ? e : lock < 0 ? lock : 0;
    if (e == 0 && access(out_place, F_OK) != 0) {
        machine_rate_begin(&m);
        e = save_machine(&m, err);
    }
    machine_close(&m);
    return e;
}

int machine_template(const struct container *c, char out_place[PATH_MAX], struct err *err) {
    struct machine m = {.c = c, .hypervisor = &g_hypervisor_qemu, MACHINE_NONE};
    if (geteuid() != 0) {
        return err_set(err, -EPERM, "a template needs root, as isolation vm does");
    }
    int e = machine_size(&m, err);
    return e != 0 ? e : make_template(&m.config, true, out_place, err);
}

void machine_use_template(struct machine *m) {
    struct err why = {0};
    char place[PATH_MAX];
    if (!m->c->vm_template) {
        return;
    }
    int e =
        operation_open(&m->operation, m->hypervisor, HYPERVISOR_RESTORE, &m->config, m->user, &why);
    if (e == -ENOENT && why.code == 0) {
        e = make_template(&m->config, false, place, &why);
        e = e != 0 ? e
                   : operation_open(&m->operation, m->hypervisor, HYPERVISOR_RESTORE, &m->config,
                                    m->user, &why);
    }
    if (e != 0 && why.code != 0 && m->options->log_fd >= 0) {
        dprintf(m->options->log_fd, "vm: no template: %s\n", why.msg);
    }
}
