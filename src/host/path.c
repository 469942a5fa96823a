/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths below a hostile folder: see path.h.
 *
 * The walk holds a descriptor for every folder on its way, so that `..` means the folder it came
 * from even when somebody moves folders meanwhile; and each component is opened with O_NOFOLLOW, so
 * that a symlink is only ever text that the walk itself reads.
 */
#include "host/path.h"

#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define WALK_DEPTH 128 /* folders held open at a time */
#define WALK_LINKS 40  /* symlinks followed, as path_resolution(7) */
#define WALK_TRIES 16  /* somebody else makes and removes the same name */

struct walk {
    int root;
    int fds[WALK_DEPTH]; /* of the folders below root, fds[depth - 1] is where the walk stands */
    size_t depth;
    unsigned int links;
    char rest[2 * PATH_MAX];
    char name[NAME_MAX + 1]; /* of the last component opened */
};

struct walk_make {
    bool enabled, directory;
    mode_t mode;
};

const char *path_of_fd(int fd, char out[PATH_OF_FD_SIZE]) {
    (void)snprintf(out, PATH_OF_FD_SIZE, "/proc/self/fd/%d", fd); /* fits */
    return out;
}

static int walk_top(const struct walk *w) {
    return w->depth == 0 ? w->root : w->fds[w->depth - 1];
}

static void walk_pop(struct walk *w) {
    if (w->depth > 0) {
        (void)close(w->fds[--w->depth]); /* O_PATH: nothing can be lost */
    }
}

static int walk_push(struct walk *w, int *fd) {
    if (w->depth == WALK_DEPTH) {
        return -ENAMETOOLONG;
    }
    w->fds[w->depth++] = steal_fd(fd);
    return 0;
}

/* Takes the next component off w->rest into w->name: 1, 0 at the end, -errno. */
static int walk_next(struct walk *w) {
    const char *start = w->rest + strspn(w->rest, "/");
    size_t len = strcspn(start, "/");
    if (len == 0) {
        return 0;
    }
    if (len > NAME_MAX) {
        return -ENAMETOOLONG;
    }
    memcpy(w->name, start, len);
    w->name[len] = '\0';
    memmove(w->rest, start + len, strlen(start + len) + 1);
    return 1;
}

static bool walk_at_end(const struct walk *w) {
    return w->rest[strspn(w->rest, "/")] == '\0';
}

/* Puts the text of symlink `link` in front of what is left. */
static int walk_follow(struct walk *w, int link) {
    char text[PATH_MAX];
    ssize_t n = readlinkat(link, "", text, sizeof(text));
    size_t rest = strlen(w->rest);
    if (n < 0) {
        return -errno;
    }
    if (++w->links > WALK_LINKS) {
        return -ELOOP;
    }
    if ((size_t)n >= sizeof(text) || (size_t)n + 1 + rest >= sizeof(w->rest)) {
        return -ENAMETOOLONG;
    }
    if (n > 0 && text[0] == '/') {
        while (w->depth > 0) {
            walk_pop(w);
        }
    }
    size_t slash = rest > 0 ? 1 : 0; /* one at the end would ask for a folder */
    memmove(w->rest + n + slash, w->rest, rest + 1);
    memcpy(w->rest, text, (size_t)n);
    if (slash != 0) {
        w->rest[n] = '/';
    }
    return 0;
}

static int make_component(int dir, const char *name, bool last, const struct walk_make *make) {
    if (!last || make->directory) {
        return mkdirat(dir, name, last ? make->mode : 0755) == 0 || errno == EEXIST ? 0 : -errno;
    }
    cleanup_fd int fd =
        openat(dir, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, make->mode);
    return fd >= 0 || errno == EEXIST ? 0 : -errno;
}

static int open_component(struct walk *w, const struct walk_make *make) {
    int dir = walk_top(w);
    for (int try = 0; try < WALK_TRIES; try++) {
        int fd = openat(dir, w->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 || errno != ENOENT || !make->enabled) {
            return fd >= 0 ? fd : -errno;
        }
        int e = make_component(dir, w->name, walk_at_end(w), make);
        if (e != 0) {
            return e;
        }
    }
    return -EAGAIN;
}

