/* SPDX-License-Identifier: Apache-2.0 */
/* madvise(2), mincore(2), msync(2), mlock(2), process_vm_readv(2). */
#include "harness.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PG ((size_t)4096)
#define RW (PROT_READ | PROT_WRITE)

static char *anon(size_t len, int flags) {
    char *p = mmap(NULL, len, RW, flags | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    return p;
}

static void dontneed_zeroes_private(void) {
    char *p = anon(8 * PG, MAP_PRIVATE);
    memset(p, 1, 8 * PG);
    CHECK(madvise(p + PG, 2 * PG, MADV_DONTNEED) == 0);
    CHECK(p[0] == 1 && p[PG] == 0 && p[3 * PG - 1] == 0 && p[3 * PG] == 1);
    p[PG] = 2;
    CHECK_EQ(p[PG], 2);
}

static void dontneed_keeps_shared(void) {
    char *p = anon(4 * PG, MAP_SHARED);
    memset(p, 1, 4 * PG);
    CHECK(madvise(p, 4 * PG, MADV_DONTNEED) == 0);
    CHECK(p[0] == 1 && p[3 * PG] == 1);
    CHECK(madvise(p + PG, PG, MADV_REMOVE) == 0);
    CHECK(p[0] == 1 && p[PG] == 0 && p[2 * PG] == 1);
}

static void advice_about_fork(void) {
    char *p = anon(2 * PG, MAP_PRIVATE);
    p[0] = 1;
    p[PG] = 2;
    CHECK(madvise(p, PG, MADV_WIPEONFORK) == 0);
    CHECK(madvise(p + PG, PG, MADV_DONTFORK) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        unsigned char vec;
        _exit(p[0] != 0 || mincore(p + PG, PG, &vec) != -1 || errno != ENOMEM);
    }
    CHECK(child_ok(pid));
    CHECK(p[0] == 1 && p[PG] == 2);
}

static void advice_errors(void) {
    char *p = anon(4 * PG, MAP_PRIVATE);
    CHECK_ERR(madvise(p + 1, PG, MADV_NORMAL), EINVAL);
    CHECK_ERR(madvise(p, PG, 12345), EINVAL);
    CHECK(madvise(p, 0, MADV_DONTNEED) == 0);
    CHECK(munmap(p + PG, PG) == 0);
    p[2 * PG] = 1;
    CHECK_ERR(madvise(p, 3 * PG, MADV_DONTNEED), ENOMEM);
    CHECK_EQ(p[2 * PG], 0); /* done all the same */
    CHECK(madvise(p, PG, MADV_WILLNEED) == 0);
    CHECK(madvise(p, PG, MADV_SEQUENTIAL) == 0);
}

static void mincore_tells(void) {
    unsigned char vec[4] = {9, 9, 9, 9};
    char *p = anon(4 * PG, MAP_PRIVATE);
    memset(p, 1, 4 * PG);
    CHECK(mincore(p, 4 * PG, vec) == 0);
    CHECK((vec[0] & 1) == 1 && (vec[3] & 1) == 1);
    CHECK(munmap(p + 2 * PG, PG) == 0);
    CHECK_ERR(mincore(p, 4 * PG, vec), ENOMEM);
    CHECK_ERR(mincore(p + 1, PG, vec), EINVAL);
    CHECK_ERR(mincore(p, PG, BAD), EFAULT);
}

static void msync_errors(void) {
    char *p = anon(2 * PG, MAP_PRIVATE);
    CHECK(msync(p, 2 * PG, MS_ASYNC) == 0);
    CHECK_ERR(msync(p + 1, PG, MS_SYNC), EINVAL);
    CHECK_ERR(msync(p, PG, MS_SYNC | MS_ASYNC), EINVAL);
    CHECK(munmap(p + PG, PG) == 0);
    CHECK_ERR(msync(p, 2 * PG, MS_SYNC), ENOMEM);
}

static void locking(void) {
    struct rlimit r;
    char *p = anon(8 * PG, MAP_PRIVATE);
    REQUIRE(getrlimit(RLIMIT_MEMLOCK, &r) == 0);
    if (r.rlim_cur < 8 * PG) {
        SKIP("RLIMIT_MEMLOCK is too small");
    }
    CHECK(mlock(p + 1, 3 * PG) == 0);
    CHECK_ERR(madvise(p, PG, MADV_DONTNEED), EINVAL);
    CHECK(munlock(p, 4 * PG) == 0);
    CHECK(madvise(p, PG, MADV_DONTNEED) == 0);
    CHECK(munmap(p + 2 * PG, PG) == 0);
    CHECK_ERR(mlock(p, 4 * PG), ENOMEM);
    CHECK_ERR(mlockall(0), EINVAL);
    CHECK_ERR(syscall(SYS_mlock2, p, PG, 2), EINVAL);
    CHECK(munlockall() == 0);
}

static void process_vm_reads_and_writes(void) {
    char *p = anon(4 * PG, MAP_PRIVATE), *sync = anon(PG, MAP_SHARED), buf[3 * 4096];
    int go[2];
    REQUIRE(pipe(go) == 0);
    memset(p, 'p', 4 * PG);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        memset(p, 'c', 4 * PG);
        sync[0] = 1;
        (void)!write(go[1], "x", 1);
        while (((volatile char *)sync)[0] != 2) {
            sleep_ms(1);
        }
        (void)c;
        _exit(p[100] != 'w' || p[101] != 'c');
    }
    char c;
    REQUIRE(read(go[0], &c, 1) == 1);
    struct iovec local[2] = {{buf, 10}, {buf + 10, 2 * PG}}, remote = {p + PG - 5, 2 * PG};
    CHECK_EQ(process_vm_readv(pid, local, 2, &remote, 1, 0), (long long)(2 * PG));
    CHECK(buf[0] == 'c' && buf[2 * PG - 1] == 'c');
    buf[0] = 'w';
    struct iovec one = {buf, 1}, there = {p + 100, 1}, nowhere = {BAD, 4};
    CHECK_EQ(process_vm_writev(pid, &one, 1, &there, 1, 0), 1);
    CHECK_ERR(process_vm_readv(pid, &one, 1, &nowhere, 1, 0), EFAULT);
    CHECK_ERR(process_vm_readv(pid, &one, 1, &there, 1, 1), EINVAL);
    CHECK_ERR(process_vm_readv(99999999, &one, 1, &there, 1, 0), ESRCH);
    sync[0] = 2;
    CHECK(child_ok(pid));
    CHECK_EQ(p[100], 'p');
}

int main(void) {
    RUN(dontneed_zeroes_private);
    RUN(dontneed_keeps_shared);
    RUN(advice_about_fork);
    RUN(advice_errors);
    RUN(mincore_tells);
    RUN(msync_errors);
    RUN(locking);
    RUN(process_vm_reads_and_writes);
    TEST_MAIN_END;
}
