/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single properties of overlay and fuse over a real Gofer: cases_test GOFER
 * overlay|exclusive|shared.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/seam/fs/kfs.h"
#include "tests/seam/gofer_fixture.h"

static char g_lower[600], g_volume[600];

static const char *below(const char *dir, const char *name) {
    static char path[4][800];
    static unsigned int next;
    char *p = path[next++ % 4];
    (void)snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
    return p;
}

static struct kfs_stat stat_of(const char *path) {
    struct kfs_stat st;
    CHECK_EQ(kfs_stat(path, false, &st), 0);
    return st;
}

static long read_text(const char *path, char *buf, size_t size) {
    long fd = kfs_open(path, O_RDONLY, 0);
    if (fd < 0) {
        return fd;
    }
    long n = kfs_read(fd, buf, size - 1, 0);
    buf[n < 0 ? 0 : n] = '\0';
    (void)kfs_close(fd);
    return n;
}

static bool text_is(const char *path, const char *want) {
    char buf[256];
    return read_text(path, buf, sizeof(buf)) >= 0 && strcmp(buf, want) == 0;
}

static void append_text(const char *path, const char *text) {
    long fd = kfs_open(path, O_WRONLY | O_APPEND, 0);
    CHECK(fd >= 0 && kfs_write(fd, text, strlen(text), -1) == (long)strlen(text));
    (void)kfs_close(fd);
}

static unsigned int count_entries(const char *path) {
    char buf[4096];
    unsigned int count = 0;
    long fd = kfs_open(path, O_RDONLY | O_DIRECTORY, 0), got;
    CHECK(fd >= 0);
    while ((got = kfs_getdents(fd, buf, sizeof(buf))) > 0) {
        for (long at = 0; at < got; count++) {
            uint16_t size;
            memcpy(&size, buf + at + 16, sizeof(size));
            at += size;
        }
    }
    CHECK_EQ(got, 0);
    (void)kfs_close(fd);
    return count;
}

/* ---- overlay ---- */

static void test_copy_up_keeps(void) {
    struct kfs_stat before = stat_of("dir/file"), dir = stat_of("dir"), sub = stat_of("dir/sub");
    long fd = kfs_open("dir/file", O_RDONLY, 0);
    CHECK(fd >= 0);
    append_text("dir/file", " more");
    kfs_shrink(1);
    struct kfs_stat after = stat_of("dir/file"), dir2 = stat_of("dir");
    CHECK(after.ino == before.ino && after.dev == before.dev && after.uid == before.uid &&
          after.mode == before.mode);
    CHECK(dir2.ino == dir.ino && dir2.mtime == dir.mtime && dir2.mtime_nsec == dir.mtime_nsec);
    CHECK_EQ(stat_of("dir/sub").ino, sub.ino);
    /* Who read the file before sees what was written since. */
    char buf[64] = "";
    CHECK_EQ(kfs_read(fd, buf, sizeof(buf), 0), 9);
    CHECK(strcmp(buf, "file more") == 0);
    struct kfs_stat st;
    CHECK_EQ(kfs_fstat(fd, &st), 0);
    CHECK_EQ(st.size, 9);
    (void)kfs_close(fd);
    struct stat host;
    CHECK(stat(below(g_lower, "dir/file"), &host) == 0 && host.st_size == 4);
}

static void test_born_above(void) {
    long fd = kfs_open("dir/new", O_CREAT | O_EXCL | O_WRONLY, 0640);
    CHECK(fd >= 0);
    (void)kfs_close(fd);
    struct kfs_stat st = stat_of("dir/new");
    CHECK(st.ino >= 1ull << 46); /* apart from the lower layer's numbers */
    CHECK_EQ(st.dev, stat_of("dir/file").dev);
    CHECK_EQ(kfs_unlink("dir/new", false), 0);
}

static void test_whiteouts(void) {
    unsigned int entries = count_entries("dir");
    CHECK_EQ(kfs_unlink("dir/gone", false), 0);
    CHECK_EQ(count_entries("dir"), entries - 1);
    kfs_shrink(1);
    struct kfs_stat st;
    CHECK_EQ(kfs_stat("dir/gone", false, &st), -ENOENT);
    CHECK_EQ(kfs_mknod("dir/white", S_IFCHR, 0), -EPERM); /* a guest makes no whiteouts */
    CHECK_EQ(kfs_rename("dir/file", "dir/file2", RENAME_WHITEOUT), -EINVAL);
    CHECK_EQ(kfs_mkdir("dir/gone", 0755), 0); /* hides what was there */
    CHECK_EQ(count_entries("dir/gone"), 2);
    char list[512];
    CHECK_EQ(kfs_listxattr("dir/gone", list, sizeof(list)), 0); /* what marks it is not shown */
    char value[8];
    CHECK(kfs_getxattr("dir/gone", "trusted.overlay.opaque", value, sizeof(value)) < 0);
    CHECK(kfs_setxattr("dir/gone", "trusted.overlay.opaque", "n", 1) < 0);
    CHECK_EQ(kfs_unlink("dir/gone", true), 0);
}

