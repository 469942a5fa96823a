/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine needs before containers: mounts, modules, the way to the host.  See agent.h. */
#include "agent/agent.h"

#include "agent/inside.h"
#include "host/cleanup.h"
#include "native/protect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/virtio_ids.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <syslog.h>

#define LOG_LINE       900 /* the kernel takes no record of 1 KiB (kernel/printk/printk.c) */
#define MODULES        "/modules"
#define PCI_DEVICES    "/sys/bus/pci/devices"
#define VIRTIO_DEVICES "/sys/bus/virtio/devices"
#define PORTS          "/sys/class/virtio-ports"
#define PORT_WAIT_MS   30000 /* without any news of a device */
#define VSOCK_WHERE    "/sys/module/vmw_vsock_virtio_transport"

/* Drivers that are loaded when something is to be done with the device. */
#define LATER ((uint64_t)1 << VIRTIO_ID_NET | (uint64_t)1 << VIRTIO_ID_BALLOON)

static struct {
    unsigned long kind; /* of device, 0: free */
    int fd;
} g_later[8]; /* their modules, in the order of loading */

void boot_log(int level, const char *text) {
    char line[LOG_LINE];
    cleanup_fd int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    int n = snprintf(line, sizeof(line), "<%d>moat-agent: %s", level, text);
    /* One write is one record, which dprintf does not do: it wants to seek first. */
    if (fd >= 0 && write(fd, line, MIN((size_t)n, sizeof(line) - 1)) < 0) {
        return; /* nobody is left to tell */
    }
}

static void say(const char *text) {
    boot_log(LOG_ERR, text);
}

noreturn_fn void boot_off(const char *why) {
    say(why);
    for (;;) {
        (void)reboot(RB_AUTOBOOT); /* a machine without reboots ends */
        (void)usleep(100000);
    }
}

/* The file's memory is of better use: it goes with the descriptor. */
static int open_module(int dir, const char *name) {
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    (void)unlinkat(dir, name, 0);
    return fd;
}

static void load_module(int fd, const char *name) {
    char text[300];
    /* The image has modules of its kernel alone: their symbols' versions are not looked at. */
    int r = (int)syscall(SYS_finit_module, fd, "", MODULE_INIT_IGNORE_MODVERSIONS);
    if (r != 0 && errno == ENOEXEC) { /* a kernel that takes no module without them */
        r = (int)syscall(SYS_finit_module, fd, "", 0);
    }
    if (fd < 0 || (r != 0 && errno != EEXIST)) {
        (void)snprintf(text, sizeof(text), "module %.200s: %s", name, strerror(errno)); /* fits */
        say(text);
    }
}

/* A bit for each kind of virtio device that the machine has (linux/virtio_ids.h). */
static uint64_t virtio_devices(void) {
    uint64_t kinds = 0;
    DIR *dir = opendir(VIRTIO_DEVICES);
    for (struct dirent *d = dir != NULL ? readdir(dir) : NULL; d != NULL; d = readdir(dir)) {
        char path[300], text[16] = "";
        (void)snprintf(path, sizeof(path), VIRTIO_DEVICES "/%.100s/device", d->d_name); /* fits */
        cleanup_fd int fd = d->d_name[0] != '.' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0) {
            unsigned long kind = strtoul(text, NULL, 16);
            kinds |= kind < 64 ? (uint64_t)1 << kind : 0;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir); /* only read */
    }
    return kinds;
}

static void keep_module(int fd, unsigned long kind) {
    for (size_t i = 0; i < ARRAY_COUNT(g_later); i++) {
        if (g_later[i].kind == 0) {
            g_later[i].fd = fd;
            g_later[i].kind = kind;
            return;
        }
    }
    say("too many modules");
}

static bool has_pci(void) {
    bool found = false;
    DIR *dir = opendir(PCI_DEVICES);
    for (struct dirent *d = dir != NULL ? readdir(dir) : NULL; d != NULL && !found;
         d = readdir(dir)) {
        found = d->d_name[0] != '.';
    }
    if (dir != NULL) {
        (void)closedir(dir); /* only read */
    }
    return found;
}

/*
 * The files of `order`, one a line, in that order: "NAME KIND", where KIND is that of the virtio
 * devices which need it, or 0 for what every machine needs.  A bit each: loads those of `now`,
 * opens those of `later`, forgets those of `never`.
 */
