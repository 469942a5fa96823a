/* SPDX-License-Identifier: Apache-2.0 */
/* See vhost_driver.h. */
#include "vhost_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gofer/ops.h"
#include "gofer/vhost.h"
#include "vhost_check.h"

/* Where things lie in the machine's memory. */
#define RINGS_OFF   0x1000u /* of each queue: 0x2000 */
#define REQUEST_OFF 0x10000u
#define REPLY_OFF   0x80000u

/* ---- the back end ---- */

static void serve_in_child(int sock, const char *rw, const char *ro) {
    static struct gofer g;
    const char *paths[] = {ro, rw, ro}; /* what is in the first does not show */
    g = (struct gofer){.vhost = true,
                       .first_export = 1,
                       .export_count = 3,
                       .socket_fd = sock,
                       .admin_fd = -1,
                       .log_fd = -1};
    (void)umask(0);
    CHECK(node_table_create(CHILD_FDS, &g.nodes) == 0 &&
          handles_create(CHILD_HANDLES, &g.handles) == 0);
    for (uint32_t i = 0; i < 3; i++) {
        g.exports[i] = (struct export){.dir_fd = open(paths[i], O_PATH | O_CLOEXEC),
                                       .flags = i == 1 ? 0 : MOAT_GOFER_EXPORT_RO,
                                       .own_mount = false,
                                       .empty = i == 0,
                                       .file_fd = -1};
        CHECK(g.exports[i].dir_fd >= 0 && export_add_root(&g, i) == 0);
    }
    CHECK(top_create(&g) == 0);
    exit(vhost_run(&g) == 0 ? 0 : 1);
}

static void exec_program(const char *program, int sock, const char *rw, const char *ro) {
    struct moat_gofer_config config = {.magic = MOAT_GOFER_MAGIC,
                                       .version = MOAT_GOFER_VERSION,
                                       .size = sizeof(config),
                                       .client = MOAT_GOFER_VHOST,
                                       .socket_fd = sock,
                                       .shm_fd = -1,
                                       .admin_fd = -1,
                                       .export_count = 2};
    config.exports[0].dir_fd = open(rw, O_PATH);
    config.exports[1].dir_fd = open(ro, O_PATH);
    config.exports[1].flags = MOAT_GOFER_EXPORT_RO;
    int fd = memfd_create("config", 0), null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    char number[16];
    CHECK(config.exports[0].dir_fd >= 0 && config.exports[1].dir_fd >= 0);
    CHECK(fd >= 0 && write(fd, &config, sizeof(config)) == (ssize_t)sizeof(config));
    (void)snprintf(number, sizeof(number), "%d", fd);
    CHECK(dup2(null_fd, 2) == 2); /* it complains, as it should */
    (void)execl(program, "moat-gofer", number, (char *)NULL);
    CHECK(false);
}

void driver_connect(struct driver *d, const char *program, const char *rw, const char *ro) {
    int pair[2];
    memset(d, 0, sizeof(*d));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    d->pid = fork();
    CHECK(d->pid >= 0);
    if (d->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(pair[0]);
        const struct rlimit small = {64 << 20, 64 << 20};
        (void)signal(SIGXFSZ, SIG_IGN); /* EFBIG instead: no request fills the disk */
        CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
        if (program != NULL) {
            exec_program(program, pair[1], rw, ro);
        }
        serve_in_child(pair[1], rw, ro);
    }
    (void)close(pair[1]);
    d->sock = pair[0];
    d->mem_fd = memfd_create("memory", MFD_CLOEXEC);
    CHECK(d->mem_fd >= 0 && ftruncate(d->mem_fd, MEM_SIZE) == 0);
    d->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, d->mem_fd, 0);
    CHECK(d->mem != MAP_FAILED);
    for (int i = 0; i < 2; i++) {
        d->q[i].kick = eventfd(0, EFD_CLOEXEC);
        d->q[i].call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        CHECK(d->q[i].kick >= 0 && d->q[i].call >= 0);
    }
}

int driver_stop(struct driver *d) {
    int status = 0;
    (void)close(d->sock);
    CHECK(waitpid(d->pid, &status, 0) == d->pid);
    (void)munmap(d->mem, MEM_SIZE);
    (void)close(d->mem_fd);
    for (int i = 0; i < 2; i++) {
        (void)close(d->q[i].kick);
        (void)close(d->q[i].call);
    }
    return status;
}

bool driver_alive(struct driver *d) {
    struct fuse_getattr_in in = {0};
    struct fuse_attr_out out;
    return driver_call(d, &(struct driver_call){.opcode = FUSE_GETATTR,
                                                .node = FUSE_ROOT_ID,
                                                .body = &in,
                                                .body_len = sizeof(in),
                                                .out = &out,
                                                .out_max = sizeof(out)}) == sizeof(out);
}

/* ---- the front end ---- */

