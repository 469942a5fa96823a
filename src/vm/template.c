/* SPDX-License-Identifier: Apache-2.0 */
/* Where templates are kept: see template.h. */
#include "vm/template.h"

#include "host/cleanup.h"
#include "host/sha256.h"
#include "vm/image.h"

#include <cpuid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

/* What a machine on this processor and kernel can be restored on. */
static void add_host(struct sha256 *s) {
    uint32_t regs[4];
    struct utsname name;
    static const uint32_t leaves[] = {1, 7, 0x80000001, 0x80000002, 0x80000003, 0x80000004};
    for (size_t i = 0; i < ARRAY_COUNT(leaves); i++) {
        memset(regs, 0, sizeof(regs));
        (void)__get_cpuid_count(leaves[i], 0, &regs[0], &regs[1], &regs[2], &regs[3]);
        if (leaves[i] == 1) {
            regs[1] = 0; /* holds the number of the processor that we run on */
        }
        sha256_add(s, regs, sizeof(regs));
    }
    if (uname(&name) == 0) {
        sha256_add(s, name.release, strlen(name.release) + 1);
    }
}

static int add_program(struct sha256 *s, const char *program, struct err *err) {
    struct stat st;
    if (stat(program, &st) != 0) {
        return err_sys(err, -errno, "cannot find the hypervisor %s", program);
    }
    const int64_t id[] = {st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (int64_t)st.st_ino};
    sha256_add(s, id, sizeof(id));
    return 0;
}

int template_place(const struct hypervisor_ops *hypervisor, const struct hypervisor_config *config,
                   char out_path[PATH_MAX], struct err *err) {
    struct hypervisor_config plain = {.kvm = config->kvm,
                                      .cpus = config->cpus,
                                      .memory = config->memory,
                                      .mode = HYPERVISOR_SAVE,
                                      .files_fd = -1,
                                      .disk_fd = -1,
                                      .console_fd = -1};
    struct strlist args = {0};
    struct sha256 s;
    char guest[PATH_MAX], link[PATH_MAX + 16], image[PATH_MAX], digest[SHA256_TEXT];
    image_place(guest);
    (void)snprintf(link, sizeof(link), "%s/current", guest); /* fits */
    if (realpath(link, image) == NULL) {
        return err_sys(err, -errno, "there is no guest image in %s ('moat guest build' makes one)",
                       guest);
    }
    sha256_init(&s);
    sha256_add(&s, image, strlen(image)); /* it is named by its content */
    add_host(&s);
    int e = add_program(&s, hypervisor->program, err);
    if (e == 0 && hypervisor->arguments(&plain, &args) != 0) {
        e = err_sys(err, -ENOMEM, "cannot put the hypervisor's arguments together");
    }
    for (size_t i = 0; i < args.count; i++) {
        sha256_add(&s, args.items[i], strlen(args.items[i]) + 1);
    }
    strlist_free(&args);
    sha256_text(&s, digest);
    if (e == 0 && snprintf(out_path, PATH_MAX, "%s/templates/%.32s", image, digest) >= PATH_MAX) {
        e = err_set(err, -ENAMETOOLONG, "%s: the path is too long", image);
    }
    return e;
}

static int open_file(const char *path, const char *name, int flags, struct err *err) {
    char file[PATH_MAX + 16];
    (void)snprintf(file, sizeof(file), "%s/%s", path, name); /* fits */
    int fd = open(file, flags | O_CLOEXEC | O_NOFOLLOW, 0444);
    return fd >= 0 ? fd : errno == ENOENT ? -ENOENT : err_sys(err, -errno, "cannot open %s", file);
}

int template_open(const char *path, struct template *out, struct err *err) {
    out->state = -1;
    out->memory = open_file(path, "memory", O_RDONLY, err);
    if (out->memory >= 0) {
        out->state = open_file(path, "state", O_RDONLY, err);
    }
    int e = out->memory < 0 ? out->memory : out->state < 0 ? out->state : 0;
    if (e != 0) {
        template_close(out);
    }
    return e;
}