static void load_modules(int dir, uint64_t now, uint64_t later, uint64_t never) {
    char list[4096], *save = NULL;
    cleanup_fd int order = openat(dir, "order", O_RDONLY | O_CLOEXEC);
    ssize_t n = order >= 0 ? read(order, list, sizeof(list) - 1) : 0;
    list[n > 0 ? n : 0] = '\0';
    for (char *line = strtok_r(list, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *text = strchr(line, ' ');
        unsigned long kind = text != NULL ? strtoul(text, NULL, 10) % 64 : 0;
        if (text != NULL) {
            *text = '\0';
        }
        if (((now | later | never) >> kind & 1) == 0) {
            continue;
        }
        int fd = open_module(dir, line);
        if ((now >> kind & 1) != 0) {
            load_module(fd, line);
        }
        if ((later >> kind & 1) != 0) {
            keep_module(fd, kind);
        } else {
            cleanup_fd_fn(&fd);
        }
    }
}

void boot_load_driver(uint32_t kind) {
    for (size_t i = 0; i < ARRAY_COUNT(g_later); i++) {
        if (g_later[i].kind == kind) {
            load_module(g_later[i].fd, "of a device");
            cleanup_fd_fn(&g_later[i].fd);
            g_later[i].kind = 0;
        }
    }
}

static void loopback_up(void) {
    struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING, .ifr_name = "lo"};
    cleanup_fd int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0 || ioctl(sock, SIOCSIFFLAGS, &request) != 0) {
        say("cannot set the loopback device up");
    }
}

static void write_file(const char *path, const char *text) {
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) {
        say(path);
    }
}

/* What the kernel keeps free: the rule of mm/page_alloc.c.  For the sake of huge pages it has taken
 * much more (mm/khugepaged.c), a twentieth of a machine, which the container has paid for. */
static void keep_less_free(void) {
    struct sysinfo si = {0};
    char text[32];
    (void)sysinfo(&si); /* cannot fail */
    uint64_t kib = (uint64_t)si.totalram * si.mem_unit / KIB, root = 0;
    while ((root + 1) * (root + 1) <= kib * 16) {
        root++;
    }
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)root); /* fits */
    write_file("/proc/sys/vm/min_free_kbytes", text);
}

/* The initramfs cannot be left by pivot_root(2), which containers need: a file system on top of it
 * can. */
static void leave_initramfs(void) {
    if (mkdir("/top", 0755) != 0 || mount("tmpfs", "/top", "tmpfs", 0, "mode=755") != 0 ||
        chdir("/top") != 0 || mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0) {
        boot_off("cannot leave the initramfs");
    }
}

/* Moves a program out of the initramfs, whose paths end here: to where the agent seems to lie. */
static void keep_program(int initramfs, const char *name) {
    char path[64], buf[65536];
    (void)snprintf(path, sizeof(path), "/%s", name); /* fits */
    cleanup_fd int from = openat(initramfs, name, O_RDONLY | O_CLOEXEC);
    cleanup_fd int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0555);
    ssize_t n = from >= 0 && to >= 0 ? 1 : -1;
    while (n > 0) {
        n = read(from, buf, sizeof(buf));
        n = n > 0 && write(to, buf, (size_t)n) != n ? -1 : n;
    }
    if (n < 0) {
        boot_off("cannot keep the application kernel's programs");
    }
    (void)unlinkat(initramfs, name, 0); /* its memory is of better use */
}

/* So that no container can write to the agent's program by way of a starter's /proc/PID/exe. */
static void lock_initramfs(int root) {
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    if (mount_setattr(root, "", AT_EMPTY_PATH, &attr, sizeof(attr)) != 0) {
        boot_off("cannot make the initramfs read-only");
    }
    protect_binary_not_needed();
}

