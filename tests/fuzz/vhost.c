/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any bytes as the memory of a virtual machine, whose virtqueue and FUSE requests the
 * Gofer serves from a folder made for it.  The memory is as long as the input, so that an access
 * beyond it is seen.
 *
 * The input: the ring of available descriptors at 0, the ring of used ones at 0x100, descriptors at
 * 0x200 (16 of each); the rest is as the descriptors say.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gofer/ops.h"
#include "gofer/vhost.h"

#define SIZE   16u
#define NEEDED 0x400u
#define OPENED 64u
#define FRONT  0x10000ull
#define PHYS   0x1000ull

static struct gofer g_gofer;
static char g_top[64];

static void require(bool holds) {
    if (!holds) {
        __builtin_trap();
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void clean_up(void) {
    (void)nftw(g_top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void set_up(void) {
    struct gofer *g = &g_gofer;
    const struct rlimit small = {1 << 20, 1 << 20};
    (void)signal(SIGXFSZ, SIG_IGN); /* EFBIG instead: no request fills the disk */
    require(setrlimit(RLIMIT_FSIZE, &small) == 0);
    (void)snprintf(g_top, sizeof(g_top), "/tmp/moat-fuzz-XXXXXX");
    require(mkdtemp(g_top) != NULL && atexit(clean_up) == 0);
    int top = open(g_top, O_PATH | O_CLOEXEC);
    require(mkdirat(top, "d", 0755) == 0 && symlinkat("/etc/passwd", top, "l") == 0);
    *g = (struct gofer){.vhost = true,
                        .first_export = 1,
                        .export_count = 2,
                        .socket_fd = -1,
                        .admin_fd = -1,
                        .log_fd = -1};
    require(node_table_create(OPENED, &g->nodes) == 0 && handles_create(OPENED, &g->handles) == 0);
    for (uint32_t i = 0; i < 2; i++) {
        g->exports[i] = (struct export){.dir_fd = dup(top), .empty = i == 0, .file_fd = -1};
        g->exports[i].flags = i == 0 ? MOAT_GOFER_EXPORT_RO : 0;
        require(export_add_root(g, i) == 0);
    }
    require(top_create(g) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct virtq_chain chain;
    if (g_gofer.nodes == NULL) {
        set_up();
    }
    if (size < NEEDED) {
        return 0;
    }
    uint8_t *memory = malloc(size);
    require(memory != NULL);
    memcpy(memory, data, size);
    struct guest_mem mem = {
        .count = 1,
        .regions = {{.guest_phys = PHYS, .front_addr = FRONT, .size = size, .host = memory}}};
    struct virtq q = {
        .size = SIZE, .indirect = true, .enabled = true, .kick_fd = -1, .call_fd = -1};
    const struct front_addr avail = {FRONT}, used = {FRONT + 0x100}, desc = {FRONT + 0x200};
    require(virtq_place(&q, &mem, desc, avail, used) == 0);
    int got;
    for (uint32_t i = 0; i < SIZE && (got = virtq_take(&q, &mem, &chain)) != 0; i++) {
        if (got < 0) {
            require(q.broken);
            break;
        }
        uint32_t len = vhost_serve(&g_gofer, &chain);
        require(len <= chain.write_size);
        virtq_give(&q, &chain, len);
    }
    free(memory);
    return 0;
}
