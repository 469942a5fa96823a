/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: zero at allocation, runs, packing, punching, counts. */
#include "fakes.h"

#include <string.h>

#define FRAMES 8192u

static bool is_zero(uint64_t pfn, uint64_t count) {
    const char *p = frame_ptr(pfn);
    for (uint64_t i = 0; i < count * PAGE_SIZE; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

static void recycled_frames_are_zero(void) {
    uint64_t a, b;
    CHECK(frame_alloc_run(16, &a) == 0);
    memset(frame_ptr(a), 0xaa, 16 * PAGE_SIZE);
    frame_put_run(a, 16);
    CHECK(frame_alloc_run(16, &b) == 0);
    CHECK(b == a && is_zero(b, 16));
    memset(frame_ptr(b), 0xbb, 16 * PAGE_SIZE);
    frame_put_run(b, 16);
    CHECK(frame_alloc_run_raw(16, &a) == 0);
    CHECK(a == b && !is_zero(a, 16));
    frame_put_run(a, 16);
}

static void small_runs_share_chunks(void) {
    uint64_t pfn[100];
    for (int i = 0; i < 100; i++) {
        CHECK(frame_alloc_run(5, &pfn[i]) == 0);
        CHECK(pfn[i] == (uint64_t)i * 5);
    }
    frame_put_run(pfn[3], 5);
    frame_put_run(pfn[4], 5);
    uint64_t again;
    CHECK(frame_alloc_run(10, &again) == 0);
    CHECK(again == pfn[3]);
    pfn[4] = again + 5;
    for (int i = 0; i < 100; i++) {
        frame_put_run(pfn[i], 5);
    }
    CHECK(frames_used() == 0);
}

static void references_keep_frames(void) {
    uint64_t a, b;
    CHECK(frame_alloc_run(3, &a) == 0);
    frame_get(a + 1);
    frame_put_run(a, 3);
    CHECK(frame_refs(a + 1) == 1 && frames_used() == 1);
    CHECK(frame_alloc_run(3, &b) == 0);
    CHECK(b != a);
    frame_put(a + 1);
    frame_put_run(b, 3);
    CHECK(frames_used() == 0);
    uint64_t window = hal_memory()->window_base + 5;
    frame_get(window);
    frame_put(window);
    CHECK(frame_is_window(window) && frame_refs(window) > 1);
}

static void large_runs_go_back(void) {
    uint64_t a, small, b;
    CHECK(frame_alloc(&small) == 0);
    CHECK(frame_alloc_run(1300, &a) == 0);
    CHECK(a % 512 == 0);
    memset(frame_ptr(a), 0x77, 1300 * PAGE_SIZE);
    CHECK(frame_alloc_run(200, &b) == 0); /* beside the small one */
    CHECK(b < a);
    uint64_t punched = skeleton_punched();
    frame_put_run(a, 1300);
    CHECK(skeleton_punched() >= punched + 1024);
    uint64_t again;
    CHECK(frame_alloc_run(1300, &again) == 0);
    CHECK(again == a && is_zero(again, 1300));
    frame_put_run(again, 1300);
    frame_put_run(b, 200);
    frame_put(small);
    CHECK(frames_used() == 0);
}

static void memory_ends(void) {
    uint64_t count = 0, pfn, first = UINT64_MAX;
    while (frame_alloc(&pfn) == 0) {
        first = MIN(first, pfn);
        count++;
    }
    CHECK(count == FRAMES && frames_used() == FRAMES);
    CHECK(frame_alloc_run(512, &pfn) != 0);
    frame_put_run(first, count);
    CHECK(frames_used() == 0);
    CHECK(frame_alloc_run(FRAME_RUN_MAX + 1, &pfn) != 0 && frame_alloc_run(0, &pfn) != 0);
    CHECK(frame_alloc_run(FRAMES, &pfn) == 0);
    frame_put_run(pfn, FRAMES);
}

/* Free frames are holes afterwards, used ones are as they were. */
static void trimming(void) {
    uint64_t kept, gone, again;
    CHECK(frame_alloc_run(100, &gone) == 0);
    CHECK(frame_alloc_run(100, &kept) == 0);
    memset(frame_ptr(gone), 0xaa, 100 * PAGE_SIZE);
    memset(frame_ptr(kept), 0xbb, 100 * PAGE_SIZE);
    uint64_t used = hal_memory_used();
    frame_put_run(gone, 100);
    frame_trim();
    CHECK(hal_memory_used() + 100 * PAGE_SIZE <= used);
    const uint8_t *bytes = frame_ptr(kept);
    CHECK(bytes[0] == 0xbb && bytes[100 * PAGE_SIZE - 1] == 0xbb);
    CHECK(frame_alloc_run(100, &again) == 0);
    CHECK(is_zero(again, 100) && frame_refs(again) == 1);
    frame_put_run(again, 100);
    frame_put_run(kept, 100);
    frame_trim(); /* a whole chunk: a hole again */
    CHECK(frame_alloc_run(600, &again) == 0);
    CHECK(is_zero(again, 600));
    frame_put_run(again, 600);
    frame_trim();
    frame_trim();
    CHECK(frames_used() == 0);
}

/* Random runs against a model of who owns which frame. */
static void random_runs(void) {
    enum { MAX = 400 };
    static struct {
        uint64_t pfn, count;
        uint8_t mark;
    } runs[MAX];
    static uint8_t owner[FRAMES];
    size_t n = 0;
    for (int step = 0; step < 6000; step++) {
        if (n < MAX && fakes_random() % 2 == 0) {
            uint64_t count =
                fakes_random() % 8 == 0 ? fakes_random() % 1200 + 1 : fakes_random() % 40 + 1;
            uint64_t pfn;
            if (frame_alloc_run(count, &pfn) != 0) {
                continue;
            }
            CHECK(is_zero(pfn, count) && pfn + count <= FRAMES);
            for (uint64_t i = 0; i < count; i++) {
                CHECK(owner[pfn + i] == 0 && frame_refs(pfn + i) == 1);
                owner[pfn + i] = 1;
            }
            runs[n].pfn = pfn;
            runs[n].count = count;
            runs[n].mark = (uint8_t)(fakes_random() | 1);
            memset(frame_ptr(pfn), runs[n].mark, count * PAGE_SIZE);
            n++;
        } else if (fakes_random() % 64 == 0) {
            frame_trim();
        } else if (n > 0) {
            size_t k = fakes_random() % n;
            const uint8_t *bytes = frame_ptr(runs[k].pfn);
            CHECK(bytes[0] == runs[k].mark && bytes[runs[k].count * PAGE_SIZE - 1] == runs[k].mark);
            memset(owner + runs[k].pfn, 0, runs[k].count);
            frame_put_run(runs[k].pfn, runs[k].count);
            runs[k] = runs[--n];
        }
    }
    while (n > 0) {
        n--;
        frame_put_run(runs[n].pfn, runs[n].count);
    }
    CHECK(frames_used() == 0);
}

int main(void) {
    fakes_init(FRAMES);
    static void (*const tests[])(void) = {recycled_frames_are_zero,
                                          small_runs_share_chunks,
                                          references_keep_frames,
                                          large_runs_go_back,
                                          memory_ends,
                                          trimming,
                                          random_runs};
    for (size_t i = 0; i < ARRAY_COUNT(tests); i++) {
        tests[i]();
        fakes_check_locks();
    }
    skeleton_fini();
    return 0;
}