/* A lower directory moves with all that is in it, also what nobody looked at before. */
static void test_move_directory(void) {
    struct kfs_stat before = stat_of("tree");
    CHECK_EQ(kfs_rename("tree", "dir/moved", 0), 0);
    kfs_shrink(1);
    kfs_shrink(1);
    CHECK(text_is("dir/moved/deep/leaf", "leaf"));
    CHECK_EQ(stat_of("dir/moved").ino, before.ino);
    append_text("dir/moved/deep/leaf", "!");
    kfs_shrink(1);
    CHECK(text_is("dir/moved/deep/leaf", "leaf!"));
    struct kfs_stat st;
    CHECK_EQ(kfs_stat("tree", false, &st), -ENOENT);
    CHECK_EQ(kfs_rename("dir/moved", "tree", 0), 0);
    CHECK(text_is("tree/deep/leaf", "leaf!"));
}

/* All names of a lower file show one file after one of them was written to. */
static void test_hard_links(void) {
    CHECK_EQ(stat_of("link1").ino, stat_of("dir/link2").ino);
    append_text("link1", "+");
    kfs_shrink(1);
    CHECK(text_is("dir/link2", "linked+"));
    append_text("dir/link2", "+");
    CHECK(text_is("link1", "linked++"));
    CHECK_EQ(stat_of("link1").nlink, 2);
    CHECK_EQ(kfs_unlink("link1", false), 0);
    kfs_shrink(1);
    CHECK_EQ(stat_of("dir/link2").nlink, 1);
    CHECK(text_is("dir/link2", "linked++"));
    CHECK_EQ(kfs_link("dir/link2", "link3"), 0);
    CHECK_EQ(stat_of("link3").nlink, 2);
    CHECK_EQ(stat_of("link3").ino, stat_of("dir/link2").ino);
}

static void test_attributes_above(void) {
    char value[16] = "";
    CHECK_EQ(kfs_getxattr("dir/tagged", "user.tag", value, sizeof(value)), 5);
    CHECK_EQ(kfs_setxattr("dir/tagged", "user.other", "x", 1), 0);
    CHECK_EQ(kfs_getxattr("dir/tagged", "user.tag", value, sizeof(value)), 5); /* came up too */
    CHECK_EQ(kfs_listxattr("dir/tagged", NULL, 0),
             (long)(sizeof("user.tag") + sizeof("user.other")));
    CHECK(getxattr(below(g_lower, "dir/tagged"), "user.other", value, sizeof(value)) < 0);
    CHECK_EQ(kfs_chmod("dir/tagged", 04711), 0);
    CHECK_EQ(stat_of("dir/tagged").mode, S_IFREG | 04711u);
}

/* ---- either root ---- */

static void walk_all(void) {
    static const char *const dirs[] = {".", "dir", "dir/sub", "tree", "tree/deep", "many"};
    for (size_t i = 0; i < 6; i++) {
        (void)stat_of(dirs[i]);
        (void)count_entries(dirs[i]);
    }
}

/* What was seen once on an exclusive connection costs no message any more. */
static void test_messages(bool exclusive) {
    struct kfs_stat st;
    walk_all();
    CHECK(text_is("dir/file", "file"));
    CHECK_EQ(kfs_stat("many/nothing", false, &st), -ENOENT);
    uint64_t before = kfs_messages();
    walk_all();
    CHECK(text_is("dir/file", "file"));
    CHECK_EQ(kfs_stat("many/nothing", false, &st), -ENOENT);
    if (exclusive) {
        CHECK_EQ(kfs_messages(), before);
    }
    /* A directory that is looked through name by name is fetched as a whole. */
    for (unsigned int i = 0; i < 400; i++) {
        char name[64];
        (void)snprintf(name, sizeof(name), "many/n%u", i);
        CHECK_EQ(kfs_stat(name, false, &st), i < 300 ? 0 : -ENOENT);
    }
    if (exclusive) {
        CHECK(kfs_messages() - before < 40);
    }
}

/* The host replaces a file that was looked up but not opened: opening finds the new one. */
static void test_replaced(void) {
    (void)stat_of("dir/replaced");
    temp_file_put(g_lower, "dir/replacement", "second");
    CHECK(rename(below(g_lower, "dir/replacement"), below(g_lower, "dir/replaced")) == 0);
    CHECK(text_is("dir/replaced", "second"));
}

/* ---- volumes ---- */

