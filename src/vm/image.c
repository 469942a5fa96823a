/* SPDX-License-Identifier: Apache-2.0 */
/* Building and opening guest images: see image.h. */
#include "vm/image.h"

#include "host/cleanup.h"
#include "host/mounts.h"
#include "host/sha256.h"
#include "host/userns.h"
#include "sandbox/sandbox.h"
#include "vm/initramfs.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define FILE_MAX ((off_t)(256u * 1024u * 1024u))

static const char *const g_initramfs_files[IMAGE_AGENTS] = {"initramfs", "initramfs-sentry"};
static const struct initramfs_programs g_programs[IMAGE_AGENTS] = {
    {{"moat-agent"}}, {{"moat-agent-sentry", "moat-sentry", "moat-gofer"}}};
const char *const g_image_files[] = {"kernel", "initramfs", "initramfs-sentry", "manifest", NULL};

struct sources {
    char kernel[PATH_MAX], modules[PATH_MAX];
    char fetched[64]; /* folder to remove, or empty */
};

void image_place(char out_path[PATH_MAX]) {
    const char *set = getenv("MOAT_GUEST"), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int n;
    if (set != NULL && set[0] == '/') {
        n = snprintf(out_path, PATH_MAX, "%s", set);
    } else if (geteuid() == 0 && userns_is_first()) {
        n = snprintf(out_path, PATH_MAX, "/var/lib/moat/guest");
    } else if (data != NULL && data[0] == '/') {
        n = snprintf(out_path, PATH_MAX, "%s/moat/guest", data);
    } else {
        n = snprintf(out_path, PATH_MAX, "%s/.local/share/moat/guest", home != NULL ? home : "");
    }
    (void)n; /* a path that is cut does not exist */
}

static int read_file(const char *path, char **out, size_t *out_size, struct err *err) {
    struct stat st;
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        return err_sys(err, -errno, "cannot open %s", path);
    }
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
        return err_set(err, -EINVAL, "%s is no file of a sensible size", path);
    }
    char *data = malloc((size_t)st.st_size + 1);
    size_t have = 0;
    ssize_t n = data != NULL ? 1 : -1;
    while (n > 0 && have < (size_t)st.st_size) {
        n = read(fd, data + have, (size_t)st.st_size - have);
        have += n > 0 ? (size_t)n : 0;
    }
    if (n < 0) {
        free(data);
        return err_sys(err, -errno, "cannot read %s", path);
    }
    *out = data;
    *out_size = have;
    return 0;
}

/* ---- where the kernel comes from ---- */

/* The newest match, by name. */
static bool glob_last(const char *pattern, char out[PATH_MAX]) {
    glob_t found = {0};
    bool ok = glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc > 0 &&
              snprintf(out, PATH_MAX, "%s", found.gl_pathv[found.gl_pathc - 1]) < PATH_MAX;
    globfree(&found);
    return ok;
}

static bool installed(struct sources *s) {
    const char *release;
    if (!glob_last("/boot/vmlinuz-*-cloud-amd64", s->kernel)) {
        return false;
    }
    release = s->kernel + strlen("/boot/vmlinuz-");
    (void)snprintf(s->modules, sizeof(s->modules), "/lib/modules/%.255s", release); /* fits */
    return access(s->modules, R_OK) == 0;
}

static int run_shell(const char *script, const char *dir, struct err *err) {
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(2, 1); /* progress is no output of the command */
        (void)execl("/bin/sh", "sh", "-ec", script, "sh", dir, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return err_sys(err, -errno, "cannot run a shell");
    }
    return status == 0 ? 0
                       : err_set(err, -ENOENT,
                                 "no guest kernel: linux-image-cloud-amd64 is not installed and "
                                 "cannot be fetched with apt-get download (install it, or give "
                                 "--kernel and --modules)");
}

/* Debian's package, unpacked beside the images and never installed. */
static int fetch(struct sources *s, struct err *err) {
    static const char script[] =
        "cd \"$1\"\n"
        "p=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: "
        "\\(linux-image-[0-9][^ ]*\\).*/\\1/p' | head -n 1)\n"
        "[ -n \"$p\" ]\n"
        "apt-get -qq download \"$p\"\n"
        "dpkg-deb -x ./*.deb x\n";
    char pattern[PATH_MAX];
    (void)snprintf(s->fetched, sizeof(s->fetched), "/tmp/moat-kernel-XXXXXX"); /* fits */
    if (mkdtemp(s->fetched) == NULL) {
        s->fetched[0] = '\0';
        return err_sys(err, -errno, "cannot make a folder for the kernel");
    }
    int e = run_shell(script, s->fetched, err);
    (void)snprintf(pattern, sizeof(pattern), "%s/x/boot/vmlinuz-*", s->fetched); /* fits */
    if (e == 0 && !glob_last(pattern, s->kernel)) {
        e = err_set(err, -ENOENT, "Debian's kernel package holds no kernel");
    }
    (void)snprintf(pattern, sizeof(pattern), "%s/x/lib/modules/*", s->fetched); /* fits */
    if (e == 0 && !glob_last(pattern, s->modules)) {
        e = err_set(err, -ENOENT, "Debian's kernel package holds no modules");
    }
    return e;
}