void template_close(struct template *t) {
    cleanup_fd_fn(&t->memory);
    cleanup_fd_fn(&t->state);
    *t = (struct template){-1, -1};
}

int template_lock(const char *path, bool wait, struct err *err) {
    char file[PATH_MAX + 16];
    (void)snprintf(file, sizeof(file), "%s", path); /* fits */
    *strrchr(file, '/') = '\0';
    if (mkdir(file, 0755) != 0 && errno != EEXIST) {
        return err_sys(err, -errno, "cannot make the folder %s", file);
    }
    size_t len = strlen(file);
    (void)snprintf(file + len, sizeof(file) - len, "/lock"); /* fits */
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) == 0) {
        return fd;
    }
    int e = errno == EWOULDBLOCK ? -EWOULDBLOCK : err_sys(err, -errno, "cannot lock %s", file);
    cleanup_fd_fn(&fd);
    return e;
}

static int copy_state(int state, int to, struct err *err) {
    off_t at = 0;
    struct stat st;
    ssize_t n = fstat(state, &st) == 0 && st.st_size > 0 ? 1 : 0;
    while (n > 0 && at < st.st_size) {
        n = sendfile(to, state, &at, (size_t)(st.st_size - at));
    }
    return n > 0 ? 0 : err_sys(err, n == 0 ? -EIO : -errno, "cannot write the template's state");
}

/* Made beside its place and renamed: a template is whole or not there. */
int template_store(const char *path, const struct ram *memory, int state, struct err *err) {
    char fresh[PATH_MAX + 16], file[PATH_MAX + 32];
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path); /* fits; we have the lock */
    if (mkdir(fresh, 0755) != 0 && errno != EEXIST) {
        return err_sys(err, -errno, "cannot make the folder %s", fresh);
    }
    int to = open_file(fresh, "memory", O_WRONLY | O_CREAT | O_TRUNC, err);
    int e = to < 0 ? to : ram_save(memory, to, err);
    cleanup_fd_fn(&to);
    to = e != 0 ? -1 : open_file(fresh, "state", O_WRONLY | O_CREAT | O_TRUNC, err);
    e = e != 0 ? e : to < 0 ? to : copy_state(state, to, err);
    cleanup_fd_fn(&to);
    if (e == 0 && rename(fresh, path) != 0) {
        e = err_sys(err, -errno, "cannot name %s", path);
    }
    if (e != 0) {
        static const char *const names[] = {"memory", "state"};
        for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
            (void)snprintf(file, sizeof(file), "%s/%s", fresh, names[i]); /* fits */
            (void)unlink(file);                                           /* may not be there */
        }
        (void)rmdir(fresh); /* what stays is taken over by the next */
    }
    return e;
}

static void forget_one(int templates, const char *name) {
    static const char *const files[] = {"memory", "state"};
    cleanup_fd int dir = openat(templates, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    for (size_t i = 0; i < ARRAY_COUNT(files) && dir >= 0; i++) {
        (void)unlinkat(dir, files[i], 0); /* the folder stays if this fails */
    }
    (void)unlinkat(templates, name, dir >= 0 ? AT_REMOVEDIR : 0); /* likewise */
}

void template_forget(int image) {
    cleanup_fd int dir =
        openat(image, "templates", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = dir >= 0 ? fdopendir(fcntl(dir, F_DUPFD_CLOEXEC, 3)) : NULL;
    for (struct dirent *d = list != NULL ? readdir(list) : NULL; d != NULL; d = readdir(list)) {
        if (d->d_name[0] != '.') {
            forget_one(dir, d->d_name);
        }
    }
    if (list != NULL) {
        (void)closedir(list); /* only read */
    }
    (void)unlinkat(image, "templates", AT_REMOVEDIR); /* the image's folder stays if this fails */
}