static void test_volume(void) {
    char buf[32];
    CHECK_EQ(kfs_mkdir("volume", 0755), 0);
    CHECK_EQ(kfs_mount_fuse("chan=0,export=1", "/volume"), 0);
    long fd = kfs_open("volume/made", O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0 && kfs_write(fd, "abc", 3, 0) == 3);
    int host = open(below(g_volume, "made"), O_RDWR);
    CHECK(host >= 0 && read(host, buf, sizeof(buf)) == 3 && memcmp(buf, "abc", 3) == 0);
    /* Both sides write: each sees the other, through reads and through mappings. */
    CHECK(pwrite(host, "XYZ", 3, 3) == 3);
    CHECK_EQ(kfs_read(fd, buf, sizeof(buf), 0), 6);
    CHECK_EQ(kfs_lseek(fd, 0, SEEK_END), 6);
    CHECK_EQ(kfs_mapped_byte(fd, 5, true), 'Z');
    CHECK(pread(host, buf, 1, 5) == 1 && buf[0] == 'Z' + 1);
    CHECK(ftruncate(host, 3 << 20) == 0 &&
          pwrite(host, "!", 1, (3 << 20) - 1) == 1); /* beyond the first window */
    CHECK_EQ(kfs_mapped_byte(fd, (3 << 20) - 1, false), '!');
    CHECK_EQ(kfs_mapped_byte(fd, 5, false), 'Z' + 1);
    CHECK_EQ(kfs_mapped_byte(fd, 4 << 20, false), -EFAULT);
    (void)kfs_close(fd);
    (void)close(host);
    /* What the host makes is there at once. */
    struct kfs_stat st;
    CHECK_EQ(kfs_stat("volume/late", false, &st), -ENOENT);
    temp_file_put(g_volume, "late", "now");
    CHECK(text_is("volume/late", "now"));
    /* No devices, no FIFOs; no way for a guest to mount what it likes. */
    CHECK_EQ(kfs_mknod("volume/null", S_IFCHR | 0666, makedev(1, 3)), -EPERM);
    CHECK_EQ(kfs_mknod("volume/fifo", S_IFIFO | 0666, 0), -EPERM);
    /* An ordinary user owns what it makes. */
    CHECK_EQ(kfs_chmod("volume", 0777), 0);
    kfs_become(1234, 1235, 0);
    CHECK((fd = kfs_open("volume/mine", O_CREAT | O_WRONLY, 0644)) >= 0);
    (void)kfs_close(fd);
    CHECK_EQ(kfs_chown("volume/mine", 0, 0), -EPERM);
    kfs_become(0, 0, ~0ull);
    struct stat mine;
    CHECK(stat(below(g_volume, "mine"), &mine) == 0);
    CHECK(geteuid() != 0 || (mine.st_uid == 1234 && mine.st_gid == 1235));
}

static void populate(void) {
    char command[2048];
    (void)snprintf(command, sizeof(command),
                   "cd %s && mkdir -p dir/sub tree/deep many && printf file > dir/file && printf x "
                   "> dir/gone && "
                   "printf leaf > tree/deep/leaf && printf linked > link1 && ln link1 dir/link2 && "
                   "printf t > dir/tagged && "
                   "printf first > dir/replaced && for i in $(seq 0 299); do : > many/n$i; done",
                   g_lower);
    CHECK(system(command) == 0);
    (void)setxattr(below(g_lower, "dir/tagged"), "user.tag", "value", 5, 0);
}

int main(int argc, char **argv) {
    char value[8];
    if (argc != 3) {
        (void)fprintf(stderr, "usage: cases_test GOFER overlay|exclusive|shared\n");
        return 2;
    }
    bool overlay = strcmp(argv[2], "overlay") == 0, shared = strcmp(argv[2], "shared") == 0;
    const char *top = temp_dir_make();
    (void)umask(0);
    (void)snprintf(g_lower, sizeof(g_lower), "%s/lower", top);
    (void)snprintf(g_volume, sizeof(g_volume), "%s/volume", top);
    CHECK(mkdir(g_lower, 0755) == 0 && mkdir(g_volume, 0755) == 0);
    populate();
    struct fixture_export exports[] = {{g_lower, overlay ? MOAT_GOFER_EXPORT_RO : 0},
                                       {g_volume, 0}};
    fixture_start(argv[1], exports, 2, false);
    if (overlay) {
        kfs_boot_overlay();
    } else {
        kfs_boot_fuse(shared ? "" : ",exclusive");
    }
    test_messages(!shared);
    test_replaced();
    if (overlay) {
        test_copy_up_keeps();
        test_born_above();
        test_whiteouts();
        test_move_directory();
        test_hard_links();
        if (getxattr(below(g_lower, "dir/tagged"), "user.tag", value, sizeof(value)) > 0) {
            test_attributes_above();
        }
    }
    test_volume();
    CHECK_EQ(kfs_locks_held(), 0);
    CHECK(fixture_alive());
    kfs_end();
    (void)fixture_stop();
    temp_dir_remove(top);
    printf("%u checks\n", g_checks);
    return 0;
}
