/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The config.json that `moat spec` writes: a shell in ./rootfs.  Mounts, capabilities, masked and
 * read-only paths and namespaces are those that `runc spec` writes, so that either can be used for
 * the other; nothing in it needs a certain isolation.
 */
#include "host/cleanup.h"
#include "oci/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char g_process[] =
    "{\n"
    "  \"ociVersion\": \"1.2.0\",\n"
    "  \"process\": {\n"
    "    \"terminal\": true,\n"
    "    \"user\": { \"uid\": 0, \"gid\": 0 },\n"
    "    \"args\": [ \"sh\" ],\n"
    "    \"env\": [ \"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\", "
    "\"TERM=xterm\" ],\n"
    "    \"cwd\": \"/\",\n"
    "    \"capabilities\": {\n"
    "      \"bounding\": [ \"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\" ],\n"
    "      \"effective\": [ \"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\" ],\n"
    "      \"permitted\": [ \"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\" ]\n"
    "    },\n"
    "    \"rlimits\": [ { \"type\": \"RLIMIT_NOFILE\", \"hard\": 1024, \"soft\": 1024 } ],\n"
    "    \"noNewPrivileges\": true\n"
    "  },\n"
    "  \"root\": { \"path\": \"rootfs\", \"readonly\": true },\n"
    "  \"hostname\": \"moat\",\n"
    "  \"mounts\": [\n"
    "    { \"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\" },\n"
    "    { \"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\",\n"
    "      \"options\": [ \"nosuid\", \"strictatime\", \"mode=755\", \"size=65536k\" ] },\n";

/* A group "tty" exists only where all of the host's ids do. */
static const char g_pts[] =
    "    { \"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\",\n"
    "      \"options\": [ \"nosuid\", \"noexec\", \"newinstance\", \"ptmxmode=0666\", "
    "\"mode=0620\"%s ] },\n";

static const char g_mounts[] =
    "    { \"destination\": \"/dev/shm\", \"type\": \"tmpfs\", \"source\": \"shm\",\n"
    "      \"options\": [ \"nosuid\", \"noexec\", \"nodev\", \"mode=1777\", \"size=65536k\" ] },\n"
    "    { \"destination\": \"/dev/mqueue\", \"type\": \"mqueue\", \"source\": \"mqueue\",\n"
    "      \"options\": [ \"nosuid\", \"noexec\", \"nodev\" ] },\n";

static const char g_sys[] =
    "    { \"destination\": \"/sys\", \"type\": \"sysfs\", \"source\": \"sysfs\",\n"
    "      \"options\": [ \"nosuid\", \"noexec\", \"nodev\", \"ro\" ] },\n"
    "    { \"destination\": \"/sys/fs/cgroup\", \"type\": \"cgroup\", \"source\": \"cgroup\",\n"
    "      \"options\": [ \"nosuid\", \"noexec\", \"nodev\", \"relatime\", \"ro\" ] }\n"
    "  ],\n";

/* The network namespace is the caller's, whose sysfs an ordinary user cannot mount. */
static const char g_sys_rootless[] =
    "    { \"destination\": \"/sys\", \"type\": \"none\", \"source\": \"/sys\",\n"
    "      \"options\": [ \"rbind\", \"nosuid\", \"noexec\", \"nodev\", \"ro\" ] }\n"
    "  ],\n";

static const char g_linux[] =
    "  \"linux\": {\n"
    "    \"resources\": { \"devices\": [ { \"allow\": false, \"access\": \"rwm\" } ] },\n"
    "    \"namespaces\": [ { \"type\": \"pid\" }, { \"type\": \"network\" }, { \"type\": \"ipc\" "
    "},\n"
    "                    { \"type\": \"uts\" }, { \"type\": \"mount\" }, { \"type\": \"cgroup\" } "
    "],\n";

static const char g_linux_rootless[] =
    "  \"linux\": {\n"
    "    \"uidMappings\": [ { \"containerID\": 0, \"hostID\": %u, \"size\": 1 } ],\n"
    "    \"gidMappings\": [ { \"containerID\": 0, \"hostID\": %u, \"size\": 1 } ],\n"
    "    \"namespaces\": [ { \"type\": \"pid\" }, { \"type\": \"ipc\" }, { \"type\": \"uts\" },\n"
    "                    { \"type\": \"mount\" }, { \"type\": \"cgroup\" }, { \"type\": \"user\" } "
    "],\n";

static const char g_paths[] =
    "    \"maskedPaths\": [ \"/proc/acpi\", \"/proc/asound\", \"/proc/kcore\", \"/proc/keys\",\n"
    "                     \"/proc/latency_stats\", \"/proc/timer_list\", \"/proc/timer_stats\",\n"
    "                     \"/proc/sched_debug\", \"/sys/firmware\", \"/proc/scsi\" ],\n"
    "    \"readonlyPaths\": [ \"/proc/bus\", \"/proc/fs\", \"/proc/irq\", \"/proc/sys\", "
    "\"/proc/sysrq-trigger\" ]\n"
    "  }\n"
    "}\n";

static void write_text(FILE *out, bool rootless) {
    (void)fputs(g_process, out); /* errors: ferror, by the caller */
    (void)fprintf(out, g_pts, rootless ? "" : ", \"gid=5\"");
    (void)fputs(g_mounts, out);
    (void)fputs(rootless ? g_sys_rootless : g_sys, out);
    if (rootless) {
        (void)fprintf(out, g_linux_rootless, (unsigned)geteuid(), (unsigned)getegid());
    } else {
        (void)fputs(g_linux, out);
    }
    (void)fputs(g_paths, out);
}

int oci_config_write_default(const char *bundle, bool rootless, struct err *err) {
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/config.json", bundle);
    if (n < 0 || (size_t)n >= sizeof(path)) {
        return err_set(err, -ENAMETOOLONG, "the bundle's path is too long");
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        return err_sys(err, -errno, "cannot write %s", path);
    }
    FILE *out = fdopen(fd, "w");
    if (out == NULL) {
        (void)close(fd); /* nothing was written */
        return err_sys(err, -ENOMEM, "cannot write %s", path);
    }
    write_text(out, rootless);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        return err_sys(err, -EIO, "cannot write %s", path);
    }
    return 0;
}
