/* SPDX-License-Identifier: Apache-2.0 */
/* memfd_create(2), fallocate(2), sendfile(2), copy_file_range(2), splice from files. */
#include "harness.h"

#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

static int make(const char *name, const char *text) {
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return fd;
}

static void memory_file(void) {
    int fd = memfd_create("moat", MFD_CLOEXEC);
    REQUIRE(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(fd, "data", 4), 4);
    CHECK_EQ(ftruncate(fd, 8192), 0);
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED);
    CHECK(memcmp(p, "data", 4) == 0);
    p[5000] = 'x';
    char c;
    CHECK_EQ(pread(fd, &c, 1, 5000), 1);
    CHECK_EQ(c, 'x');
    char link[64], path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, link, sizeof(link) - 1);
    REQUIRE(n > 0);
    link[n] = 0;
    CHECK(strncmp(link, "/memfd:moat", 11) == 0);
    CHECK_ERR(memfd_create("x", 0x8000), EINVAL);
    char longer[300];
    memset(longer, 'x', 299);
    longer[299] = 0;
    CHECK_ERR(memfd_create(longer, 0), EINVAL);
}

static void seals(void) {
    int fd = memfd_create("sealed", MFD_ALLOW_SEALING);
    REQUIRE(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
    CHECK_EQ(write(fd, "abc", 3), 3);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
    CHECK_ERR(ftruncate(fd, 100), EPERM);
    CHECK_ERR(ftruncate(fd, 1), EPERM);
    CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL), 0);
    CHECK_ERR(pwrite(fd, "x", 1, 0), EPERM);
    CHECK_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    int plain = memfd_create("plain", 0);
    CHECK_EQ(fcntl(plain, F_GET_SEALS), F_SEAL_SEAL);
    CHECK_ERR(fcntl(plain, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
}

static void allocation(void) {
    int fd = make("f", "abc");
    struct stat st;
    if (fallocate(fd, 0, 0, 10000) != 0 && errno == EOPNOTSUPP) {
        SKIP("the filesystem has no fallocate");
    }
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 10000);
    CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 20000), 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 10000);
    CHECK_ERR(fallocate(fd, 0, -1, 10), EINVAL);
    CHECK_ERR(fallocate(fd, 0, 0, 0), EINVAL);
    CHECK_ERR(fallocate(open("f", O_RDONLY), 0, 0, 10), EBADF);
    int p[2];
    REQUIRE(pipe(p) == 0);
    CHECK_ERR(fallocate(p[1], 0, 0, 10), ESPIPE);
    CHECK_EQ(posix_fallocate(fd, 0, 30000), 0);
}

static void punched_holes(void) {
    int fd = make("f", "");
    char block[4096], back[4096];
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(write(fd, block, sizeof(block)), 4096);
    }
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4000, 5000) != 0) {
        SKIP("the filesystem punches no holes");
    }
    CHECK_EQ(pread(fd, back, 4096, 0), 4096);
    CHECK(back[3999] == 'x' && back[4000] == 0);
    CHECK_EQ(pread(fd, back, 4096, 8192), 4096);
    CHECK(back[807] == 0 && back[808] == 'x');
}

static void sending_files(void) {
    int in = make("in", "0123456789"), out = make("out", "");
    off_t off = 3;
    CHECK_EQ(sendfile(out, in, &off, 4), 4);
    CHECK_EQ(off, 7);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 10);
    char buf[16];
    CHECK_EQ(pread(out, buf, 16, 0), 4);
    CHECK(memcmp(buf, "3456", 4) == 0);
    CHECK_EQ(lseek(in, 0, SEEK_SET), 0);
    CHECK_EQ(sendfile(out, in, NULL, 100), 10);
    CHECK_EQ(sendfile(out, in, NULL, 100), 0);
    int sv[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    off = 0;
    CHECK_EQ(sendfile(sv[0], in, &off, 10), 10);
    CHECK_EQ(recv(sv[1], buf, 10, MSG_WAITALL), 10);
    CHECK(memcmp(buf, "0123456789", 10) == 0);
    off = -1;
    CHECK_ERR(sendfile(out, in, &off, 1), EINVAL);
    CHECK_ERR(sendfile(open("in", O_RDONLY), in, NULL, 1), EBADF);
    CHECK_ERR(sendfile(out, sv[0], NULL, 1), EINVAL);
}

static void copying_ranges(void) {
    int in = make("in", "0123456789"), out = make("out", "abcdefghij");
    loff_t from = 2, to = 5;
    CHECK_EQ(copy_file_range(in, &from, out, &to, 3, 0), 3);
    CHECK(from == 5 && to == 8);
    char buf[16];
    CHECK_EQ(pread(out, buf, 16, 0), 10);
    CHECK(memcmp(buf, "abcde234ij", 10) == 0);
    from = 8;
    to = 20;
    CHECK_EQ(copy_file_range(in, &from, out, &to, 100, 0), 2);
    CHECK_EQ(copy_file_range(in, &from, out, &to, 100, 0), 0);
    CHECK_ERR(copy_file_range(in, NULL, out, NULL, 1, 1), EINVAL);
    CHECK_ERR(copy_file_range(in, NULL, open("out", O_RDONLY), NULL, 1, 0), EBADF);
    CHECK_ERR(copy_file_range(open(".", O_RDONLY), NULL, out, NULL, 1, 0), EISDIR);
}

int main(void) {
    RUN(memory_file);
    RUN(seals);
    RUN(allocation);
    RUN(punched_holes);
    RUN(sending_files);
    RUN(copying_ranges);
    TEST_MAIN_END;
}
