/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing and removing guest images: see image.h.
 *
 * A running machine's monitor holds a shared lock on its image's folder (image_open), a build on
 * the folder that it fills; who gets the exclusive one may remove it.
 */
#include "vm/image.h"
#include "vm/template.h"

#include "host/cleanup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define NAME_DIGITS 32u

/* A name that image_build gives, not something else that somebody keeps there. */
static bool is_image_name(const char *name) {
    return strlen(name) == NAME_DIGITS && strspn(name, "0123456789abcdef") == NAME_DIGITS;
}

static uint64_t folder_size(int dir) {
    struct stat st;
    uint64_t size = 0;
    for (size_t i = 0; g_image_files[i] != NULL; i++) {
        size += fstatat(dir, g_image_files[i], &st, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)st.st_size
                                                                              : 0;
    }
    return size;
}

static void describe(int guest, const char *name, const char *current, struct image_entry *out) {
    struct stat st = {0};
    cleanup_fd int dir = openat(guest, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    *out = (struct image_entry){.is_current = strcmp(name, current) == 0};
    (void)snprintf(out->name, sizeof(out->name), "%s", name); /* fits: is_image_name */
    if (dir >= 0 && fstat(dir, &st) == 0) {
        out->size = folder_size(dir);
        out->built = st.st_mtime;
        out->in_use = flock(dir, LOCK_EX | LOCK_NB) != 0; /* given up with the descriptor */
    }
}

static int open_guest(const char *place, char path[PATH_MAX], struct err *err) {
    if (place != NULL) {
        (void)snprintf(path, PATH_MAX, "%s", place); /* a path that is cut does not exist */
    } else {
        image_place(path);
    }
    int guest = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return guest >= 0 ? guest : err_sys(err, -errno, "cannot open the folder of images %s", path);
}

static void read_current(int guest, char out[NAME_MAX + 1]) {
    ssize_t n = readlinkat(guest, "current", out, NAME_MAX);
    out[n > 0 ? n : 0] = '\0';
}

/* Calls `each` with every name; the names of a folder that changes meanwhile may come or not. */
static int for_names(int guest, int (*each)(void *arg, const char *name, struct err *err),
                     void *arg, struct err *err) {
    int copy = openat(guest, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), e = 0;
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (list == NULL) {
        e = err_sys(err, -errno, "cannot read the folder of images");
        cleanup_fd_fn(&copy);
        return e;
    }
    for (struct dirent *d; e == 0 && (d = readdir(list)) != NULL;) {
        e = each(arg, d->d_name, err);
    }
    (void)closedir(list); /* only read */
    return e;
}

struct walk {
    int guest;
    const char *path;
    char current[NAME_MAX + 1];
    int (*each)(void *arg, const struct image_entry *entry);
    void *arg;
};

static int list_one(void *arg, const char *name, struct err *err) {
    const struct walk *w = arg;
    struct image_entry entry;
    if (!is_image_name(name)) {
        return 0;
    }
    describe(w->guest, name, w->current, &entry);
    return w->each(w->arg, &entry);
}

/* The digits behind `prefix` are the number of a process that is gone. */
static bool is_of_the_dead(const char *name, const char *prefix) {
    size_t len = strlen(prefix);
    char *end = NULL;
    long pid = strncmp(name, prefix, len) == 0 && isdigit((unsigned char)name[len])
                   ? strtol(name + len, &end, 10)
                   : 0;
    return pid > 0 && *end == '\0' && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static int remove_folder(const struct walk *w, const char *name, struct err *err) {
    cleanup_fd int dir = openat(w->guest, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 || flock(dir, LOCK_EX | LOCK_NB) != 0) {
        return 0; /* gone by now, or in use */
    }
    struct image_entry entry;
    char now[NAME_MAX + 1];
    describe(w->guest, name, w->current, &entry);
    read_current(w->guest, now); /* a build may have found it good again */
    if (strcmp(now, name) == 0) {
        return 0;
    }
    template_forget(dir);
    for (size_t i = 0; g_image_files[i] != NULL; i++) {
        if (unlinkat(dir, g_image_files[i], 0) != 0 && errno != ENOENT) {
            return err_sys(err, -errno, "cannot remove %s/%s/%s", w->path, name, g_image_files[i]);
        }
    }
    if (unlinkat(w->guest, name, AT_REMOVEDIR) != 0) {
        return err_sys(err, -errno, "cannot remove %s/%s", w->path, name);
    }
    return name[0] == '.' ? 0 : w->each(w->arg, &entry);
}

static int prune_one(void *arg, const char *name, struct err *err) {
    const struct walk *w = arg;
    if (is_of_the_dead(name, ".link-")) {
        (void)unlinkat(w->guest, name, 0); /* of a build that was killed */
    }
    bool left = strncmp(name, ".new-", 5) == 0;
    return left || is_image_name(name) ? remove_folder(w, name, err) : 0;
}

static int walk(const char *place, int (*one)(void *arg, const char *name, struct err *err),
                int (*each)(void *arg, const struct image_entry *entry), void *arg,
                struct err *err) {
    char path[PATH_MAX];
    struct walk w = {.path = path, .each = each, .arg = arg};
    cleanup_fd int guest = open_guest(place, path, err);
    if (guest < 0) {
        return guest;
    }
    w.guest = guest;
    read_current(guest, w.current);
    return for_names(guest, one, &w, err);
}

int image_list(const char *place, int (*each)(void *arg, const struct image_entry *entry),
               void *arg, struct err *err) {
    return walk(place, list_one, each, arg, err);
}

int image_prune(const char *place, int (*each)(void *arg, const struct image_entry *entry),
                void *arg, struct err *err) {
    return walk(place, prune_one, each, arg, err);
}
