/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's arguments: see hypervisor.h.  Sources: qemu(1), docs/system/i386/microvm.rst.
 *
 * Nothing that the container's owner chose is in them but two numbers, cpus and memory.
 */
#include "vm/hypervisor.h"

#include "moat/agent.h"
#include "vm/qemu_control.h"
#include "vm/ram.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static int add(struct strlist *out, int e, const char *format, ...) printf_like(3, 4);

/* Appends one argument unless e says that an earlier one failed. */
static int add(struct strlist *out, int e, const char *format, ...) {
    char text[512];
    va_list args;
    if (e != 0) {
        return e;
    }
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return n < (int)sizeof(text) ? strlist_add(out, text) : -ENAMETOOLONG;
}

/*
 * What the guest's kernel is told.  An emulated processor has no clock to measure its cycles by,
 * and nothing to hide by mitigations: its speculation is that of the hypervisor's process.  That
 * the kernel clears memory at each allocation, a hardening, takes a tenth of an emulated start.
 * (The machine has an RTC because a kernel that finds none waits two and a half seconds for it.)
 */
static int add_command_line(struct strlist *out, const struct hypervisor_config *c, int e) {
    char clock[120] = "";
    if (!c->kvm) {
        (void)snprintf(
            clock, sizeof(clock),
            " mitigations=off init_on_alloc=0 no_timer_check tsc=reliable tsc_early_khz=%llu",
            (unsigned long long)c->tsc_khz); /* fits */
    }
    e = add(out, e, "-append");
    return add(out, e,
               "%s panic=-1 reboot=t random.trust_cpu=on cgroup_no_v1=all "
               "rcupdate.rcu_expedited=1 cryptomgr.notests 8250.nr_uarts=%d%s",
               c->console_fd >= 0 ? "console=ttyS0" : "quiet loglevel=0",
               c->console_fd >= 0 ? 1 : 0, clock);
}

/* The root's image: the descriptor can only read, and there is no path to anything else. */
static int add_disk(struct strlist *out, const struct hypervisor_config *c, int e) {
    if (c->disk_fd < 0) {
        return e;
    }
    e = add(out, e, "-add-fd");
    e = add(out, e, "fd=%d,set=2", c->disk_fd);
    e = add(out, e, "-blockdev");
    e = add(out, e,
            "driver=raw,node-name=root,read-only=on,file.driver=file,file.read-only=on,"
            "file.locking=off,file.filename=/dev/fdset/2");
    if (c->mode == HYPERVISOR_BOOT) {
        e = add(out, e, "-device");
        e = add(out, e, "virtio-blk-device,drive=root");
    }
    return e;
}

/* Free PCI ports.  What is in them has power at once, so that the guest has only to look. */
static int add_ports(struct strlist *out, const struct hypervisor_config *c, int e) {
    if (c->mode == HYPERVISOR_BOOT) {
        return e;
    }
    e = add(out, e, "-chardev");
    e = add(out, e, "socket,id=control,fd=%d", c->control_fd);
    e = add(out, e, "-mon");
    e = add(out, e, "chardev=control,mode=control");
    for (unsigned int i = 0; i < HYPERVISOR_PORTS; i++) {
        e = add(out, e, "-device");
        e = add(out, e, "pcie-root-port,id=port%u,chassis=%u,power_controller_present=off", i,
                i + 1);
    }
    return e;
}

/* The way to the agent. */
static int add_agent(struct strlist *out, const struct hypervisor_config *c, int e) {
    if (c->vsock_fd >= 0) {
        e = add(out, e, "-device");
        return add(out, e, "vhost-vsock-device,guest-cid=%u,vhostfd=%d", c->cid, c->vsock_fd);
    }
    e = add(out, e, "-chardev");
    e = add(out, e, "socket,id=agent,fd=%d", c->agent_fd);
    e = add(out, e, "-device");
    e = add(out, e, "virtio-serial-device,max_ports=2");
    e = add(out, e, "-device");
    return add(out, e, "virtserialport,chardev=agent,nr=1,name=" MOAT_AGENT_PORT);
}

