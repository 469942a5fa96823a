/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Round trips to a Gofer: gofer_bench PROGRAM [socket] [pin].  Prints ns per request (median of ten
 * rounds) for each kind of hand-over it is asked for, and how long the Gofer takes from exec to its
 * first answer.
 */
#include "../tests/seam/gofer_fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void report(const char *what, void (*fn)(uint64_t arg), uint64_t arg, unsigned int count) {
    uint64_t rounds[10];
    for (int r = 0; r < 10; r++) {
        uint64_t start = now_ns();
        for (unsigned int i = 0; i < count; i++) {
            fn(arg);
        }
        rounds[r] = (now_ns() - start) / count;
    }
    qsort(rounds, 10, sizeof(rounds[0]), compare);
    printf("%-28s %8llu ns\n", what, (unsigned long long)rounds[5]);
}

static void do_unknown(uint64_t arg) {
    CHECK(fuse_request(FUSE_IOCTL, arg, NULL, 0, NULL, NULL, NULL, 0, NULL) < 0);
}

static void do_getattr(uint64_t node) {
    struct fuse_getattr_in in = {0};
    struct fuse_attr_out out;
    CHECK(fuse_request(FUSE_GETATTR, node, &in, sizeof(in), NULL, NULL, &out, sizeof(out), NULL) >
          0);
}

static void do_lookup(uint64_t dir) {
    CHECK(fuse_look(dir, "file", NULL) > 0);
}

static void do_negative(uint64_t dir) {
    CHECK(fuse_look(dir, "nothing", NULL) < 0);
}

static void do_open(uint64_t node) {
    int fd = fuse_open_node(node, O_RDONLY);
    CHECK(fd >= 0);
    (void)close(fd);
}

static void list_dir(uint64_t dir, uint32_t what) {
    static uint8_t out[128 * 1024];
    struct moat_gofer_list_in in = {.size = sizeof(out) - 64, .what = what};
    CHECK(fuse_request(MOAT_FUSE_LIST, dir, &in, sizeof(in), NULL, NULL, out, sizeof(out), NULL) >
          0);
}

static void do_list_names(uint64_t dir) {
    list_dir(dir, MOAT_GOFER_LIST_NAMES);
}

static void do_list_all(uint64_t dir) {
    list_dir(dir, MOAT_GOFER_LIST_ALL);
}

int main(int argc, char **argv) {
    bool by_socket = false;
    if (argc < 2) {
        (void)fprintf(stderr, "usage: gofer_bench PROGRAM [socket] [pin]\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        by_socket |= strcmp(argv[i], "socket") == 0;
        if (strcmp(argv[i], "pin") == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(0, &one);
            CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
        }
    }
    const char *dir = temp_dir_make();
    temp_file_put(dir, "file", "hello");
    for (int i = 0; i < 100; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "entry-%d", i);
        temp_file_put(dir, name, "");
    }
    struct fixture_export export = {dir, 0};
    uint64_t start = now_ns();
    fixture_start(argv[1], &export, 1, by_socket);
    printf("hand-over: %s\n", by_socket ? "socket" : "notification");
    printf("%-28s %8llu ns\n", "fork to first answer", (unsigned long long)(now_ns() - start));
    uint64_t file = (uint64_t)fuse_look(1, "file", NULL);
    unsigned int count = by_socket ? 1000 : 20000;
    report("round trip alone (ENOSYS)", do_unknown, 1, count);
    report("GETATTR", do_getattr, file, count);
    report("LOOKUP", do_lookup, 1, count);
    report("LOOKUP of nothing", do_negative, 1, count);
    report("OPEN with descriptor, close", do_open, file, count / 2);
    report("LIST of 101 names", do_list_names, 1, count / 20);
    report("LIST of 101 with attributes", do_list_all, 1, count / 20);
    (void)fixture_stop();
    temp_dir_remove(dir);
    return 0;
}
