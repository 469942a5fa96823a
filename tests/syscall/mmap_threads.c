/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of one process that map, unmap, protect, fork and fault at the same time: nobody may see
 * another's page. */
#include "harness.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define PG      ((size_t)4096)
#define RW      (PROT_READ | PROT_WRITE)
#define THREADS 4
#define ROUNDS  400

static int g_bad; /* atomic */

static void bad(const char *what) {
    if (__atomic_fetch_add(&g_bad, 1, __ATOMIC_RELAXED) == 0) {
        fprintf(stderr, "%s\n", what);
    }
}

static uint32_t next(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void fill(char *p, size_t pages, char mark) {
    for (size_t i = 0; i < pages; i++) {
        if (p[i * PG + 7] != 0) {
            bad("a new page is not zero");
        }
        memset(p + i * PG, mark, PG);
    }
}

static bool holds(const char *p, size_t pages, char mark) {
    for (size_t i = 0; i < pages; i++) {
        if (p[i * PG] != mark || p[i * PG + PG - 1] != mark) {
            return false;
        }
    }
    return true;
}

static void *churn(void *arg) {
    char mark = (char)(intptr_t)arg;
    uint32_t state = (uint32_t)mark;
    for (int i = 0; i < ROUNDS; i++) {
        size_t pages = 1 + next(&state) % 40;
        char *p = mmap(NULL, pages * PG, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            bad("mmap");
            break;
        }
        fill(p, pages, mark);
        switch (next(&state) % 4) {
        case 0:
            if (mprotect(p, pages * PG, PROT_READ) != 0 || mprotect(p, pages * PG, RW) != 0) {
                bad("mprotect");
            }
            break;
        case 1: {
            char *q = mremap(p, pages * PG, (pages + 5) * PG, MREMAP_MAYMOVE);
            if (q == MAP_FAILED || q[pages * PG] != 0) {
                bad("mremap");
                return NULL;
            }
            munmap(q + pages * PG, 5 * PG);
            p = q;
            break;
        }
        case 2:
            madvise(p, PG, MADV_DONTNEED);
            if (p[5] != 0) {
                bad("MADV_DONTNEED");
            }
            memset(p, mark, PG);
            break;
        default:
            break;
        }
        if (!holds(p, pages, mark)) {
            bad("a page changed");
        }
        munmap(p, pages * PG);
    }
    return NULL;
}

static void threads_map_and_unmap(void) {
    pthread_t t[THREADS];
    for (intptr_t i = 0; i < THREADS; i++) {
        REQUIRE(pthread_create(&t[i], NULL, churn, (void *)(i + 1)) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
    }
    CHECK_EQ(g_bad, 0);
}

/* Copies through a pipe into pages that a concurrent fork makes copy-on-write. */
static void *piper(void *arg) {
    char mark = (char)(intptr_t)arg, buf[2 * 4096];
    int fds[2];
    char *p = mmap(NULL, 8 * PG, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || pipe(fds) != 0) {
        bad("setup");
        return NULL;
    }
    memset(buf, mark, sizeof(buf));
    for (int i = 0; i < ROUNDS; i++) {
        memset(p, 0, 8 * PG);
        char *at = p + (size_t)(i % 5) * PG + 100;
        if (write(fds[1], buf, sizeof(buf)) != (ssize_t)sizeof(buf) ||
            read(fds[0], at, sizeof(buf)) != (ssize_t)sizeof(buf)) {
            bad("pipe");
        }
        if (!holds(at, 2, mark) || at[-1] != 0 || at[2 * PG] != 0) {
            bad("what was read is not there");
        }
    }
    return NULL;
}

static void forks_among_threads(void) {
    pthread_t t[THREADS];
    char *mine = mmap(NULL, 64 * PG, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(mine != MAP_FAILED);
    memset(mine, 9, 64 * PG);
    for (intptr_t i = 0; i < THREADS; i++) {
        REQUIRE(pthread_create(&t[i], NULL, i % 2 == 0 ? churn : piper, (void *)(i + 1)) == 0);
    }
    for (int i = 0; i < 60; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            bool fine = holds(mine, 64, (char)(9 + i));
            memset(mine, 1, 64 * PG);
            _exit(fine ? 0 : 1);
        }
        REQUIRE(pid > 0);
        memset(mine, 10 + i, 32 * PG);
        CHECK(child_ok(pid));
        CHECK(holds(mine, 32, (char)(10 + i)) && holds(mine + 32 * PG, 32, (char)(9 + i)));
        memset(mine + 32 * PG, 10 + i, 32 * PG);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
    }
    CHECK_EQ(g_bad, 0);
}

static char *volatile g_flipped;
static volatile bool g_stop;

static void *reader(void *arg) {
    (void)arg;
    unsigned long n = 0;
    while (!g_stop) {
        n += (unsigned char)g_flipped[n % (16 * PG)];
    }
    return (void *)(n & 1);
}

/* Pages drop to zero and fill again under a reader that never calls. */
static void reader_without_calls(void) {
    pthread_t t;
    char *p = mmap(NULL, 16 * PG, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    g_flipped = p;
    REQUIRE(pthread_create(&t, NULL, reader, NULL) == 0);
    for (int i = 0; i < 300; i++) {
        memset(p, i, 16 * PG);
        CHECK(madvise(p, 16 * PG, MADV_DONTNEED) == 0);
        CHECK(p[3 * PG] == 0 && p[15 * PG + 5] == 0);
        CHECK(mprotect(p, 16 * PG, PROT_READ) == 0 && mprotect(p, 16 * PG, RW) == 0);
    }
    g_stop = true;
    pthread_join(t, NULL);
}

int main(void) {
    RUN(threads_map_and_unmap);
    RUN(forks_among_threads);
    RUN(reader_without_calls);
    TEST_MAIN_END;
}
