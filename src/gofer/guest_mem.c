/* SPDX-License-Identifier: Apache-2.0 */
/* Mapping and translating a machine's memory: see guest_mem.h. */
#include "guest_mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* More than any machine here has; sums of two such numbers do not overflow. */
#define REGION_MAX (1ull << 46)

void guest_mem_clear(struct guest_mem *m) {
    for (uint32_t i = 0; i < m->count; i++) {
        (void)munmap(m->regions[i].mapping, m->regions[i].mapping_len); /* ours */
    }
    m->count = 0;
}

static int map_region(struct guest_region *r, const struct vhost_user_region *asked, int fd) {
    uint64_t end;
    if (asked->size == 0 || asked->size > REGION_MAX || asked->mmap_offset > REGION_MAX ||
        ckd_add(&end, asked->guest_phys, asked->size) ||
        ckd_add(&end, asked->front_addr, asked->size)) {
        return -EINVAL;
    }
    /* From the file's beginning: with huge pages an offset would have to be a multiple of them. */
    size_t len = (size_t)(asked->mmap_offset + asked->size);
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (p == MAP_FAILED) {
        return -errno;
    }
    *r = (struct guest_region){.guest_phys = asked->guest_phys,
                               .front_addr = asked->front_addr,
                               .size = asked->size,
                               .host = (uint8_t *)p + asked->mmap_offset,
                               .mapping = p,
                               .mapping_len = len};
    return 0;
}

int guest_mem_set(struct guest_mem *m, const struct vhost_user_memory *table, const int *fds,
                  uint32_t fd_count) {
    guest_mem_clear(m);
    if (table->count > VHOST_USER_REGIONS || table->count != fd_count) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < table->count; i++) {
        int err = map_region(&m->regions[i], &table->regions[i], fds[i]);
        if (err != 0) {
            guest_mem_clear(m);
            return err;
        }
        m->count++;
    }
    return 0;
}

/* The region's byte at `at` past `base`, and how many follow; NULL outside. */
static uint8_t *inside(const struct guest_region *r, uint64_t at, uint64_t base,
                       uint64_t *out_rest) {
    if (at < base || at - base >= r->size) {
        return NULL;
    }
    *out_rest = r->size - (at - base);
    return r->host + (at - base);
}

static uint8_t *find(const struct guest_mem *m, struct guest_phys at, uint64_t *out_rest) {
    uint8_t *p = NULL;
    for (uint32_t i = 0; i < m->count && p == NULL; i++) {
        p = inside(&m->regions[i], at.v, m->regions[i].guest_phys, out_rest);
    }
    return p;
}

void *guest_mem_at(const struct guest_mem *m, struct guest_phys at, uint64_t len) {
    uint64_t rest = 0;
    uint8_t *p = find(m, at, &rest);
    return rest >= len ? p : NULL;
}

void *guest_mem_at_front(const struct guest_mem *m, struct front_addr at, uint64_t len) {
    uint64_t rest = 0;
    uint8_t *p = NULL;
    for (uint32_t i = 0; i < m->count && p == NULL; i++) {
        p = inside(&m->regions[i], at.v, m->regions[i].front_addr, &rest);
    }
    return rest >= len ? p : NULL;
}

int guest_mem_iov(const struct guest_mem *m, struct guest_phys at, uint32_t len, struct iovec *iov,
                  uint32_t room) {
    int used = 0;
    while (len > 0) {
        uint64_t rest;
        uint8_t *p = find(m, at, &rest);
        if (p == NULL) {
            return -EFAULT;
        }
        if ((uint32_t)used == room) {
            return -E2BIG;
        }
        uint32_t part = (uint32_t)MIN((uint64_t)len, rest);
        iov[used++] = (struct iovec){.iov_base = p, .iov_len = part};
        at.v += part; /* within the address space: the region's end was checked */
        len -= part;
    }
    return used;
}
