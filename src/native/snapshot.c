/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of a checkpoint and the standard streams: see snapshot.h. */
#include "native/snapshot.h"

#include "host/cleanup.h"
#include "oci/json.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define STREAMS     3
#define STREAM_FILE "descriptors.json"

int snapshot_open(const struct isolation_image *how, const char *log_name, struct snapshot *out,
                  struct err *err) {
    *out = (struct snapshot){.how = how, .dir = -1};
    const char *logs = how->work != NULL ? how->work : how->path;
    int n = snprintf(out->log, sizeof(out->log), "%s/%s", logs, log_name);
    if (n < 0 || (size_t)n >= sizeof(out->log)) {
        return err_set(err, -ENAMETOOLONG, "--work-path: the path is too long");
    }
    out->dir = open(how->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return out->dir >= 0 ? 0 : err_sys(err, -errno, "--image-path: cannot open %s", how->path);
}

void snapshot_close(struct snapshot *image) {
    cleanup_fd_fn(&image->dir);
    image->dir = -1;
}

void snapshot_add_pair(struct protobuf_out *options, enum criu_option field, const char *first,
                       const char *second) {
    struct protobuf_out pair = {0};
    protobuf_add_text(&pair, 1, first);
    protobuf_add_text(&pair, 2, second);
    protobuf_add_message(options, field, &pair);
    protobuf_free(&pair);
}

static void add_flag(struct protobuf_out *options, enum criu_option field, bool value) {
    if (value) {
        protobuf_add_number(options, field, 1);
    }
}

/* rpc.proto, enum criu_cg_mode. */
static const uint8_t g_cgroup_modes[] = {[IMAGE_CGROUPS_IGNORE] = 0,
                                         [IMAGE_CGROUPS_SOFT] = 3,
                                         [IMAGE_CGROUPS_FULL] = 4,
                                         [IMAGE_CGROUPS_STRICT] = 5};

void snapshot_add_options(const struct snapshot *image, const struct container *c,
                          const char *log_name, struct protobuf_out *options) {
    const struct isolation_image *how = image->how;
    protobuf_add_number(options, CRIU_IMAGES_DIR_FD, CRIU_IMAGES);
    if (how->work != NULL) {
        protobuf_add_number(options, CRIU_WORK_DIR_FD, CRIU_WORK);
    }
    protobuf_add_text(options, CRIU_LOG_FILE, log_name);
    protobuf_add_number(options, CRIU_LOG_LEVEL, how->debug ? 4 : 3);
    protobuf_add_text(options, CRIU_ROOT, c->rootfs);
    protobuf_add_number(options, CRIU_CGROUPS_MODE, g_cgroup_modes[how->cgroups]);
    protobuf_add_number(options, CRIU_NOTIFY_SCRIPTS, 1);
    protobuf_add_number(options, CRIU_EVASIVE_DEVICES, 1);
    protobuf_add_number(options, CRIU_ORPHAN_PTS_MASTER, 1);
    add_flag(options, CRIU_EXT_UNIX_SK, how->ext_unix_sk);
    add_flag(options, CRIU_TCP_ESTABLISHED, how->tcp_established);
    add_flag(options, CRIU_SHELL_JOB, how->shell_job);
    add_flag(options, CRIU_FILE_LOCKS, how->file_locks);
    add_flag(options, CRIU_AUTO_DEDUP, how->auto_dedup);
    add_flag(options, CRIU_LAZY_PAGES, how->lazy_pages);
    if (how->empty_network) {
        protobuf_add_number(options, CRIU_EMPTY_NAMESPACES, CLONE_NEWNET);
    }
}

/* ---- standard streams ---- */

/* The number behind `key` in /proc/PID/fdinfo/FD. */
static bool mount_of(pid_t pid, int fd, int *out) {
    char path[64], line[128];
    (void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)pid, fd); /* fits */
    FILE *info = fopen(path, "re");
    bool found = false;
    while (info != NULL && !found && fgets(line, sizeof(line), info) != NULL) {
        found = sscanf(line, "mnt_id: %d", out) == 1;
    }
    if (info != NULL) {
        (void)fclose(info); /* only read */
    }
    return found;
}

static bool mount_is_inside(pid_t pid, int id) {
    char path[64];
    char *line = NULL;
    size_t size = 0;
    int one;
    bool found = false;
    (void)snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)pid); /* fits */
    FILE *info = fopen(path, "re");
    while (info != NULL && !found && getline(&line, &size, info) > 0) {
        found = sscanf(line, "%d ", &one) == 1 && one == id;
    }
    free(line);
    if (info != NULL) {
        (void)fclose(info); /* only read */
    }
    return found;
}