static int find_sources(const struct image_build *how, struct sources *s, struct err *err) {
    *s = (struct sources){.kernel = ""};
    if ((how->kernel == NULL) != (how->modules == NULL)) {
        return err_set(err, -EINVAL, "--kernel and --modules belong together");
    }
    if (how->kernel != NULL) {
        return snprintf(s->kernel, PATH_MAX, "%s", how->kernel) < PATH_MAX &&
                       snprintf(s->modules, PATH_MAX, "%s", how->modules) < PATH_MAX
                   ? 0
                   : err_set(err, -ENAMETOOLONG, "--kernel: the path is too long");
    }
    return installed(s) ? 0 : fetch(s, err);
}

static void forget_sources(const struct sources *s) {
    struct err ignored = {0};
    if (s->fetched[0] != '\0') {
        (void)run_shell("rm -rf -- \"$1\"", s->fetched, &ignored); /* /tmp is cleaned some day */
    }
}

/* ---- writing ---- */

static int make_folders(char *path, struct err *err) {
    for (char *p = strchr(path + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
        *p = '\0';
        int e = mkdir(path, 0755) == 0 || errno == EEXIST ? 0 : -errno;
        *p = '/';
        if (e != 0) {
            return err_sys(err, e, "cannot make the folders of %s", path);
        }
    }
    return mkdir(path, 0755) == 0 || errno == EEXIST ? 0
                                                     : err_sys(err, -errno, "cannot make %s", path);
}

static int write_file(const char *dir, const char *name, const void *data, size_t size,
                      struct err *err) {
    char path[PATH_MAX + 64];
    const char *from = data;
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name); /* fits */
    cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
    ssize_t n = fd >= 0 ? 0 : -1;
    for (size_t done = 0; n >= 0 && done < size; done += (size_t)n) {
        n = write(fd, from + done, size - done);
    }
    return n >= 0 ? 0 : err_sys(err, -errno, "cannot write %s", path);
}

struct parts {
    char *kernel, *initramfs[IMAGE_AGENTS];
    size_t kernel_size, initramfs_size[IMAGE_AGENTS];
    char kernel_digest[SHA256_TEXT], initramfs_digest[IMAGE_AGENTS][SHA256_TEXT],
        digest[SHA256_TEXT];
};

static void digest_parts(struct parts *p) {
    struct sha256 s, all;
    sha256_init(&all);
    sha256_init(&s);
    sha256_add(&s, p->kernel, p->kernel_size);
    sha256_text(&s, p->kernel_digest);
    sha256_add(&all, p->kernel_digest, SHA256_TEXT - 1);
    for (int i = 0; i < IMAGE_AGENTS; i++) {
        sha256_init(&s);
        sha256_add(&s, p->initramfs[i], p->initramfs_size[i]);
        sha256_text(&s, p->initramfs_digest[i]);
        sha256_add(&all, p->initramfs_digest[i], SHA256_TEXT - 1);
    }
    sha256_text(&all, p->digest);
}

static int make_parts(const struct sources *s, struct parts *p, struct err *err) {
    cleanup_free char *file = NULL;
    size_t size = 0;
    int e = read_file(s->kernel, &file, &size, err);
    if (e == 0 && kernel_unpack(file, size, &p->kernel, &p->kernel_size) != 0) {
        e = err_sys(err, -ENOMEM, "cannot unpack %s", s->kernel);
    }
    for (int i = 0; i < IMAGE_AGENTS && e == 0; i++) {
        e = initramfs_build(&g_programs[i], s->modules, &p->initramfs[i], &p->initramfs_size[i],
                            err);
    }
    return e;
}

