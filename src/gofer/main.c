/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moat-gofer DESCRIPTOR: set-up from struct moat_gofer_config, confinement, service.
 * Exit status 0 when the client ended, 1 when it could not start or go on (one line on standard
 * error says why).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/types.h"
#include "channel.h"
#include "confine.h"
#include "gofer.h"
#include "ops.h"
#include "vhost.h"

#define NOFILE_WISH 65536u

static int fail(const struct gofer *g, const char *what, int err) {
    gofer_log(g, "moat-gofer: %s: %s", what, strerror(-err));
    return 1;
}

static int read_config(int argc, char **argv, struct moat_gofer_config *out) {
    if (argc != 2) {
        return -EINVAL;
    }
    char *end;
    long fd = strtol(argv[1], &end, 10);
    if (*end != '\0' || fd < 0 || fd > INT32_MAX) {
        return -EINVAL;
    }
    ssize_t got = pread((int)fd, out, sizeof(*out), 0);
    (void)close((int)fd); /* read */
    if (got != (ssize_t)sizeof(*out) || out->magic != MOAT_GOFER_MAGIC ||
        out->version != MOAT_GOFER_VERSION || out->size != sizeof(*out) || out->export_count == 0 ||
        out->export_count > MOAT_GOFER_EXPORTS_MAX || out->client > MOAT_GOFER_VHOST) {
        return -EPROTO;
    }
    return 0;
}

static int compare_ints(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Closes every descriptor but ours. */
static int close_others(const struct gofer *g) {
    int keep[2 * MOAT_GOFER_EXPORTS_MAX + 4], count = 0;
    for (uint32_t i = 0; i < g->export_count; i++) {
        keep[count++] = g->exports[i].dir_fd;
        if (g->exports[i].file_fd >= 0) {
            keep[count++] = g->exports[i].file_fd;
        }
    }
    keep[count++] = g->socket_fd;
    if (g->log_fd >= 0) {
        keep[count++] = g->log_fd;
    }
    if (g->admin_fd >= 0) {
        keep[count++] = g->admin_fd;
    }
    qsort(keep, (size_t)count, sizeof(keep[0]), compare_ints);
    unsigned int from = 0;
    for (int i = 0; i < count; i++) {
        if ((unsigned int)keep[i] > from && close_range(from, (unsigned int)keep[i] - 1, 0) != 0) {
            return -errno;
        }
        from = (unsigned int)keep[i] + 1;
    }
    return close_range(from, ~0u, 0) == 0 ? 0 : -errno;
}

static uint32_t raise_fd_limit(void) {
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) != 0) {
        return 256;
    }
    if (lim.rlim_max < NOFILE_WISH) {
        struct rlimit wish = {.rlim_cur = NOFILE_WISH, .rlim_max = NOFILE_WISH};
        if (setrlimit(RLIMIT_NOFILE, &wish) == 0) {
            lim = wish;
        }
    }
    lim.rlim_cur = lim.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &lim); /* else fewer descriptors are kept */
    return (uint32_t)MIN(lim.rlim_cur / 2, (rlim_t)GOFER_FDS_MAX);
}

static int map_slots(struct gofer *g, int shm_fd) {
    struct stat st;
    if (fstat(shm_fd, &st) != 0) {
        return -errno;
    }
    if (st.st_size < (off_t)MOAT_GOFER_SHM_SIZE) {
        return -EPROTO;
    }
    void *p = mmap(NULL, MOAT_GOFER_SHM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                   shm_fd, 0);
    if (p == MAP_FAILED) {
        return -errno;
    }
    g->slots = p;
    return 0;
}

/* Root nodes over the exports as they are after confinement. */
static int make_tables(struct gofer *g, uint32_t fds_max) {
    uint32_t handles = g->vhost ? MIN(VHOST_HANDLES_MAX, fds_max) : GOFER_HANDLES_MAX;
    int err = node_table_create(fds_max, &g->nodes);
    if (err == 0) {
        err = handles_create(handles, &g->handles);
    }
    for (uint32_t i = 0; i < g->export_count && err == 0; i++) {
        err = export_add_root(g, i);
    }
    return err == 0 && g->vhost ? top_create(g) : err;
}

/* The launcher's exports; with vhost behind the folder of all, which confine_enter opens. */
static void take_exports(struct gofer *g, const struct moat_gofer_config *config) {
    g->vhost = config->client == MOAT_GOFER_VHOST;
    g->first_export = g->vhost ? 1 : 0;
    g->export_count = config->export_count + g->first_export;
    g->exports[0] = (struct export){.dir_fd = -1,
                                    .file_fd = -1,
                                    .own_mount = true,
                                    .empty = true,
                                    .flags = MOAT_GOFER_EXPORT_RO};
    for (uint32_t i = 0; i < config->export_count; i++) {
        const struct moat_gofer_export *from = &config->exports[i];
        const bool empty = from->dir_fd < 0;
        g->exports[i + g->first_export] = (struct export){
            .dir_fd = from->dir_fd,
            .flags = from->flags | (empty ? MOAT_GOFER_EXPORT_RO : 0),
            .own_mount = empty || (from->flags & MOAT_GOFER_EXPORT_OWN) != 0,
            .empty = empty,
            .file_fd = -1,
        };
    }
}

static int set_up(struct gofer *g, const struct moat_gofer_config *config, const char **out_what) {
    take_exports(g, config);
    g->admin_fd = config->admin_fd;
    g->socket_fd = config->socket_fd;
    g->uid = getuid();
    g->gid = getgid();
    (void)umask(0); /* modes come from the requests */
    int err;
    *out_what = "shared memory";
    if (!g->vhost && (err = map_slots(g, config->shm_fd)) != 0) {
        return err;
    }
    uint32_t fds_max = raise_fd_limit();
    *out_what = "exports";
    if ((err = confine_exports(g)) != 0) {
        return err;
    }
    *out_what = "confinement";
    if ((err = confine_enter(g)) != 0 || (err = close_others(g)) != 0) {
        return err;
    }
    *out_what = "node table";
    if ((err = make_tables(g, fds_max)) != 0) {
        return err;
    }
    *out_what = "system-call filter";
    channel_probe(g);
    return confine_syscalls(g);
}

int main(int argc, char **argv) {
    static struct gofer g;
    static struct moat_gofer_config config;
    const char *what = "configuration (moat-gofer DESCRIPTOR)";
    g.log_fd = STDERR_FILENO;
    int err = read_config(argc, argv, &config);
    if (err == 0) {
        err = set_up(&g, &config, &what);
    }
    if (err != 0) {
        return fail(&g, what, err);
    }
    err = g.vhost ? vhost_run(&g) : channel_run(&g);
    return err == 0 ? 0 : fail(&g, g.vhost ? "vhost-user" : "channel", err);
}
