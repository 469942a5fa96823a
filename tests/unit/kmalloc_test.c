/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel heap: contents survive, nothing overlaps, nothing leaks, several vCPUs at once. */
#include "kernel_harness.h"

#include "kernel/kmalloc.h"

#include <string.h>

#define SLOTS 300
#define STEPS 15000
#define USERS 6

struct slot {
    unsigned char *p;
    size_t size;
    unsigned char tag;
};

static size_t random_size(unsigned long *seed) {
    unsigned long kind = test_random(seed) % 100;
    unsigned long r = test_random(seed);
    return kind < 80 ? r % 600 : kind < 97 ? r % 5000 : r % 300000;
}

static void check_slot(const struct slot *s) {
    CHECK(((uintptr_t)s->p & 15) == 0);
    size_t step = s->size > 4096 ? 997 : 1;
    for (size_t i = 0; i < s->size; i += step) {
        CHECK(s->p[i] == s->tag);
    }
    CHECK(s->size == 0 || s->p[s->size - 1] == s->tag);
}

static void check_zero(const unsigned char *p, size_t size) {
    for (size_t i = 0; i < size; i++) {
        CHECK(p[i] == 0);
    }
}

static void heap_user(void *arg) {
    struct slot *slots = kcalloc(SLOTS, sizeof(*slots));
    unsigned long seed = 1000 + (unsigned long)(uintptr_t)arg;
    CHECK(slots != NULL);
    for (int step = 0; step < STEPS; step++) {
        struct slot *s = &slots[test_random(&seed) % SLOTS];
        if (s->p != NULL) {
            check_slot(s);
            if (step % 3 == 0) {
                size_t size = random_size(&seed), keep = size < s->size ? size : s->size;
                unsigned char *p = krealloc(s->p, size);
                CHECK(p != NULL);
                *s = (struct slot){p, keep, s->tag};
                check_slot(s);
                memset(p, s->tag, size);
                s->size = size;
            } else {
                kfree(s->p);
                *s = (struct slot){NULL, 0, 0};
            }
        } else {
            size_t size = random_size(&seed);
            bool zero = step % 2 == 0;
            unsigned char *p = zero ? kzalloc(size) : kmalloc(size);
            CHECK(p != NULL);
            if (zero) {
                check_zero(p, size);
            }
            *s = (struct slot){p, size, (unsigned char)test_random(&seed)};
            memset(p, s->tag, size);
        }
        if (step % 50 == 0) {
            task_yield(); /* so that objects are freed on other vCPUs than where they came from */
        }
    }
    for (int i = 0; i < SLOTS; i++) {
        kfree(slots[i].p);
    }
    kfree(slots);
}

static void test_concurrent(void *arg) {
    (void)arg;
    for (uintptr_t i = 0; i < USERS; i++) {
        harness_thread(heap_user, (void *)i);
    }
}

static void test_edges(void *arg) {
    (void)arg;
    uint64_t before = kmalloc_used();
    CHECK(kcalloc(SIZE_MAX / 2, 3) == NULL);
    CHECK(kmalloc(SIZE_MAX) == NULL && kzalloc(SIZE_MAX - 5) == NULL);
    CHECK(kmalloc(1ull << 40) == NULL);
    kfree(NULL);
    unsigned char *pages = kpages_alloc(3);
    CHECK(pages != NULL && ((uintptr_t)pages & 4095) == 0);
    check_zero(pages, 3 * 4096);
    CHECK(kmalloc_used() == before + 3 * 4096);
    memset(pages, 0xee, 3 * 4096);
    kpages_free(pages, 3);
    pages = kpages_alloc(3);
    CHECK(pages != NULL);
    check_zero(pages, 3 * 4096); /* recycled ones are zeroed */
    kpages_free(pages, 3);
    char *s = kstrdup("hello");
    CHECK(s != NULL && strcmp(s, "hello") == 0);
    kfree(s);
    CHECK(kmalloc_used() == before);
    /* All of a large block comes back as one. */
    void *big = kmalloc(100ull << 20);
    CHECK(big != NULL);
    kfree(big);
    big = kmalloc(100ull << 20);
    CHECK(big != NULL);
    kfree(big);
    CHECK(kmalloc_used() == before);
}

static uint64_t g_used;

static void note_used(void *arg) {
    *(uint64_t *)arg = kmalloc_used();
}

static void tests(void *arg) {
    (void)arg;
    uint64_t after = 0;
    harness_run(test_edges, NULL);
    harness_run(test_concurrent, NULL);
    harness_run(note_used, &g_used);
    harness_run(test_concurrent, NULL);
    harness_run(note_used, &after);
    CHECK(after == g_used);
}

int main(void) {
    harness_main(tests);
}
