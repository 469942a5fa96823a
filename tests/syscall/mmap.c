/* SPDX-License-Identifier: Apache-2.0 */
/* mmap(2), munmap(2), mprotect(2), mremap(2), brk(2), and what a fault does. */
#include "harness.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define PG ((size_t)4096)
#define RW (PROT_READ | PROT_WRITE)

static sigjmp_buf g_jump;
static volatile int g_signo, g_code;
static void *volatile g_fault_addr;

static void on_fault(int signo, siginfo_t *info, void *context) {
    (void)context;
    g_signo = signo;
    g_code = info->si_code;
    g_fault_addr = info->si_addr;
    siglongjmp(g_jump, 1);
}

static void catch_faults(void) {
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    REQUIRE(sigaction(SIGSEGV, &sa, NULL) == 0 && sigaction(SIGBUS, &sa, NULL) == 0);
}

/* The signal that touching p gives, or 0. */
static int touch(volatile char *p, bool write) {
    g_signo = 0;
    if (sigsetjmp(g_jump, 1) == 0) {
        if (write) {
            *p = *p;
            *p = 1;
        } else {
            (void)*p;
        }
    }
    return g_signo;
}

static char *anon(size_t len, int prot, int flags) {
    char *p = mmap(NULL, len, prot, flags | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    return p;
}

static int file_of(size_t len) {
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    REQUIRE(fd >= 0);
    for (size_t i = 0; i < len; i += PG) {
        char page[4096];
        memset(page, (int)('a' + i / PG % 26), sizeof(page));
        size_t n = len - i < PG ? len - i : PG;
        REQUIRE(write(fd, page, n) == (ssize_t)n);
    }
    return fd;
}

static void anonymous_is_zero_and_writable(void) {
    char *p = anon(64 * PG, RW, MAP_PRIVATE);
    for (size_t i = 0; i < 64 * PG; i += 511) {
        REQUIRE(p[i] == 0);
        p[i] = (char)i;
    }
    for (size_t i = 0; i < 64 * PG; i += 511) {
        REQUIRE(p[i] == (char)i);
    }
    CHECK(munmap(p, 64 * PG) == 0);
    catch_faults();
    CHECK_EQ(touch(p, false), SIGSEGV);
    CHECK_EQ(g_code, SEGV_MAPERR);
    CHECK(g_fault_addr == p);
}

static void recycled_memory_is_zero(void) {
    for (int round = 0; round < 50; round++) {
        size_t len = (size_t)(1 + round * 7) * PG;
        char *p = anon(len, RW, MAP_PRIVATE);
        for (size_t i = 0; i < len; i += PG / 4) {
            REQUIRE(p[i] == 0);
            p[i] = 0x5a;
        }
        REQUIRE(munmap(p, len) == 0);
    }
}

static void mprotect_takes_and_gives(void) {
    char *p = anon(4 * PG, RW, MAP_PRIVATE);
    catch_faults();
    p[PG] = 7;
    CHECK(mprotect(p + PG, PG, PROT_READ) == 0);
    CHECK_EQ(touch(p + PG, true), SIGSEGV);
    CHECK_EQ(g_code, SEGV_ACCERR);
    CHECK_EQ(touch(p + PG, false), 0);
    CHECK_EQ(touch(p + 2 * PG, true), 0);
    CHECK(mprotect(p, 4 * PG, PROT_NONE) == 0);
    CHECK_EQ(touch(p + PG, false), SIGSEGV);
    CHECK(mprotect(p, 4 * PG, RW) == 0);
    CHECK_EQ(p[PG], 7);
    CHECK_EQ(touch(p + PG, true), 0);
    CHECK(munmap(p + 2 * PG, PG) == 0);
    CHECK_ERR(mprotect(p, 4 * PG, PROT_READ), ENOMEM);
    CHECK_ERR(mprotect(p + 1, PG, PROT_READ), EINVAL);
}

static void errors_of_mmap(void) {
    CHECK_ERR((long)mmap(NULL, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, PG, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, PG, RW, MAP_PRIVATE, -1, 0), EBADF);
    CHECK_ERR((long)mmap(NULL, PG, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 3), EINVAL);
    CHECK_ERR((long)mmap((void *)1, PG, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
              EINVAL);
    CHECK_ERR((long)mmap(NULL, (size_t)1 << 62, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    int fd = file_of(PG), ro = open("file", O_RDONLY), wo = open("file", O_WRONLY);
    CHECK_ERR((long)mmap(NULL, PG, RW, MAP_SHARED, ro, 0), EACCES);
    CHECK_ERR((long)mmap(NULL, PG, PROT_READ, MAP_PRIVATE, wo, 0), EACCES);
    void *p = mmap(NULL, PG, PROT_READ, MAP_SHARED, ro, 0);
    REQUIRE(p != MAP_FAILED);
    CHECK_ERR(mprotect(p, PG, RW), EACCES);
    int dir = open(".", O_RDONLY | O_DIRECTORY), pipes[2];
    CHECK_ERR((long)mmap(NULL, PG, PROT_READ, MAP_PRIVATE, dir, 0), ENODEV);
    REQUIRE(pipe(pipes) == 0);
    CHECK_ERR((long)mmap(NULL, PG, PROT_READ, MAP_PRIVATE, pipes[0], 0), ENODEV);
    CHECK_ERR(munmap((void *)1, PG), EINVAL);
    CHECK_ERR(munmap(p, 0), EINVAL);
    close(fd);
}

static void fixed_mappings(void) {
    char *p = anon(8 * PG, RW, MAP_PRIVATE);
    memset(p, 1, 8 * PG);
    CHECK(mmap(p + 2 * PG, 2 * PG, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
          p + 2 * PG);
    CHECK(p[PG] == 1 && p[2 * PG] == 0 && p[4 * PG] == 1);
    CHECK_ERR((long)mmap(p + PG, PG, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
              EEXIST);
    CHECK(munmap(p + PG, PG) == 0);
    CHECK(mmap(p + PG, PG, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == p + PG);
    CHECK(munmap(p + 4 * PG, PG) == 0);
    CHECK(mmap(p + 4 * PG, PG, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
          p + 4 * PG); /* a free hint is taken */
}

static void private_file_keeps_its_writes(void) {
    int fd = file_of(3 * PG + 100);
    char *p = mmap(NULL, 4 * PG, RW, MAP_PRIVATE, fd, 0);
    REQUIRE(p != MAP_FAILED);
    CHECK(p[0] == 'a' && p[PG] == 'b' && p[3 * PG + 99] == 'd' && p[3 * PG + 100] == 0);
    p[PG] = 'X';
    char c = 0;
    CHECK(pread(fd, &c, 1, (off_t)PG) == 1 && c == 'b');
    char *q = mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, (off_t)PG);
    CHECK(q != MAP_FAILED && q[0] == 'b' && p[PG] == 'X');
}

static void shared_file_is_the_file(void) {
    int fd = file_of(3 * PG);
    char *p = mmap(NULL, 3 * PG, RW, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED);
    p[PG + 5] = 'Y';
    char c = 0;
    CHECK(pread(fd, &c, 1, (off_t)PG + 5) == 1 && c == 'Y');
    CHECK(pwrite(fd, "Z", 1, 6) == 1);
    CHECK_EQ(p[6], 'Z');
    CHECK(msync(p, 3 * PG, MS_SYNC) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        p[7] = 'C';
        _exit(0);
    }
    CHECK(child_ok(pid));
    CHECK_EQ(p[7], 'C');
}

static void beyond_the_end_is_sigbus(void) {
    int fd = file_of(PG + 10);
    char *p = mmap(NULL, 4 * PG, RW, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED);
    catch_faults();
    CHECK_EQ(touch(p + PG + 4000, false), 0);
    CHECK_EQ(touch(p + 2 * PG, false), SIGBUS);
    CHECK_EQ(g_code, BUS_ADRERR);
    REQUIRE(ftruncate(fd, (off_t)(3 * PG)) == 0);
    CHECK_EQ(touch(p + 2 * PG, true), 0);
    REQUIRE(ftruncate(fd, 10) == 0);
    CHECK_EQ(touch(p + PG, false), SIGBUS);
    CHECK_EQ(touch(p, false), 0);
}

/* A process that makes no call must see that a shared page was replaced. */
static void hole_reaches_a_busy_process(void) {
    int fd = memfd_create("hole", 0), ready[2];
    REQUIRE(fd >= 0 && ftruncate(fd, (off_t)PG) == 0 && pipe(ready) == 0);
    volatile char *p = mmap(NULL, PG, RW, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED);
    p[0] = 1;
    pid_t pid = fork();
    if (pid == 0) {
        char c = p[0];
        (void)!write(ready[1], &c, 1);
        while (p[0] != 2) {
        }
        _exit(0);
    }
    char c = 0;
    REQUIRE(read(ready[0], &c, 1) == 1 && c == 1);
    REQUIRE(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)PG) == 0);
    CHECK_EQ(p[0], 0);
    p[0] = 2;
    CHECK(child_ok(pid));
}

static void fork_copies_private_memory(void) {
    size_t pages = 600;
    char *p = anon(pages * PG, RW, MAP_PRIVATE), *s = anon(PG, RW, MAP_SHARED);
    for (size_t i = 0; i < pages; i++) {
        p[i * PG] = (char)i;
    }
    pid_t pid = fork();
    if (pid == 0) {
        for (size_t i = 0; i < pages; i++) {
            if (p[i * PG] != (char)i) {
                _exit(1);
            }
            p[i * PG] = 1;
        }
        s[0] = 42;
        _exit(0);
    }
    for (size_t i = 0; i < pages; i += 3) {
        p[i * PG] = 2;
    }
    CHECK(child_ok(pid));
    CHECK_EQ(s[0], 42);
    for (size_t i = 0; i < pages; i++) {
        REQUIRE(p[i * PG] == (i % 3 == 0 ? 2 : (char)i));
    }
}

static void calls_write_to_shared_pages(void) {
    char *p = anon(4 * PG, RW, MAP_PRIVATE);
    memset(p, 'p', 4 * PG);
    int pipes[2], back[2];
    REQUIRE(pipe(pipes) == 0 && pipe(back) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        char buf[100];
        memset(buf, 'k', sizeof(buf));
        if (write(pipes[1], buf, 100) != 100 || read(pipes[0], p + PG - 50, 100) != 100) {
            _exit(1);
        }
        _exit(p[PG - 51] != 'p' || p[PG - 50] != 'k' || p[PG + 49] != 'k' || p[PG + 50] != 'p');
    }
    CHECK(child_ok(pid));
    CHECK(p[PG - 50] == 'p' && p[PG + 49] == 'p');
}

static void mremap_grows_and_moves(void) {
    char *p = anon(4 * PG, RW, MAP_PRIVATE);
    for (int i = 0; i < 4; i++) {
        p[(size_t)i * PG] = (char)(i + 1);
    }
    char *q = mremap(p, 4 * PG, 64 * PG, MREMAP_MAYMOVE);
    REQUIRE(q != MAP_FAILED);
    for (int i = 0; i < 64; i++) {
        REQUIRE(q[(size_t)i * PG] == (i < 4 ? i + 1 : 0));
    }
    q[63 * PG] = 9;
    CHECK(mremap(q, 64 * PG, 2 * PG, 0) == q);
    catch_faults();
    CHECK_EQ(touch(q + 2 * PG, false), SIGSEGV);
    char *there = anon(8 * PG, PROT_NONE, MAP_PRIVATE);
    char *r = mremap(q, 2 * PG, 4 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, there);
    CHECK(r == there && r[PG] == 2 && r[3 * PG] == 0);
    CHECK_ERR((long)mremap(r, 4 * PG, 8 * PG, 0x80), EINVAL);
    CHECK_ERR((long)mremap(r, 4 * PG, 0, MREMAP_MAYMOVE), EINVAL);
    CHECK_ERR((long)mremap(q, PG, 2 * PG, MREMAP_MAYMOVE), EFAULT);
}

static void brk_grows_and_shrinks(void) {
    char *start = sbrk(0);
    REQUIRE(sbrk(10 * (intptr_t)PG) == start);
    memset(start, 3, 10 * PG);
    REQUIRE(sbrk(-9 * (intptr_t)PG) == start + 10 * PG);
    REQUIRE(sbrk(9 * (intptr_t)PG) == start + PG);
    CHECK_EQ(start[PG - 1], 3);
    char *page = (char *)(((uintptr_t)start + 2 * PG) & ~(PG - 1));
    CHECK_EQ(page[0], 0); /* the shrunk part came back zeroed */
}

static void reservations_cost_nothing(void) {
    size_t huge = (size_t)1 << 40;
    char *p = anon(huge, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);
    CHECK(mprotect(p + huge / 2, 1 << 20, RW) == 0);
    p[huge / 2 + 5] = 1;
    CHECK_EQ(p[huge / 2 + 4], 0);
    CHECK(munmap(p, huge) == 0);
    char *big = anon((size_t)1 << 30, RW, MAP_PRIVATE | MAP_NORESERVE);
    for (size_t i = 0; i < (size_t)1 << 30; i += (size_t)64 << 20) {
        big[i + i / 1000] = 1;
    }
    CHECK_EQ(big[((size_t)64 << 20) + 1], 0);
}

static void stack_grows(void) {
    volatile char deep[3 << 20];
    for (size_t i = 0; i < sizeof(deep); i += 4096) {
        deep[sizeof(deep) - 1 - i] = (char)i;
    }
    CHECK_EQ(deep[sizeof(deep) - 1], 0);
}

static void address_space_limit(void) {
    struct rlimit r = {(size_t)64 << 20, (size_t)64 << 20};
    REQUIRE(setrlimit(RLIMIT_AS, &r) == 0);
    CHECK_ERR((long)mmap(NULL, (size_t)65 << 20, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    CHECK(mmap(NULL, (size_t)8 << 20, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

static void execute_permission(void) {
    static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42, %eax; ret */
    char *p = anon(PG, RW, MAP_PRIVATE);
    memcpy(p, code, sizeof(code));
    REQUIRE(mprotect(p, PG, PROT_READ | PROT_EXEC) == 0);
    int (*fn)(void);
    memcpy(&fn, &p, sizeof(fn));
    CHECK_EQ(fn(), 42);
    REQUIRE(mprotect(p, PG, PROT_READ) == 0);
    catch_faults();
    g_signo = 0;
    if (sigsetjmp(g_jump, 1) == 0) {
        (void)fn();
    }
    CHECK_EQ(g_signo, SIGSEGV);
}

int main(void) {
    RUN(anonymous_is_zero_and_writable);
    RUN(recycled_memory_is_zero);
    RUN(mprotect_takes_and_gives);
    RUN(errors_of_mmap);
    RUN(fixed_mappings);
    RUN(private_file_keeps_its_writes);
    RUN(shared_file_is_the_file);
    RUN(beyond_the_end_is_sigbus);
    RUN(hole_reaches_a_busy_process);
    RUN(fork_copies_private_memory);
    RUN(calls_write_to_shared_pages);
    RUN(mremap_grows_and_moves);
    RUN(brk_grows_and_shrinks);
    RUN(reservations_cost_nothing);
    RUN(stack_grows);
    RUN(address_space_limit);
    RUN(execute_permission);
    TEST_MAIN_END;
}