/* Files, and the host's null device. */
static bool is_outside_kind(const struct stat *st) {
    return S_ISREG(st->st_mode) || (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3));
}

/*
 * What CRIU calls the stream when it is to be given from outside: "pipe:[N]", which it finds by
 * itself, or "file[MOUNT:INODE]" for a file of the host (criu(8), --external and --inherit-fd);
 * else the path, for people.
 */
static int name_stream(pid_t pid, int fd, char *out, size_t size, bool *out_external) {
    char path[64];
    struct stat st;
    int mount_id;
    (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd); /* fits */
    ssize_t n = readlink(path, out, size - 1);
    *out_external = false;
    if (n < 0) {
        return -errno;
    }
    out[n] = '\0';
    if (out[0] == '/' && stat(path, &st) == 0 && is_outside_kind(&st) &&
        mount_of(pid, fd, &mount_id) && !mount_is_inside(pid, mount_id)) {
        (void)snprintf(out, size, "file[%x:%llx]", (unsigned int)mount_id,
                       (unsigned long long)st.st_ino); /* fits */
        *out_external = true;
    }
    return 0;
}

static int write_streams(const struct snapshot *image, struct json_object *list, struct err *err) {
    const char *text = json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN);
    size_t len = strlen(text);
    (void)unlinkat(image->dir, STREAM_FILE, 0); /* mostly there is none; the open tells */
    cleanup_fd int fd =
        openat(image->dir, STREAM_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd >= 0 && write(fd, text, len) == (ssize_t)len
               ? 0
               : err_sys(err, -errno, "cannot write %s/" STREAM_FILE, image->how->path);
}

int snapshot_add_streams(const struct snapshot *image, pid_t pid, struct protobuf_out *options,
                         struct err *err) {
    struct json_object *list = json_object_new_array();
    int e = list != NULL ? 0 : -ENOMEM;
    for (int fd = 0; fd < STREAMS && e == 0; fd++) {
        char name[4096];
        bool external;
        if (name_stream(pid, fd, name, sizeof(name), &external) != 0) {
            name[0] = '\0'; /* it is closed */
            external = false;
        }
        if (external) {
            protobuf_add_text(options, CRIU_EXTERNAL, name);
        }
        e = json_object_array_add(list, json_object_new_string(name)) == 0 ? 0 : -ENOMEM;
    }
    e = e != 0 ? err_sys(err, e, "cannot note the standard streams")
               : write_streams(image, list, err);
    json_object_put(list);
    return e;
}

int snapshot_inherit_streams(const struct snapshot *image, struct protobuf_out *options,
                             struct err *err) {
    char path[64];
    struct json_object *list = NULL;
    const char *seen[STREAMS] = {NULL};
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/" STREAM_FILE, image->dir); /* fits */
    struct err why = {0};
    int e = json_load(path, &list, &why);
    if (e != 0 || !json_object_is_type(list, json_type_array)) {
        json_object_put(list);
        return err_set(err, e != 0 ? e : -EINVAL,
                       "--image-path %s is no checkpoint of a container: its " STREAM_FILE
                       " cannot be read",
                       image->how->path);
    }
    for (int i = 0; i < STREAMS && (size_t)i < json_object_array_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, (size_t)i);
        const char *name = json_object_get_string(o); /* NULL for null */
        bool given =
            name != NULL && (strncmp(name, "pipe:[", 6) == 0 || strncmp(name, "file[", 5) == 0);
        for (int j = 0; j < i; j++) {
            given = given && (seen[j] == NULL || strcmp(seen[j], name) != 0);
        }
        if (given && name[0] == 'f' && lseek(i, 0, SEEK_CUR) < 0) {
            e = err_set(err, -ESPIPE,
                        "descriptor %d of the checkpoint is a file of the host, and CRIU sets its "
                        "position: give a file again, not a pipe or a terminal",
                        i);
            break;
        }
        if (given) { /* two streams that were one get the first */
            struct protobuf_out inherit = {0};
            seen[i] = name;
            protobuf_add_text(&inherit, 1, name);
            protobuf_add_number(&inherit, 2, CRIU_STREAM(i));
            protobuf_add_message(options, CRIU_INHERIT_FD, &inherit);
            protobuf_free(&inherit);
        }
    }
    json_object_put(list);
    return e;
}
