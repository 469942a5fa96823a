/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile messages and rings: see vhost_attack.c. */
#include "vhost_attack.h"

#include <linux/virtio_config.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLAIN (1ull << VIRTIO_F_VERSION_1 | 1ull << VHOST_USER_F_PROTOCOL_FEATURES)

/* The back end has ended by itself: no signal ended it, no sanitizer. */
static void check_ended(struct driver *d) {
    int status = driver_stop(d);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
}

/* ---- messages ---- */

static void test_one_message(const struct scene *s, uint32_t request, uint32_t flags, uint32_t size,
                             const void *payload, uint32_t fd_count) {
    struct driver d;
    int fds[16];
    driver_connect(&d, s->program, s->rw, s->ro);
    for (uint32_t i = 0; i < 16; i++) {
        fds[i] = d.mem_fd;
    }
    (void)driver_send(&d, request, flags, payload, size, fds, fd_count);
    check_ended(&d);
}

void test_messages(const struct scene *s) {
    static const uint32_t sizes[] = {0, 1, 7, 8, 39, 40, 264};
    static uint8_t payload[512];
    for (uint32_t request = 0; request <= 45; request++) {
        memset(payload, (int)request % 3 == 0 ? 0xff : (int)request % 3, sizeof(payload));
        test_one_message(s, request, VHOST_USER_VERSION, sizes[request % 7], payload, request % 3);
    }
    test_one_message(s, 1, 2, 0, NULL, 0);                           /* another version */
    test_one_message(s, 5, VHOST_USER_VERSION, 265, payload, 0);     /* longer than any */
    test_one_message(s, 5, VHOST_USER_VERSION, UINT32_MAX, NULL, 0); /* and does not come */
    test_one_message(s, 12, VHOST_USER_VERSION, 8, payload, 8);      /* too many descriptors */
}

static bool takes(struct driver *d, uint32_t request, const void *payload, uint32_t size,
                  uint32_t fd_count) {
    const int fds[8] = {d->mem_fd, d->mem_fd, d->mem_fd, d->mem_fd,
                        d->mem_fd, d->mem_fd, d->mem_fd, d->mem_fd};
    uint64_t result;
    CHECK(driver_send(d, request, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, payload, size, fds,
                      fd_count));
    CHECK(driver_receive(d, &result));
    return result == 0;
}

/* Set-up that makes no sense is refused, and afterwards sensible set-up works. */
void test_set_up(const struct scene *s) {
    static const struct vhost_user_region regions[] = {
        {.guest_phys = 0, .size = 0},
        {.guest_phys = 0, .size = UINT64_MAX},
        {.guest_phys = UINT64_MAX - 4095, .size = 8192},
        {.front_addr = UINT64_MAX - 4095, .size = 8192},
        {.mmap_offset = UINT64_MAX - 4095, .size = 8192},
        {.mmap_offset = 1ull << 47, .size = 8192},
    };
    struct driver d;
    driver_start(&d, s->program, s->rw, s->ro);
    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
        const struct vhost_user_memory m = {.count = 1, .regions = {regions[i]}};
        CHECK(!takes(&d, 5, &m, 8 + sizeof(regions[0]), 1));
    }
    struct vhost_user_memory m = {.count = 1, .regions = {{.size = MEM_SIZE}}};
    CHECK(!takes(&d, 5, &m, 8 + sizeof(regions[0]), 0)); /* no descriptor */
    CHECK(!takes(&d, 5, &m, 8 + sizeof(regions[0]), 2)); /* one too many */
    CHECK(!takes(&d, 5, &m, 8, 1));                      /* cut */
    m.count = 9;
    CHECK(!takes(&d, 5, &m, sizeof(m), 8));
    m.count = UINT32_MAX;
    CHECK(!takes(&d, 5, &m, sizeof(m), 8));
    static const uint32_t queue_sizes[] = {0, 3, 2048, 65536, UINT32_MAX};
    for (size_t i = 0; i < 5; i++) {
        const struct vhost_user_ring_state state = {1, queue_sizes[i]};
        CHECK(!takes(&d, 8, &state, sizeof(state), 0));
    }
    static const uint32_t requests[] = {8, 10, 11, 18};
    for (size_t i = 0; i < 4; i++) {
        const struct vhost_user_ring_state state = {4 + (uint32_t)i * 1000, 1};
        CHECK(!takes(&d, requests[i], &state, sizeof(state), 0));
    }
    for (uint32_t request = 12; request <= 14; request++) {
        const uint64_t no_queue = 77, none = 1 | VHOST_USER_NO_FD;
        CHECK(!takes(&d, request, &no_queue, 8, 1));
        CHECK(request == 14 || !takes(&d, request, &none, 8, 1));
    }
    driver_set_up(&d, PLAIN);
    static const uint64_t places[][3] = {
        {0, 0, 0},
        {MEM_FRONT + MEM_SIZE - 16, MEM_FRONT, MEM_FRONT},
        {MEM_FRONT, MEM_FRONT + MEM_SIZE - 2, MEM_FRONT},
        {MEM_FRONT, MEM_FRONT, MEM_FRONT + MEM_SIZE - 4},
        {MEM_FRONT + MEM_MIDDLE - 16, MEM_FRONT, MEM_FRONT}, /* across two regions */
        {MEM_FRONT + 8, MEM_FRONT, MEM_FRONT},
        {MEM_FRONT, MEM_FRONT + 1, MEM_FRONT},
        {MEM_FRONT, MEM_FRONT, MEM_FRONT + 2},
        {UINT64_MAX - 15, MEM_FRONT, MEM_FRONT},
    };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const struct vhost_user_ring_addr addr = {
            .index = 1, .desc = places[i][0], .avail = places[i][1], .used = places[i][2]};
        CHECK(!takes(&d, 9, &addr, sizeof(addr), 0));
    }
    driver_set_up(&d, PLAIN);
    CHECK(driver_alive(&d));
    check_ended(&d);
}

