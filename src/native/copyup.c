/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying a folder of the image into the tmpfs that hides it (tmpcopyup): see volume.h.  The
 * image's names are hostile: nothing is followed, and the depth is bounded.
 */
#include "host/cleanup.h"
#include "native/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_DEPTH 64

static int copy_dir(int from, int to, dev_t dev, int depth, struct err *err);

static int copy_owner(int fd, const struct stat *st) {
    /* An owner without a mapping stays the process's: the copy is readable all the same. */
    if (fchown(fd, st->st_uid, st->st_gid) != 0 && errno != EPERM && errno != EINVAL) {
        return -errno;
    }
    return fchmod(fd, st->st_mode & 07777) == 0 ? 0 : -errno;
}

static int copy_file(int from_dir, int to_dir, const char *name, const struct stat *st) {
    cleanup_fd int in = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat now;
    if (in < 0 || fstat(in, &now) != 0) {
        return -errno;
    }
    if (!S_ISREG(now.st_mode)) {
        return -EAGAIN; /* somebody replaced it */
    }
    cleanup_fd int out = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0) {
        return -errno;
    }
    ssize_t n;
    while ((n = sendfile(out, in, NULL, 1 << 20)) > 0) {
    }
    return n < 0 ? -errno : copy_owner(out, st);
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *st) {
    char text[PATH_MAX];
    ssize_t n = readlinkat(from_dir, name, text, sizeof(text));
    if (n < 0 || n == (ssize_t)sizeof(text)) {
        return n < 0 ? -errno : -ENAMETOOLONG;
    }
    text[n] = '\0';
    if (symlinkat(text, to_dir, name) != 0) {
        return -errno;
    }
    return fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) == 0 ||
                   errno == EPERM || errno == EINVAL
               ? 0
               : -errno;
}

static int copy_folder(int from_dir, int to_dir, const char *name, const struct stat *st, dev_t dev,
                       int depth, struct err *err) {
    cleanup_fd int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0 || mkdirat(to_dir, name, 0700) != 0) {
        return -errno;
    }
    cleanup_fd int to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int e = to < 0 ? -errno : copy_dir(from, to, dev, depth + 1, err);
    return e != 0 ? e : copy_owner(to, st);
}

static int copy_entry(int from, int to, const char *name, dev_t dev, int depth, struct err *err) {
    struct stat st;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return -errno;
    }
    if (S_ISDIR(st.st_mode)) {
        return st.st_dev == dev ? copy_folder(from, to, name, &st, dev, depth, err) : 0;
    }
    return S_ISREG(st.st_mode)   ? copy_file(from, to, name, &st)
           : S_ISLNK(st.st_mode) ? copy_link(from, to, name, &st)
                                 : 0;
}

static int copy_dir(int from, int to, dev_t dev, int depth, struct err *err) {
    int own = depth < COPY_DEPTH ? openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    int e = 0;
    if (dir == NULL) {
        cleanup_fd_fn(&own);
        return depth < COPY_DEPTH ? -errno
                                  : err_set(err, -ELOOP, "its folders are nested too deep");
    }
    for (struct dirent *entry; e == 0 && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            e = copy_entry(from, to, entry->d_name, dev, depth, err);
            if (e != 0) {
                (void)err_sys(err, e, "cannot copy %s", entry->d_name); /* returned below */
            }
        }
    }
    (void)closedir(dir); /* read-only */
    return e;
}

int volume_copy_up(int from, int to, struct err *err) {
    struct stat st;
    if (fstat(from, &st) != 0) {
        return err_sys(err, -errno, "cannot read the folder below");
    }
    cleanup_fd int folder = openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int e = folder >= 0 ? copy_dir(from, folder, st.st_dev, 0, err) : -errno;
    return e != 0 ? e : copy_owner(folder, &st);
}
