/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving and restoring machines of QEMU, by its monitor: see hypervisor.h.  Source: QEMU's QMP
 * reference (migrate, migrate-set-capabilities, migrate-incoming, device_add, cont).
 *
 * x-ignore-shared leaves memory out of the state, as that is a file which others copy.  A device of
 * a vhost-user server cannot be in a saved machine at all, so none is: what a container needs is
 * plugged into free PCI ports between restoring and running.
 */
#include "vm/qemu_control.h"

#include "moat/agent.h"
#include "vm/qmp.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct qmp g_qmp; /* too large for a stack; one a process */

static int begin(int control, struct err *err) {
    int e = qmp_open(&g_qmp, control, err);
    return e != 0
               ? e
               : qmp_run(&g_qmp,
                         "{\"execute\":\"migrate-set-capabilities\",\"arguments\":"
                         "{\"capabilities\":[{\"capability\":\"x-ignore-shared\",\"state\":true},"
                         "{\"capability\":\"events\",\"state\":true}]}}",
                         err);
}

static int migrate(const char *command, int state_fd, struct err *err) {
    char text[128];
    (void)snprintf(text, sizeof(text), "{\"execute\":\"%s\",\"arguments\":{\"uri\":\"fd:state\"}}",
                   command); /* fits */
    int e = qmp_give(&g_qmp, "state", state_fd, err);
    e = e != 0 ? e : qmp_run(&g_qmp, text, err);
    return e != 0 ? e : qmp_await_migration(&g_qmp, err);
}

int qemu_save(int control, int state_fd, struct err *err) {
    char end;
    int e = begin(control, err);
    e = e != 0 ? e : qmp_run(&g_qmp, "{\"execute\":\"stop\"}", err);
    e = e != 0 ? e : migrate("migrate", state_fd, err);
    e = e != 0 ? e : qmp_run(&g_qmp, "{\"execute\":\"quit\"}", err);
    while (e == 0 && read(control, &end, 1) > 0) { /* its last words, until it is gone */
    }
    return e;
}

static int plug(unsigned int port, const char *device, struct err *err) {
    char text[256];
    (void)snprintf(text, sizeof(text),
                   "{\"execute\":\"device_add\",\"arguments\":{\"bus\":\"port%u\",%s}}", port,
                   device); /* fits */
    return qmp_run(&g_qmp, text, err);
}

/* Interfaces may be there only now, so their number is not known here: until there is none. */
static void plug_network(unsigned int port) {
    for (unsigned int i = 0; port < HYPERVISOR_PORTS; i++, port++) {
        static const uint8_t mac[6] = MOAT_NET_DEVICE_MAC;
        char text[160];
        struct err none = {0};
        (void)snprintf(text, sizeof(text),
                       "\"driver\":\"virtio-net-pci\",\"netdev\":\"net%u\",\"romfile\":\"\","
                       "\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\"",
                       i, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5] + i); /* fits */
        if (plug(port, text, &none) != 0) {
            return;
        }
    }
}

int qemu_restore(int control, int state_fd, const struct hypervisor_config *c, struct err *err) {
    unsigned int port = 0;
    int e = begin(control, err);
    e = e != 0 ? e : migrate("migrate-incoming", state_fd, err);
    if (e == 0 && c->files_fd >= 0) {
        e = plug(port++,
                 "\"driver\":\"vhost-user-fs-pci\",\"chardev\":\"files\",\"queue-size\":1024,"
                 "\"tag\":\"" MOAT_AGENT_TAG "\"",
                 err);
    }
    if (e == 0 && c->disk_fd >= 0) {
        e = plug(port++, "\"driver\":\"virtio-blk-pci\",\"drive\":\"root\"", err);
    }
    if (e == 0 && c->network) {
        plug_network(port);
    }
    return e;
}

int qemu_run(struct err *err) {
    return qmp_run(&g_qmp, "{\"execute\":\"cont\"}", err);
}

void qemu_quit(int control) {
    static const char quit[] = "{\"execute\":\"quit\"}\n";
    (void)!send(control, quit, sizeof(quit) - 1, MSG_NOSIGNAL); /* it may be gone already */
}