/* Into a folder of its own first: an image is whole or not there. */
static int store(const struct parts *p, const char *guest, const char *final, struct err *err) {
    char fresh[PATH_MAX + 32], manifest[512];
    (void)snprintf(fresh, sizeof(fresh), "%s/.new-XXXXXX", guest);                        /* fits */
    int n = snprintf(manifest, sizeof(manifest), "kernel sha256:%s\n", p->kernel_digest); /* fits */
    for (int i = 0; i < IMAGE_AGENTS; i++) {
        n += snprintf(manifest + n, sizeof(manifest) - (size_t)n, "%s sha256:%s\n",
                      g_initramfs_files[i], p->initramfs_digest[i]);
    }
    if (mkdtemp(fresh) == NULL || chmod(fresh, 0755) != 0) {
        return err_sys(err, -errno, "cannot make a folder in %s", guest);
    }
    cleanup_fd int lock = open(fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0 || flock(lock, LOCK_SH) != 0) { /* image_prune takes what nobody holds */
        return err_sys(err, -errno, "cannot lock %s", fresh);
    }
    int e = write_file(fresh, "kernel", p->kernel, p->kernel_size, err);
    for (int i = 0; i < IMAGE_AGENTS && e == 0; i++) {
        e = write_file(fresh, g_initramfs_files[i], p->initramfs[i], p->initramfs_size[i], err);
    }
    e = e != 0 ? e : write_file(fresh, "manifest", manifest, strlen(manifest), err);
    if (e == 0 && rename(fresh, final) != 0 && errno != EEXIST && errno != ENOTEMPTY) {
        e = err_sys(err, -errno, "cannot name %s", final);
    }
    struct err ignored = {0};
    if (access(fresh, F_OK) == 0) {
        (void)run_shell("rm -rf -- \"$1\"", fresh, &ignored); /* failed, or was there before */
    }
    return e;
}

static int make_current(const char *guest, const char *name, struct err *err) {
    char link[PATH_MAX + 32], fresh[PATH_MAX + 32];
    (void)snprintf(link, sizeof(link), "%s/current", guest);                   /* fits */
    (void)snprintf(fresh, sizeof(fresh), "%s/.link-%d", guest, (int)getpid()); /* fits */
    (void)unlink(fresh); /* of a dead process with our number */
    return symlink(name, fresh) == 0 && rename(fresh, link) == 0
               ? 0
               : err_sys(err, -errno, "cannot make %s the current image", name);
}

int image_build(const struct image_build *how, char out_path[PATH_MAX], struct err *err) {
    struct sources sources;
    struct parts p = {0};
    char guest[PATH_MAX];
    image_place(guest);
    if (how->output != NULL) {
        (void)snprintf(guest, sizeof(guest), "%s", how->output); /* a cut path does not exist */
    }
    int e = find_sources(how, &sources, err);
    e = e != 0 ? e : make_folders(guest, err);
    e = e != 0 ? e : make_parts(&sources, &p, err);
    if (e == 0) {
        digest_parts(&p);
        if (snprintf(out_path, PATH_MAX, "%s/%.32s", guest, p.digest) >= PATH_MAX) {
            e = err_set(err, -ENAMETOOLONG, "%s: the path is too long", guest);
        }
    }
    cleanup_fd int there = e == 0 ? open(out_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (there >= 0) {
        (void)flock(there, LOCK_SH); /* so that image_prune leaves it until it is current */
    }
    if (e == 0 && access(out_path, F_OK) != 0) {
        e = store(&p, guest, out_path, err);
    }
    e = e != 0 ? e : make_current(guest, strrchr(out_path, '/') + 1, err);
    forget_sources(&sources);
    free(p.kernel);
    for (int i = 0; i < IMAGE_AGENTS; i++) {
        free(p.initramfs[i]);
    }
    return e;
}

/* Before the files: an image that is locked stays, and one that went just now is not found. */
static int lock_current(const char *guest, struct err *err) {
    char path[PATH_MAX + 32];
    (void)snprintf(path, sizeof(path), "%s/current", guest); /* fits */
    cleanup_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0 && flock(dir, LOCK_SH) == 0) {
        return steal_fd(&dir);
    }
    int e = err_sys(err, -errno, "there is no guest image in %s", guest);
    err_append(err, ": 'moat guest build' makes one");
    return e;
}

int image_open(enum image_agent agent, int *out_kernel, int *out_initramfs, int *out_lock,
               struct err *err) {
    char guest[PATH_MAX];
    image_place(guest);
    cleanup_fd int dir = lock_current(guest, err);
    if (dir < 0) {
        return dir;
    }
    cleanup_fd int kernel = mount_tree_open(dir, "kernel", false);
    cleanup_fd int initramfs = mount_tree_open(dir, g_initramfs_files[agent], false);
    if (kernel < 0 || initramfs < 0) {
        int e = err_sys(err, kernel < 0 ? kernel : initramfs, "the guest image in %s is not whole",
                        guest);
        err_append(err, ": 'moat guest build' makes a new one");
        return e;
    }
    *out_kernel = steal_fd(&kernel);
    *out_initramfs = steal_fd(&initramfs);
    *out_lock = steal_fd(&dir);
    return 0;
}