bool driver_send(struct driver *d, uint32_t request, uint32_t flags, const void *payload,
                 uint32_t size, const int *fds, uint32_t fd_count) {
    struct vhost_user_header h = {.request = request, .flags = flags, .size = size};
    struct iovec iov[2] = {{&h, sizeof(h)}, {(void *)(uintptr_t)payload, size}};
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(16 * sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = payload != NULL ? 2 : 1};
    if (fd_count > 0) {
        msg.msg_control = control.buf;
        msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
    }
    return sendmsg(d->sock, &msg, MSG_NOSIGNAL) > 0;
}

bool driver_receive(struct driver *d, uint64_t *out_number) {
    struct {
        struct vhost_user_header h;
        uint8_t payload[sizeof(uint64_t)];
    } m;
    ssize_t got = recv(d->sock, &m, sizeof(m), MSG_WAITALL);
    if (got <= 0) {
        return false;
    }
    CHECK(got == (ssize_t)sizeof(m) && m.h.size == sizeof(m.payload) &&
          m.h.flags == (VHOST_USER_VERSION | VHOST_USER_REPLY));
    memcpy(out_number, m.payload, sizeof(*out_number));
    return true;
}

/* A message that asks to be acknowledged, and is. */
static void must_do(struct driver *d, uint32_t request, const void *payload, uint32_t size,
                    const int *fds, uint32_t fd_count) {
    uint64_t result = 1;
    CHECK(driver_send(d, request, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, payload, size, fds,
                      fd_count));
    CHECK(driver_receive(d, &result) && result == 0);
}

static void set_memory(struct driver *d) {
    const struct vhost_user_memory table = {
        .count = 2,
        .regions = {{.guest_phys = MEM_PHYS, .size = MEM_MIDDLE, .front_addr = MEM_FRONT},
                    {.guest_phys = MEM_PHYS + MEM_MIDDLE,
                     .size = MEM_SIZE - MEM_MIDDLE,
                     .front_addr = MEM_FRONT + MEM_MIDDLE,
                     .mmap_offset = MEM_MIDDLE}}};
    const int fds[2] = {d->mem_fd, d->mem_fd};
    must_do(d, 5, &table, 8 + 2 * sizeof(table.regions[0]), fds, 2);
}

static void set_queue(struct driver *d, uint32_t index) {
    struct driver_queue *q = &d->q[index];
    const uint64_t at = RINGS_OFF + 0x2000u * index;
    const struct vhost_user_ring_addr addr = {.index = index,
                                              .desc = MEM_FRONT + at,
                                              .avail = MEM_FRONT + at + 0x800,
                                              .used = MEM_FRONT + at + 0x1000};
    const struct vhost_user_ring_state size = {index, QUEUE_SIZE}, base = {index, 0},
                                       on = {index, 1};
    const uint64_t number = index;
    uint64_t stopped;
    /* GET_VRING_BASE: stops it, if it runs. */
    CHECK(driver_send(d, 11, VHOST_USER_VERSION, &base, sizeof(base), NULL, 0));
    CHECK(driver_receive(d, &stopped) && (uint32_t)stopped == index);
    memset(d->mem + at, 0, 0x2000);
    q->desc = (void *)(d->mem + at);
    q->avail = (void *)(d->mem + at + 0x800);
    q->used = (void *)(d->mem + at + 0x1000);
    q->seen = 0;
    must_do(d, 8, &size, sizeof(size), NULL, 0);
    must_do(d, 10, &base, sizeof(base), NULL, 0);
    must_do(d, 9, &addr, sizeof(addr), NULL, 0);
    must_do(d, 12, &number, sizeof(number), &q->kick, 1);
    must_do(d, 13, &number, sizeof(number), &q->call, 1);
    must_do(d, 18, &on, sizeof(on), NULL, 0);
}

void driver_set_up(struct driver *d, uint64_t features) {
    uint64_t number = 1ull << VHOST_USER_PROTOCOL_REPLY_ACK | 1ull << VHOST_USER_PROTOCOL_MQ;
    CHECK(driver_send(d, 16, VHOST_USER_VERSION, &number, sizeof(number), NULL, 0));
    CHECK(driver_send(d, 1, VHOST_USER_VERSION, NULL, 0, NULL, 0) && driver_receive(d, &number));
    CHECK((number & features) == features);
    must_do(d, 2, &features, sizeof(features), NULL, 0);
    must_do(d, 3, NULL, 0, NULL, 0);
    set_memory(d);
    set_queue(d, 0);
    set_queue(d, 1);
}

void driver_start(struct driver *d, const char *program, const char *rw, const char *ro) {
    struct fuse_init_in in = {.major = FUSE_KERNEL_VERSION,
                              .minor = FUSE_KERNEL_MINOR_VERSION,
                              .max_readahead = 131072,
                              .flags = ~0u};
    struct fuse_init_out out;
    driver_connect(d, program, rw, ro);
    driver_set_up(d, 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_INDIRECT_DESC |
                         1ull << VHOST_USER_F_PROTOCOL_FEATURES);
    CHECK(driver_call(d, &(struct driver_call){.opcode = FUSE_INIT,
                                               .body = &in,
                                               .body_len = sizeof(in),
                                               .out = &out,
                                               .out_max = sizeof(out)}) == sizeof(out));
    CHECK((out.flags & FUSE_SUBMOUNTS) != 0 && (out.flags & FUSE_HANDLE_KILLPRIV_V2) != 0);
    CHECK((out.flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_WRITEBACK_CACHE)) == 0);
}

