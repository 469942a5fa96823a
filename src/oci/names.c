/* SPDX-License-Identifier: Apache-2.0 */
/* Names and numbers: linux/capability.h, getrlimit(2), mount(8). */
#include "oci/names.h"

#include "moat/control.h"

#include <string.h>
#include <sys/capability.h>
#include <sys/resource.h>

int oci_capability(const char *name) {
    cap_value_t value;
    /* libcap knows the names in lower case and takes any. */
    return strncmp(name, "CAP_", 4) == 0 && cap_from_name(name, &value) == 0 ? (int)value : -1;
}

int oci_rlimit(const char *name) {
    static const struct {
        const char *name;
        int resource;
    } names[] = {
        {"AS", RLIMIT_AS},
        {"CORE", RLIMIT_CORE},
        {"CPU", RLIMIT_CPU},
        {"DATA", RLIMIT_DATA},
        {"FSIZE", RLIMIT_FSIZE},
        {"LOCKS", RLIMIT_LOCKS},
        {"MEMLOCK", RLIMIT_MEMLOCK},
        {"MSGQUEUE", RLIMIT_MSGQUEUE},
        {"NICE", RLIMIT_NICE},
        {"NOFILE", RLIMIT_NOFILE},
        {"NPROC", RLIMIT_NPROC},
        {"RSS", RLIMIT_RSS},
        {"RTPRIO", RLIMIT_RTPRIO},
        {"RTTIME", RLIMIT_RTTIME},
        {"SIGPENDING", RLIMIT_SIGPENDING},
        {"STACK", RLIMIT_STACK},
    };
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strncmp(name, "RLIMIT_", 7) == 0 && strcmp(name + 7, names[i].name) == 0) {
            return names[i].resource;
        }
    }
    return -1;
}

bool oci_mount_flag(const char *option, uint32_t *out_set, uint32_t *out_clear) {
    static const struct {
        const char *name;
        uint32_t set, clear;
    } flags[] = {
        {"ro", MOAT_MOUNT_RDONLY, 0},
        {"rw", 0, MOAT_MOUNT_RDONLY},
        {"nosuid", MOAT_MOUNT_NOSUID, 0},
        {"suid", 0, MOAT_MOUNT_NOSUID},
        {"nodev", MOAT_MOUNT_NODEV, 0},
        {"dev", 0, MOAT_MOUNT_NODEV},
        {"noexec", MOAT_MOUNT_NOEXEC, 0},
        {"exec", 0, MOAT_MOUNT_NOEXEC},
        {"noatime", MOAT_MOUNT_NOATIME, 0},
        {"atime", 0, MOAT_MOUNT_NOATIME},
        {"relatime", 0, 0},
        {"norelatime", 0, 0},
        {"strictatime", 0, 0},
        {"defaults", 0, 0},
        {"private", 0, 0},
        {"rprivate", 0, 0},
        {"slave", 0, 0},
        {"rslave", 0, 0},
        {"shared", 0, 0},
        {"rshared", 0, 0},
        {"unbindable", 0, 0},
        {"runbindable", 0, 0},
        {"sync", 0, 0},
        {"async", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        if (strcmp(option, flags[i].name) == 0) {
            *out_set = flags[i].set;
            *out_clear = flags[i].clear;
            return true;
        }
    }
    return false;
}