/* ---- rings ---- */

enum { A = 0x100000, B = 0x200000, TABLE = 0x300000 }; /* places in the machine's memory */

static struct vring_desc desc(uint64_t addr, uint32_t len, uint16_t flags, uint16_t next) {
    return (struct vring_desc){.addr = addr, .len = len, .flags = flags, .next = next};
}

/* A chain that breaks the rules: the queue is dead, the back end is not, and a reset mends it. */
static void broken(struct driver *d, uint64_t features, const char *what) {
    uint32_t len;
    driver_offer(d, 1, 0);
    if (driver_wait(d, 1, &len, 50)) {
        (void)fprintf(stderr, "%s: was answered\n", what);
        CHECK(false);
    }
    driver_set_up(d, features);
    CHECK(driver_alive(d));
}

static void test_chains(const struct scene *s, uint64_t features) {
    const uint16_t next = VRING_DESC_F_NEXT, write = VRING_DESC_F_WRITE,
                   indirect = VRING_DESC_F_INDIRECT;
    const uint64_t a = driver_phys(A), table = driver_phys(TABLE);
    const bool with_indirect = (features >> VIRTIO_RING_F_INDIRECT_DESC & 1) != 0;
    struct driver d;
    driver_start(&d, s->program, s->rw, s->ro);
    driver_set_up(&d, features);
#define BROKEN(first, ...)                                                                         \
    do {                                                                                           \
        const struct vring_desc list_[] = {first, ##__VA_ARGS__};                                  \
        memcpy(d.q[1].desc, list_, sizeof(list_));                                                 \
        broken(&d, features, #first);                                                              \
    } while (0)
    BROKEN(desc(a, 64, next, 0));                       /* a loop of one */
    BROKEN(desc(a, 64, next, 1), desc(a, 64, next, 0)); /* and of two */
    BROKEN(desc(a, 64, next, QUEUE_SIZE));              /* behind the table */
    BROKEN(desc(a, 64, next, UINT16_MAX));
    BROKEN(desc(0, 64, 0, 0)); /* no memory there */
    BROKEN(desc(UINT64_MAX - 8, 64, 0, 0));
    BROKEN(desc(MEM_PHYS - 1, 64, 0, 0));
    BROKEN(desc(driver_phys(MEM_SIZE) - 8, 64, 0, 0)); /* over the end */
    BROKEN(desc(a, UINT32_MAX, 0, 0));
    BROKEN(desc(a, 64, write | next, 1), desc(a, 64, 0, 0));   /* what is read comes last */
    BROKEN(desc(a, 64, next, 1), desc(table, 0, indirect, 0)); /* an empty table */
    BROKEN(desc(table, 15, indirect, 0));
    BROKEN(desc(table, 16 * 4096, indirect, 0)); /* too long */
    BROKEN(desc(table, 16, indirect | next, 1), desc(a, 64, 0, 0));
    BROKEN(desc(driver_phys(MEM_SIZE) - 16, 32, indirect, 0));
    BROKEN(desc(driver_phys(MEM_MIDDLE) - 16, 32, indirect, 0)); /* across two regions */
    BROKEN(desc(UINT64_MAX - 15, 32, indirect, 0));
    struct vring_desc *inner = (void *)(d.mem + TABLE);
    inner[0] = desc(table, 16, indirect, 0); /* a table in a table */
    BROKEN(desc(table, 16, indirect, 0));
    inner[0] = desc(a, 64, next, 0); /* a loop in it */
    BROKEN(desc(table, 16, indirect, 0));
    inner[0] = desc(a, 64, next, 1); /* out of it */
    BROKEN(desc(table, 16, indirect, 0));
    if (!with_indirect) {
        inner[0] = desc(a, 64, 0, 0);
        BROKEN(desc(table, 16, indirect, 0)); /* not agreed on */
    }
#undef BROKEN
    d.q[1].avail->ring[0] = QUEUE_SIZE; /* no such descriptor */
    driver_offer(&d, 1, UINT16_MAX);
    driver_set_up(&d, features);
    d.q[1].avail->idx = QUEUE_SIZE; /* more than there are, with the next */
    broken(&d, features, "index");
    CHECK(driver_alive(&d));
    check_ended(&d);
}

void test_rings(const struct scene *s) {
    test_chains(s, PLAIN);
    test_chains(s, PLAIN | 1ull << VIRTIO_RING_F_INDIRECT_DESC);
    test_chains(s, PLAIN | 1ull << VIRTIO_RING_F_EVENT_IDX);
}

/* ---- requests cut in pieces ---- */

/* A look-up whose request lies in pieces of one byte, whose reply goes to such, across the border
 * of two regions. */
static void test_pieces(struct driver *d) {
    struct vring_desc *t = (void *)(d->mem + TABLE);
    struct fuse_in_header h = {
        .len = sizeof(h) + 2, .opcode = FUSE_LOOKUP, .unique = 99, .nodeid = FUSE_ROOT_ID};
    struct fuse_out_header out;
    const uint32_t reply = sizeof(out) + sizeof(struct fuse_entry_out);
    uint64_t from = MEM_MIDDLE - 21;
    uint32_t n = 0, len;
    memcpy(d->mem + from, &h, sizeof(h));
    memcpy(d->mem + from + sizeof(h), "0", 2);
    for (uint32_t i = 0; i < h.len; i++, n++) {
        t[n] = desc(driver_phys(from + i), 1, VRING_DESC_F_NEXT, (uint16_t)(n + 1));
    }
    t[n] = desc(driver_phys(A), 0, VRING_DESC_F_NEXT, (uint16_t)(n + 1)); /* of nothing */
    n++;
    for (uint32_t i = 0; i < reply; i++, n++) {
        t[n] = desc(driver_phys(B + 2 * i), 1, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT,
                    (uint16_t)(n + 1));
    }
    t[n - 1].flags = VRING_DESC_F_WRITE;
    memset(d->mem + B, 0x55, 2 * reply);
    d->q[1].desc[0] = desc(driver_phys(TABLE), n * 16, VRING_DESC_F_INDIRECT, 0);
    driver_offer(d, 1, 0);
    CHECK(driver_wait(d, 1, &len, WAIT_MS) && len == reply);
    uint8_t flat[sizeof(out)];
    for (uint32_t i = 0; i < sizeof(out); i++) {
        flat[i] = d->mem[B + 2 * i];
    }
    memcpy(&out, flat, sizeof(out));
    CHECK(out.len == reply && out.error == 0 && out.unique == 99);
    for (uint32_t i = 0; i < reply; i++) {
        CHECK(d->mem[B + 2 * i + 1] == 0x55);
    }
}

/* Requests with lengths that lie, and too little room for the reply. */
static void test_lengths(struct driver *d) {
    static const uint32_t room[] = {0, 1, 15, 16, 17, 100, 143, 144};
    for (uint32_t said = 0; said <= 60; said += said < 38 ? 13 : 1) {
        for (uint32_t is = 0; is <= 60; is += 5) {
            struct fuse_in_header h = {.len = said, .opcode = FUSE_LOOKUP, .nodeid = FUSE_ROOT_ID};
            uint32_t len, place = room[(said + is) % 8];
            memset(d->mem + A, '0', 100);
            memcpy(d->mem + A, &h, sizeof(h));
            memset(d->mem + B, 0x55, 256);
            d->q[1].desc[0] = desc(driver_phys(A), is, VRING_DESC_F_NEXT, 1);
            d->q[1].desc[1] = desc(driver_phys(B), place, VRING_DESC_F_WRITE, 0);
            driver_offer(d, 1, 0);
            CHECK(driver_wait(d, 1, &len, WAIT_MS) && len <= place);
            CHECK(d->mem[B + place] == 0x55);
        }
    }
    /* Nothing to read, nothing to write. */
    d->q[1].desc[0] = desc(driver_phys(B), 64, VRING_DESC_F_WRITE, 0);
    uint32_t len;
    driver_offer(d, 1, 0);
    CHECK(driver_wait(d, 1, &len, WAIT_MS) && len == 0);
    CHECK(driver_alive(d));
}

/* A message longer than any the Gofer takes. */
static void test_long(struct driver *d) {
    struct fuse_in_header h = {
        .len = 1 << 20, .opcode = FUSE_SYMLINK, .unique = 1, .nodeid = FUSE_ROOT_ID};
    struct fuse_out_header out;
    uint32_t len;
    memcpy(d->mem + A, &h, sizeof(h));
    d->q[1].desc[0] = desc(driver_phys(A), h.len, VRING_DESC_F_NEXT, 1);
    d->q[1].desc[1] = desc(driver_phys(TABLE), 64, VRING_DESC_F_WRITE, 0);
    driver_offer(d, 1, 0);
    CHECK(driver_wait(d, 1, &len, WAIT_MS) && len == sizeof(out));
    memcpy(&out, d->mem + TABLE, sizeof(out));
    CHECK_EQ(out.error, -E2BIG);
}

void test_requests(const struct scene *s) {
    struct driver d;
    driver_start(&d, s->program, s->rw, s->ro);
    test_pieces(&d);
    test_lengths(&d);
    test_long(&d);
    check_ended(&d);
}

/* ---- memory that changes while it is read ---- */

/* Another processor of the machine writes descriptors and requests all the time. */
void test_moving(const struct scene *s) {
    const uint64_t features = PLAIN | 1ull << VIRTIO_RING_F_INDIRECT_DESC;
    struct driver d;
    driver_start(&d, s->program, s->rw, s->ro);
    for (int round = 0; round < 300; round++) {
        struct vring_desc *t = (void *)(d.mem + TABLE);
        uint32_t len;
        for (uint16_t i = 0; i < 8; i++) {
            t[i] = desc(driver_phys(A + 4096u * i), 40, i < 7 ? VRING_DESC_F_NEXT : 0,
                        (uint16_t)(i + 1));
        }
        struct fuse_in_header h = {.len = 320, .opcode = scene_random(64), .nodeid = 2};
        memcpy(d.mem + A, &h, sizeof(h));
        d.q[1].desc[0] = desc(driver_phys(TABLE), 128, VRING_DESC_F_INDIRECT, 0);
        driver_offer(&d, 1, 0);
        for (int i = 0; i < 2000; i++) {
            uint8_t *at = scene_random(2) == 0 ? d.mem + TABLE : d.mem + A;
            *(volatile uint8_t *)(at + scene_random(128)) = (uint8_t)scene_random(256);
        }
        if (!driver_wait(&d, 1, &len, 20)) {
            driver_set_up(&d, features);
        }
    }
    driver_set_up(&d, features);
    CHECK(driver_alive(&d));
    check_ended(&d);
}
