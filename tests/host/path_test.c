/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host/path.h: the walk that stands in for openat2 finds what openat2 finds, in random trees of
 * folders, files and symlinks, and never anything outside of the root.
 */
#include "host/path.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATHS 400

struct found {
    int error;
    ino_t ino;
};

static uint64_t g_seed = 0x9e3779b97f4a7c15ull;

static unsigned int rnd(unsigned int limit) {
    g_seed ^= g_seed << 13;
    g_seed ^= g_seed >> 7;
    g_seed ^= g_seed << 17;
    return (unsigned int)((g_seed >> 11) % limit);
}

static void random_path(char *out, size_t size, unsigned int parts) {
    static const char *const names[] = {"a", "b", "c", "l", "m", "n", "..", ".", "f", "missing"};
    size_t used = 0;
    out[0] = '\0';
    for (unsigned int i = 0; i < parts; i++) {
        int n = snprintf(out + used, size - used, "%s%s", i > 0 || rnd(2) == 0 ? "/" : "",
                         names[rnd(10)]);
        assert(n > 0 && (size_t)n < size - used);
        used += (size_t)n;
    }
}

static void make_tree(int dir, int depth) {
    static const char *const folders[] = {"a", "b", "c"}, *const links[] = {"l", "m", "n"};
    for (int i = 0; i < 3 && depth < 3; i++) {
        if (rnd(3) != 0 && mkdirat(dir, folders[i], 0755) == 0) {
            int sub = openat(dir, folders[i], O_RDONLY | O_DIRECTORY);
            assert(sub >= 0);
            make_tree(sub, depth + 1);
            (void)close(sub);
        }
    }
    for (int i = 0; i < 3; i++) {
        char text[128];
        random_path(text, sizeof(text), 1 + rnd(5));
        if (rnd(3) != 0) {
            (void)symlinkat(text, dir, links[i]);
        }
    }
    int file = openat(dir, "f", O_CREAT | O_WRONLY, 0644);
    assert(file >= 0);
    (void)close(file);
}

static struct found look(int root, const char *path, int flags) {
    struct found f = {0, 0};
    struct stat st;
    int fd = path_open_in_root(root, path, flags);
    if (fd < 0) {
        f.error = fd;
        return f;
    }
    assert(fstat(fd, &st) == 0);
    f.ino = st.st_ino;
    (void)close(fd);
    return f;
}

static void without_openat2(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {4, code};
    assert(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    assert(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0);
}

/* Both ways of looking, the second in a process that has no openat2. */
static void compare(int root, char paths[PATHS][160], const int *flags) {
    struct found walked[PATHS];
    int pipes[2];
    assert(pipe(pipes) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        without_openat2();
        for (int i = 0; i < PATHS; i++) {
            struct found f = look(root, paths[i], flags[i]);
            assert(write(pipes[1], &f, sizeof(f)) == sizeof(f));
        }
        _exit(0);
    }
    for (int i = 0; i < PATHS; i++) {
        assert(read(pipes[0], &walked[i], sizeof(walked[i])) == sizeof(walked[i]));
    }
    int status = 0;
    assert(waitpid(pid, &status, 0) == pid && status == 0);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
    for (int i = 0; i < PATHS; i++) {
        struct found f = look(root, paths[i], flags[i]);
        if (f.error != walked[i].error || f.ino != walked[i].ino) {
            fprintf(stderr, "%s flags %#x: openat2 %d inode %lu, the walk %d inode %lu\n", paths[i],
                    (unsigned int)flags[i], f.error, (unsigned long)f.ino, walked[i].error,
                    (unsigned long)walked[i].ino);
            abort();
        }
    }
}

static void test_make(int root, const char *outside) {
    struct stat st;
    assert(symlinkat("/../../made/by/link", root, "dangling") == 0);
    assert(symlinkat("circle", root, "circle") == 0);
    int fd = path_make_in_root(root, "/dangling/x/y", 0700, true);
    assert(fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode));
    (void)close(fd);
    assert(fstatat(root, "made/by/link/x/y", &st, 0) == 0);
    fd = path_make_in_root(root, "made/file", 0640, false);
    assert(fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode));
    (void)close(fd);
    assert(path_make_in_root(root, "circle/x", 0755, true) == -ELOOP);
    assert(path_make_in_root(root, "made/file/x", 0755, true) == -ENOTDIR);
    assert(stat(outside, &st) != 0 && errno == ENOENT);
}

int main(void) {
    char top[] = "/tmp/moat-path-XXXXXX", outside[64];
    static char paths[PATHS][160];
    int flags[PATHS];
    static const int kinds[] = {O_PATH, O_PATH | O_NOFOLLOW, O_PATH | O_DIRECTORY, O_RDONLY,
                                O_RDONLY | O_NOFOLLOW};
    assert(mkdtemp(top) != NULL);
    (void)snprintf(outside, sizeof(outside), "%s/made", top);
    (void)umask(022);
    for (int round = 0; round < 20; round++) {
        char name[64];
        (void)snprintf(name, sizeof(name), "%s/r%d", top, round);
        assert(mkdir(name, 0755) == 0);
        int root = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int dir = open(name, O_RDONLY | O_DIRECTORY);
        assert(root >= 0 && dir >= 0);
        make_tree(dir, 0);
        for (int i = 0; i < PATHS; i++) {
            random_path(paths[i], sizeof(paths[i]), 1 + rnd(7));
            flags[i] = kinds[rnd(5)];
        }
        compare(root, paths, flags);
        test_make(root, outside);
        (void)close(root);
        (void)close(dir);
    }
    char command[96];
    (void)snprintf(command, sizeof(command), "rm -rf %s", top);
    assert(system(command) == 0);
    return 0;
}