/* Walks to the end; the last component is on the stack, a symlink only with O_NOFOLLOW. */
static int walk_run(struct walk *w, int flags, const struct walk_make *make) {
    int more;
    while ((more = walk_next(w)) > 0) {
        struct stat st;
        if (strcmp(w->name, ".") == 0) {
            continue;
        }
        if (strcmp(w->name, "..") == 0) {
            walk_pop(w);
            continue;
        }
        cleanup_fd int fd = open_component(w, make);
        if (fd < 0) {
            return fd;
        }
        if (fstat(fd, &st) != 0) {
            return -errno;
        }
        bool last = w->rest[0] == '\0';
        bool keep_link = (flags & O_NOFOLLOW) != 0 && last;
        if (!last && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode)) {
            return -ENOTDIR; /* also before "..", which the walk itself resolves */
        }
        int e = S_ISLNK(st.st_mode) && !keep_link ? walk_follow(w, fd) : walk_push(w, &fd);
        if (e != 0) {
            return e;
        }
    }
    return more;
}

/* Opens what the walk found with the caller's flags. */
static int walk_result(struct walk *w, int flags) {
    struct stat st;
    int top = walk_top(w);
    /* Behind `.` and `..`, which only folders have, w->name is not the name of what is on top. */
    bool nameless = w->depth == 0 || strcmp(w->name, ".") == 0 || strcmp(w->name, "..") == 0;
    if ((flags & O_PATH) == 0) {
        int dir = nameless ? top : w->depth > 1 ? w->fds[w->depth - 2] : w->root;
        int fd = openat(dir, nameless ? "." : w->name, flags | O_NOFOLLOW | O_CLOEXEC);
        return fd >= 0 ? fd : -errno;
    }
    if (fstat(top, &st) != 0) {
        return -errno;
    }
    if ((flags & O_DIRECTORY) != 0 && !S_ISDIR(st.st_mode)) {
        return -ENOTDIR;
    }
    int fd = fcntl(top, F_DUPFD_CLOEXEC, 0);
    return fd >= 0 ? fd : -errno;
}

static int walk_open(int root, const char *path, int flags, const struct walk_make *make) {
    struct walk w = {.root = root};
    size_t len = strlen(path);
    if (len >= PATH_MAX) {
        return -ENAMETOOLONG;
    }
    memcpy(w.rest, path, len + 1);
    int e = walk_run(&w, flags, make);
    int fd = e != 0 ? e : walk_result(&w, flags);
    while (w.depth > 0) {
        walk_pop(&w);
    }
    return fd;
}

int path_open_in_root(int root, const char *path, int flags) {
    static const struct walk_make nothing;
    struct open_how how = {.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    for (int try = 0; try < WALK_TRIES; try++) {
        int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
        if (fd >= 0) {
            return fd;
        }
        if (errno == ENOSYS || errno == EPERM) {
            break; /* an older kernel, or a filter that says so */
        }
        if (errno != EAGAIN) { /* openat2(2): a rename was under way */
            return -errno;
        }
    }
    return walk_open(root, path, flags, &nothing);
}

int path_make_in_root(int root, const char *path, mode_t mode, bool directory) {
    const struct walk_make make = {true, directory, mode};
    int fd = path_open_in_root(root, path, O_PATH);
    return fd != -ENOENT ? fd : walk_open(root, path, O_PATH, &make);
}

int path_parent_in_root(int root, const char *path, bool make, const char **out_name) {
    char dir[PATH_MAX];
    size_t len = strlen(path);
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    if (len >= sizeof(dir)) {
        return -ENAMETOOLONG;
    }
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return -EINVAL;
    }
    size_t dir_len = (size_t)(name - path);
    memcpy(dir, path, dir_len);
    dir[dir_len] = '\0';
    *out_name = name;
    if (dir_len == 0) {
        (void)snprintf(dir, sizeof(dir), "."); /* fits */
    }
    return make ? path_make_in_root(root, dir, 0755, true)
                : path_open_in_root(root, dir, O_PATH | O_DIRECTORY);
}