static int add_devices(struct strlist *out, const struct hypervisor_config *c, int e) {
    e = add_disk(out, c, e);
    e = add_ports(out, c, e);
    if (c->files_fd >= 0) {
        e = add(out, e, "-chardev");
        e = add(out, e, "socket,id=files,fd=%d", c->files_fd);
        if (c->mode == HYPERVISOR_BOOT) {
            e = add(out, e, "-device");
            e = add(out, e,
                    "vhost-user-fs-device,chardev=files,queue-size=1024,tag=" MOAT_AGENT_TAG);
        }
    }
    e = add_agent(out, c, e);
    e = add(out, e, "-device");
    e = add(out, e, "virtio-balloon-device,free-page-reporting=on");
    for (uint32_t i = 0; i < c->nic_count; i++) {
        static const uint8_t mac[6] = MOAT_NET_DEVICE_MAC;
        e = add(out, e, "-netdev");
        e = add(out, e, "tap,id=net%u,fd=%d,vhost=off", i, c->nic_fds[i]);
        if (c->mode == HYPERVISOR_RESTORE) {
            continue; /* they are plugged in */
        }
        e = add(out, e, "-device");
        e = add(out, e, "virtio-net-device,netdev=net%u,mac=%02x:%02x:%02x:%02x:%02x:%02x", i,
                mac[0], mac[1], mac[2], mac[3], mac[4], mac[5] + i);
    }
    if (c->console_fd >= 0) {
        e = add(out, e, "-chardev");
        e = add(out, e, "socket,id=console,fd=%d", c->console_fd);
        e = add(out, e, "-serial");
        e = add(out, e, "chardev:console");
    }
    return e;
}

static int qemu_arguments(const struct hypervisor_config *c, struct strlist *out) {
    unsigned long long mib = c->memory / MIB;
    static const char *const fixed[] = {
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
        "-monitor",
        "none",
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-global",
        "virtio-mmio.force-legacy=false"};
    int e = add(out, 0, "%s", g_hypervisor_qemu.program);
    e = add(out, e, "-M");
    e = add(out, e, "microvm,acpi=on,rtc=on,usb=off,pcie=%s,isa-serial=%s,memory-backend=memory",
            c->mode == HYPERVISOR_BOOT ? "off" : "on", c->console_fd >= 0 ? "on" : "off");
    e = add(out, e, "-accel");
    /* Translated code grows to a GiB otherwise: what a program leaves is of no use to the next. */
    e = add(out, e, "%s", c->kvm ? "kvm" : "tcg,thread=multi,tb-size=64");
    e = add(out, e, "-cpu");
    /* An emulated "rep movsb" goes byte by byte; without erms the kernel has better loops. */
    e = add(out, e, "%s", c->kvm ? "host" : "max,-erms");
    e = add(out, e, "-smp");
    e = add(out, e, "%u", c->cpus);
    e = add(out, e, "-m");
    e = add(out, e, "%lluM", mib);
    e = add(out, e, "-object");
    e = c->mode == HYPERVISOR_BOOT
            ? add(out, e, "memory-backend-memfd,id=memory,size=%lluM,share=on", mib)
            : add(out, e,
                  "memory-backend-file,id=memory,size=%lluM,share=on,"
                  "mem-path=" HYPERVISOR_RAM "/" RAM_FILE,
                  mib);
    for (size_t i = 0; i < ARRAY_COUNT(fixed); i++) {
        e = add(out, e, "%s", fixed[i]);
    }
    e = add_devices(out, c, e);
    if (c->mode == HYPERVISOR_RESTORE) { /* a kernel is in its memory already */
        e = add(out, e, "-incoming");
        return add(out, e, "defer");
    }
    e = add(out, e, "-kernel");
    e = add(out, e, HYPERVISOR_KERNEL);
    e = add(out, e, "-initrd");
    e = add(out, e, HYPERVISOR_INITRAMFS);
    return add_command_line(out, c, e);
}

const struct hypervisor_ops g_hypervisor_qemu = {.name = "qemu",
                                                 .program = "/usr/bin/qemu-system-x86_64",
                                                 .arguments = qemu_arguments,
                                                 .save = qemu_save,
                                                 .restore = qemu_restore,
                                                 .run = qemu_run,
                                                 .quit = qemu_quit};