void boot_machine(void) {
    static const struct {
        const char *source, *target, *type;
        unsigned long flags;
        const char *data;
    } mounts[] = {
        {"devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=755"},
        {"proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
        {"sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
        {"cgroup2", AGENT_CGROUPS, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    };
    cleanup_fd int initramfs = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_fd int modules = open(MODULES, O_PATH | O_DIRECTORY | O_CLOEXEC);
    load_modules(modules, 1, 0, 0); /* by these devices are found */
    leave_initramfs();
    for (size_t i = 0; i < ARRAY_COUNT(mounts); i++) {
        (void)mkdir(mounts[i].target, 0755); /* sysfs has the groups' */
        if (mount(mounts[i].source, mounts[i].target, mounts[i].type, mounts[i].flags,
                  mounts[i].data) != 0) {
            say(mounts[i].target);
        }
    }
    /* Where devices may be plugged in later, all that there are may be needed. */
    uint64_t devices = has_pci() ? UINT64_MAX : virtio_devices();
    /* What a template has loaded, no start has to. */
    uint64_t later = has_pci() ? (uint64_t)1 << VIRTIO_ID_NET : LATER;
    load_modules(modules, devices & ~(later | 1), devices & later, ~devices);
    if (g_inside.own_kernel) {
        (void)mkdir("/dev/pts", 0755);
        if (mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=600") != 0) {
            say("/dev/pts"); /* a container's terminal is one of the machine's */
        }
        keep_program(initramfs, "moat-sentry");
        keep_program(initramfs, "moat-gofer");
    }
    lock_initramfs(initramfs);
    (void)mkdir("/run", 0700); /* of our own root, which is empty */
    (void)mkdir("/tmp", 0700);
    loopback_up();
    keep_less_free();
    write_file(AGENT_CGROUPS "/cgroup.subtree_control", "+cpu +memory +pids +io +cpuset");
}

/* The virtio-serial port of that name: sysfs tells the device's. */
static int open_port(void) {
    DIR *dir = opendir(PORTS);
    int port = -ENODEV;
    for (struct dirent *d = dir != NULL ? readdir(dir) : NULL; d != NULL && port < 0;
         d = readdir(dir)) {
        char path[300], name[64] = "";
        (void)snprintf(path, sizeof(path), PORTS "/%.100s/name", d->d_name); /* fits */
        cleanup_fd int fd = d->d_name[0] != '.' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (fd < 0 || read(fd, name, sizeof(name) - 1) <= 0) {
            continue;
        }
        if (strcmp(name, MOAT_AGENT_PORT "\n") == 0) {
            (void)snprintf(path, sizeof(path), "/dev/%.100s", d->d_name); /* fits */
            port = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
            port = port >= 0 ? port : -errno;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir); /* only read */
    }
    return port;
}

/* The port and its name come by messages of the hypervisor that nothing waits for: the kernel tells
 * of them by events (drivers/char/virtio_console.c). */
static int await_port(void) {
    int port = open_port();
    if (port != -ENODEV) {
        return port;
    }
    const struct sockaddr_nl here = {.nl_family = AF_NETLINK, .nl_groups = 1};
    cleanup_fd int events = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
    if (events < 0 || bind(events, (const struct sockaddr *)&here, sizeof(here)) != 0) {
        return -errno;
    }
    struct pollfd wait = {.fd = events, .events = POLLIN};
    char event[4096];
    while ((port = open_port()) == -ENODEV && poll(&wait, 1, PORT_WAIT_MS) > 0) {
        (void)recv(events, event, sizeof(event), 0); /* that there was one is enough */
    }
    return port;
}

static int open_vsock(void) {
    unsigned int cid = 0;
    cleanup_fd int device = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
    if (device < 0 || ioctl(device, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) != 0) {
        return -errno;
    }
    const struct sockaddr_vm host = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = cid};
    cleanup_fd int sock = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sock < 0 || connect(sock, (const struct sockaddr *)&host, sizeof(host)) != 0 ||
        fcntl(sock, F_SETFL, O_NONBLOCK) != 0) {
        return -errno;
    }
    return steal_fd(&sock);
}

int boot_connect(void) {
    /* Which of the two there is, the loaded modules and the machine's devices decide. */
    int fd = access(VSOCK_WHERE, F_OK) == 0 ? open_vsock() : -ENODEV;
    return fd >= 0 ? fd : await_port();
}

int boot_files(struct err *err) {
    (void)mkdir(AGENT_EXPORTS, 0700); /* the first container's work */
    return mount(MOAT_AGENT_TAG, AGENT_EXPORTS, "virtiofs", MS_NOSUID | MS_NODEV, NULL) == 0
               ? 0
               : err_sys(err, -errno, "the guest cannot mount the host's files");
}
