/* SPDX-License-Identifier: Apache-2.0 */
#include "gofer_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hal.h"
#include "moat/boot.h"
#include "platform/hal/host.h"

unsigned int g_checks;
static pid_t g_pid;
static uint8_t *g_fixture_slots;
static int g_sentry_socket;
static uint64_t g_unique;

/* The channel's neighbour in the Sentry: here a donated descriptor is simply the descriptor. */
int host_fd_donate(int fd) {
    return fd;
}

static void exec_gofer(const char *program, int config) {
    char number[16];
    (void)snprintf(number, sizeof(number), "%d", config);
    (void)execl(program, "moat-gofer", number, (char *)NULL);
    perror(program);
    _exit(127);
}

static int make_config(const struct fixture_export *exports, uint32_t count, int socket_fd,
                       int shm_fd) {
    struct moat_gofer_config config = {.magic = MOAT_GOFER_MAGIC,
                                       .version = MOAT_GOFER_VERSION,
                                       .size = sizeof(config),
                                       .socket_fd = socket_fd,
                                       .shm_fd = shm_fd,
                                       .admin_fd = -1,
                                       .export_count = count};
    for (uint32_t i = 0; i < count; i++) {
        config.exports[i].dir_fd = open(exports[i].path, O_PATH);
        config.exports[i].flags = exports[i].flags;
        CHECK(config.exports[i].dir_fd >= 0);
    }
    int fd = memfd_create("config", 0);
    CHECK(fd >= 0 && write(fd, &config, sizeof(config)) == (ssize_t)sizeof(config));
    return fd;
}

void fixture_start(const char *program, const struct fixture_export *exports, uint32_t count,
                   bool by_socket) {
    int pair[2];
    int shm = memfd_create("slots", 0);
    CHECK(shm >= 0 && ftruncate(shm, MOAT_GOFER_SHM_SIZE) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    g_pid = fork();
    CHECK(g_pid >= 0);
    if (g_pid == 0) {
        (void)close(pair[0]);
        exec_gofer(program, make_config(exports, count, pair[1], shm));
    }
    (void)close(pair[1]);
    g_fixture_slots = mmap(NULL, MOAT_GOFER_SHM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, shm, 0);
    CHECK(g_fixture_slots != MAP_FAILED);
    g_sentry_socket = pair[0];
    struct moat_boot boot = {.gofer_fd = pair[0],
                             .gofer_shm_fd = shm,
                             .handover = by_socket ? MOAT_HANDOVER_TRAP : MOAT_HANDOVER_AUTO};
    CHECK_EQ(gofer_channel_init(&boot), 0);
    struct fuse_init_in in = {.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION};
    struct fuse_init_out out;
    CHECK(fuse_request(FUSE_INIT, 0, &in, sizeof(in), NULL, NULL, &out, sizeof(out), NULL) > 0);
}

int fixture_stop(void) {
    int status = 0;
    (void)close(g_sentry_socket);
    (void)kill(g_pid, SIGKILL);
    (void)waitpid(g_pid, &status, 0);
    return status;
}

pid_t fixture_pid(void) {
    return g_pid;
}

uint8_t *fixture_slots(void) {
    return g_fixture_slots;
}

bool fixture_alive(void) {
    struct fuse_attr_out out;
    struct fuse_getattr_in in = {0};
    return waitpid(g_pid, NULL, WNOHANG) == 0 &&
           fuse_request(FUSE_GETATTR, 1, &in, sizeof(in), NULL, NULL, &out, sizeof(out), NULL) > 0;
}

int64_t fuse_request(uint32_t opcode, uint64_t nodeid, const void *body, size_t body_len,
                     const char *name, const char *name2, void *out, size_t out_max, int *out_fd) {
    static uint8_t reply[HAL_GOFER_MSG_MAX] __attribute__((aligned(8)));
    struct fuse_in_header h = {
        .opcode = opcode, .nodeid = nodeid, .unique = ++g_unique, .uid = getuid(), .gid = getgid()};
    struct hal_seg segs[4] = {{&h, sizeof(h)},
                              {(void *)(uintptr_t)body, body_len},
                              {(void *)(uintptr_t)name, name == NULL ? 0 : strlen(name) + 1},
                              {(void *)(uintptr_t)name2, name2 == NULL ? 0 : strlen(name2) + 1}};
    int fd = -1;
    h.len = (uint32_t)(segs[0].len + segs[1].len + segs[2].len + segs[3].len);
    int64_t got = hal_gofer_call(0, segs, 4, reply, sizeof(reply), &fd);
    if (out_fd != NULL) {
        *out_fd = fd;
    } else if (fd >= 0) {
        (void)close(fd);
    }
    if (got < (int64_t)sizeof(struct fuse_out_header)) {
        return got < 0 ? got : 0;
    }
    struct fuse_out_header r;
    memcpy(&r, reply, sizeof(r));
    size_t len = (size_t)got - sizeof(r);
    if (out != NULL) {
        memset(out, 0, out_max);
        memcpy(out, reply + sizeof(r), len < out_max ? len : out_max);
    }
    return r.error != 0 ? r.error : (int64_t)len;
}

int64_t fuse_look(uint64_t dir, const char *name, struct fuse_entry_out *out) {
    struct fuse_entry_out entry;
    int64_t got = fuse_request(FUSE_LOOKUP, dir, NULL, 0, name, NULL, &entry, sizeof(entry), NULL);
    if (out != NULL) {
        *out = entry;
    }
    return got < 0 ? got : (int64_t)entry.nodeid;
}

int fuse_open_node(uint64_t node, int flags) {
    struct fuse_open_in in = {.flags = (uint32_t)flags, .open_flags = MOAT_GOFER_OPEN_DONATE};
    struct {
        struct fuse_open_out open;
        struct moat_gofer_donation donation;
    } out;
    int fd;
    int64_t got =
        fuse_request(FUSE_OPEN, node, &in, sizeof(in), NULL, NULL, &out, sizeof(out), &fd);
    if (got < 0) {
        CHECK(fd < 0);
        return (int)got;
    }
    CHECK((out.donation.flags & MOAT_GOFER_DONATED) != 0 && fd >= 0);
    return fd;
}

const char *temp_dir_make(void) {
    static char path[256];
    const char *base = getenv("TMPDIR");
    (void)snprintf(path, sizeof(path), "%s/moat-gofer-XXXXXX", base == NULL ? "/tmp" : base);
    CHECK(mkdtemp(path) != NULL);
    return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void temp_dir_remove(const char *path) {
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void temp_file_put(const char *dir, const char *name, const char *text) {
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
}