/* ---- the driver ---- */

void driver_offer(struct driver *d, unsigned q, uint16_t head) {
    const uint64_t one = 1;
    struct vring_avail *a = d->q[q].avail;
    a->ring[a->idx % QUEUE_SIZE] = head;
    __atomic_store_n(&a->idx, (uint16_t)(a->idx + 1), __ATOMIC_RELEASE);
    CHECK(write(d->q[q].kick, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

bool driver_wait(struct driver *d, unsigned q, uint32_t *out_len, int timeout_ms) {
    struct driver_queue *dq = &d->q[q];
    uint64_t count;
    for (;;) {
        /* used_event: the next one is to be told (for back ends that ask). */
        __atomic_store_n(&dq->avail->ring[QUEUE_SIZE], dq->seen, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&dq->used->idx, __ATOMIC_ACQUIRE) != dq->seen) {
            *out_len = dq->used->ring[dq->seen % QUEUE_SIZE].len;
            dq->seen++;
            (void)!read(dq->call, &count, sizeof(count));
            return true;
        }
        struct pollfd p[2] = {{.fd = dq->call, .events = POLLIN}, {.fd = d->sock, .events = 0}};
        if (poll(p, 2, timeout_ms) <= 0 || p[1].revents != 0) {
            return false;
        }
        (void)!read(dq->call, &count, sizeof(count));
    }
}

static uint64_t put(struct driver *d, uint64_t at, const void *from, size_t len) {
    if (len > 0) {
        memcpy(d->mem + at, from, len);
    }
    return at + len;
}

int64_t driver_call(struct driver *d, const struct driver_call *c) {
    struct vring_desc *desc = d->q[1].desc;
    uint64_t at = REQUEST_OFF + sizeof(struct fuse_in_header);
    at = put(d, at, c->body, c->body_len);
    at = put(d, at, c->name, c->name == NULL ? 0 : strlen(c->name) + 1);
    at = put(d, at, c->name2, c->name2 == NULL ? 0 : strlen(c->name2) + 1);
    at = put(d, at, c->data, c->data_len);
    const struct fuse_in_header h = {.len = (uint32_t)(at - REQUEST_OFF),
                                     .opcode = c->opcode,
                                     .unique = ++d->unique,
                                     .nodeid = c->node,
                                     .uid = c->uid,
                                     .gid = c->gid};
    struct fuse_out_header out;
    uint32_t len;
    (void)put(d, REQUEST_OFF, &h, sizeof(h));
    desc[0] = (struct vring_desc){driver_phys(REQUEST_OFF), h.len, VRING_DESC_F_NEXT, 1};
    desc[1] = (struct vring_desc){driver_phys(REPLY_OFF), (uint32_t)sizeof(out) + c->out_max,
                                  VRING_DESC_F_WRITE, 0};
    memset(d->mem + REPLY_OFF, 0xee, sizeof(out) + c->out_max);
    driver_offer(d, 1, 0);
    CHECK(driver_wait(d, 1, &len, WAIT_MS));
    memcpy(&out, d->mem + REPLY_OFF, sizeof(out));
    CHECK(len == out.len && len >= sizeof(out) && len <= sizeof(out) + c->out_max);
    CHECK(out.unique == h.unique && out.error <= 0 && out.error > -4096);
    if (out.error != 0) {
        CHECK(len == sizeof(out));
        return out.error;
    }
    if (c->out != NULL) {
        memset(c->out, 0, c->out_max);
        memcpy(c->out, d->mem + REPLY_OFF + sizeof(out), len - sizeof(out));
    }
    return (int64_t)(len - sizeof(out));
}

int64_t driver_look(struct driver *d, uint64_t dir, const char *name, struct fuse_entry_out *out) {
    struct fuse_entry_out entry;
    int64_t got = driver_call(d, &(struct driver_call){.opcode = FUSE_LOOKUP,
                                                       .node = dir,
                                                       .name = name,
                                                       .out = &entry,
                                                       .out_max = sizeof(entry)});
    if (out != NULL) {
        *out = entry;
    }
    return got < 0 ? got : (int64_t)entry.nodeid;
}

int64_t driver_open(struct driver *d, uint64_t node, uint32_t flags) {
    /* As if a Sentry asked for the descriptor itself: there is none to be had. */
    struct fuse_open_in in = {.flags = flags, .open_flags = MOAT_GOFER_OPEN_DONATE};
    struct fuse_open_out out;
    int64_t got = driver_call(d, &(struct driver_call){.opcode = FUSE_OPEN,
                                                       .node = node,
                                                       .body = &in,
                                                       .body_len = sizeof(in),
                                                       .out = &out,
                                                       .out_max = sizeof(out)});
    CHECK(got < 0 || (got == sizeof(out) && out.fh != 0));
    return got < 0 ? got : (int64_t)out.fh;
}
