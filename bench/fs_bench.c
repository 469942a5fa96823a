/* SPDX-License-Identifier: Apache-2.0 */
/* Cost of file-system calls inside the Sentry, without hand-overs: fs_bench GOFER ROOTFS. */
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/seam/fs/kfs.h"
#include "tests/seam/gofer_fixture.h"

static uint64_t now_ns(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static long g_fd;
static char g_buf[65536];

static void do_stat(void) {
    struct kfs_stat st;
    CHECK(kfs_stat("/usr/bin/env", true, &st) == 0);
}

static void do_open(void) {
    long fd = kfs_open("/usr/bin/env", O_RDONLY, 0);
    CHECK(fd >= 0);
    (void)kfs_close(fd);
}

static void do_open_dir(void) {
    long fd = kfs_open("/usr/bin", O_RDONLY | O_DIRECTORY, 0);
    CHECK(fd >= 0);
    (void)kfs_close(fd);
}

static void do_list(void) {
    long fd = kfs_open("/etc", O_RDONLY | O_DIRECTORY, 0);
    CHECK(fd >= 0);
    while (kfs_getdents(fd, g_buf, 32768) > 0) {
    }
    (void)kfs_close(fd);
}

static void do_pread(void) {
    CHECK(kfs_read(g_fd, g_buf, 4096, 4096) == 4096);
}

static void do_pread_64k(void) {
    CHECK(kfs_read(g_fd, g_buf, 32768, 0) == 32768);
}

static void report(const char *what, void (*fn)(void), unsigned int count) {
    uint64_t best = UINT64_MAX;
    for (int r = 0; r < 15; r++) {
        uint64_t start = now_ns();
        for (unsigned int i = 0; i < count; i++) {
            fn();
        }
        uint64_t one = (now_ns() - start) / count;
        best = one < best ? one : best;
    }
    printf("%-28s %8llu ns\n", what, (unsigned long long)best);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        (void)fprintf(stderr, "usage: fs_bench GOFER ROOTFS\n");
        return 2;
    }
    struct fixture_export export = {argv[2], MOAT_GOFER_EXPORT_RO};
    fixture_start(argv[1], &export, 1, false);
    kfs_boot_overlay();
    g_fd = kfs_open("/usr/bin/env", O_RDONLY, 0);
    CHECK(g_fd >= 0);
    report("stat /usr/bin/env", do_stat, 10000);
    report("open, close", do_open, 10000);
    report("open, close a directory", do_open_dir, 10000);
    report("open, list /etc, close", do_list, 300);
    report("pread 4K", do_pread, 10000);
    report("pread 32K", do_pread_64k, 3000);
    (void)fixture_stop();
    return 0;
}
