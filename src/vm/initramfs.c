/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting an initramfs together: see initramfs.h.  Sources: cpio(5), format newc, and the kernel's
 * Documentation/driver-api/early-userspace/buffer-format.rst; what a module needs stands in its
 * .modinfo section as "depends=a,b".
 */
#include "vm/initramfs.h"

#include "host/cleanup.h"
#include "sandbox/sandbox.h"
#include "moat/agent.h"
#include "vm/module.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MODULES_MAX 32u
#define MODULE_SIZE ((off_t)(8u * 1024u * 1024u))

/* What the agent loads, with what that needs: at each start, or where the machine has a device of
 * that kind (linux/virtio_ids.h). */
static const struct {
    const char *name;
    unsigned int device; /* 0: always */
} g_wanted[] = {{"virtio_mmio", 0},
                {"virtio_console", VIRTIO_ID_CONSOLE},
                {"virtiofs", 0},
                {"overlay", 0},
                {"virtio_pci", MOAT_AGENT_MODULE_PCI},
                {"virtio_net", VIRTIO_ID_NET},
                {"vmw_vsock_virtio_transport", VIRTIO_ID_VSOCK},
                {"virtio_blk", VIRTIO_ID_BLOCK},
                {"erofs", VIRTIO_ID_BLOCK},
                {"virtio_balloon", VIRTIO_ID_BALLOON}};

struct module {
    char name[64];
    unsigned int device; /* as in g_wanted */
    char *data;
    size_t size;
};

struct build {
    FILE *out;
    const char *folder;
    struct module modules[MODULES_MAX]; /* in the order of loading */
    size_t count;
};

/* ---- cpio ---- */

static void put_padding(FILE *f, size_t len) {
    static const char zeros[4];
    (void)fwrite(zeros, 1, (4 - len % 4) % 4, f); /* an error shows at fclose, as below */
}

static void put_entry(FILE *f, const char *name, unsigned int mode, unsigned int major,
                      unsigned int minor, const void *data, size_t size) {
    size_t name_size = strlen(name) + 1;
    (void)fprintf(f, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 0u, mode, 0u, 0u,
                  1u, 0u, (unsigned int)size, 0u, 0u, major, minor, (unsigned int)name_size, 0u);
    (void)fwrite(name, 1, name_size, f);
    put_padding(f, 110 + name_size);
    (void)fwrite(data, 1, size, f);
    put_padding(f, size);
}

/* ---- modules ---- */

static int read_all(int fd, char **out, size_t *out_size) {
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        return -errno;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > MODULE_SIZE) {
        return -EFBIG;
    }
    *out = malloc((size_t)st.st_size + 1);
    ssize_t n = *out != NULL ? pread(fd, *out, (size_t)st.st_size, 0) : -1;
    *out_size = (size_t)st.st_size;
    return n == st.st_size ? 0 : *out == NULL ? -ENOMEM : -EIO;
}

/*
 * The image as a whole is known by its digest; the signature behind a module (the kernel's
 * include/linux/module_signature.h) would only be checked at each start, by an emulated processor.
 */
static size_t without_signature(const char *data, size_t size) {
    static const char magic[] = "~Module signature appended~\n";
    const size_t tail =
        sizeof(magic) - 1 + 12; /* and the struct before it, which ends with a length */
    if (size < tail || memcmp(data + size - sizeof(magic) + 1, magic, sizeof(magic) - 1) != 0) {
        return size;
    }
    const uint8_t *len = (const uint8_t *)data + size - sizeof(magic) + 1 - 4;
    size_t signature =
        (size_t)len[0] << 24 | (size_t)len[1] << 16 | (size_t)len[2] << 8 | (size_t)len[3];
    return signature <= size - tail ? size - tail - signature : size;
}

/* Names of files have - or _, those in "depends" mostly _. */
static bool same_module(const char *file, const char *name) {
    size_t len = strlen(name);
    if (strncmp(file + len, ".ko", 4) != 0) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((file[i] == '-' ? '_' : file[i]) != (name[i] == '-' ? '_' : name[i])) {
            return false;
        }
    }
    return true;
}

static int open_module(const char *folder, const char *name) {
    char path[4096];
    char *const roots[] = {path, NULL};
    int fd = -ENOENT;
    (void)snprintf(path, sizeof(path), "%s/kernel", folder); /* a cut path does not exist */
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    for (FTSENT *e = tree != NULL ? fts_read(tree) : NULL; e != NULL && fd < 0;
         e = fts_read(tree)) {
        if (e->fts_info == FTS_F && e->fts_namelen == strlen(name) + 3 &&
            same_module(e->fts_name, name)) {
            fd = open(e->fts_path, O_RDONLY | O_CLOEXEC);
        }
    }
    if (tree != NULL) {
        (void)fts_close(tree); /* only read */
    }
    return fd;
}

static bool is_builtin(const char *folder, const char *name) {
    char path[4096], line[512];
    bool found = false;
    (void)snprintf(path, sizeof(path), "%s/modules.builtin", folder); /* a cut path is no file */
    FILE *f = fopen(path, "re");
    while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        const char *file = strrchr(line, '/');
        found = file != NULL && strlen(file + 1) == strlen(name) + 3 && same_module(file + 1, name);
    }
    if (f != NULL) {
        (void)fclose(f); /* only read */
    }
    return found;
}

/* Loaded whenever modules of that device are. */
static bool is_there(const struct build *b, const char *name, unsigned int device) {
    for (size_t i = 0; i < b->count; i++) {
        const struct module *m = &b->modules[i];
        if (strcmp(m->name, name) == 0 && (m->device == 0 || m->device == device)) {
            return true;
        }
    }
    return false;
}

static int add_module(struct build *b, const char *name, unsigned int device, unsigned int depth,
                      struct err *err);

static int add_needed(struct build *b, const struct module *m, unsigned int depth,
                      struct err *err) {
    static const char key[] = "\0depends=";
    const char *at = memmem(m->data, m->size, key, sizeof(key) - 1);
    char list[512], *save = NULL;
    int e = 0;
    if (at == NULL) {
        return 0;
    }
    at += sizeof(key) - 1;
    size_t len = strnlen(at, m->size - (size_t)(at - m->data));
    if (len >= sizeof(list)) {
        return err_set(err, -EINVAL, "module %s needs too many others", m->name);
    }
    memcpy(list, at, len);
    list[len] = '\0';
    for (char *n = strtok_r(list, ",", &save); n != NULL && e == 0;
         n = strtok_r(NULL, ",", &save)) {
        e = add_module(b, n, m->device, depth + 1, err);
    }
    return e;
}

static int add_module(struct build *b, const char *name, unsigned int device, unsigned int depth,
                      struct err *err) {
    struct module m = {.device = device};
    if (is_there(b, name, device)) {
        return 0;
    }
    if (depth > 8 || strlen(name) >= sizeof(m.name)) {
        return err_set(err, -ELOOP, "module %s cannot be", name);
    }
    (void)snprintf(m.name, sizeof(m.name), "%s", name); /* fits */
    cleanup_fd int fd = open_module(b->folder, name);
    if (fd == -ENOENT && is_builtin(b->folder, name)) {
        return 0;
    }
    int e = fd < 0 ? fd : read_all(fd, &m.data, &m.size);
    if (e != 0) {
        free(m.data);
        return err_sys(err, e, "cannot read the module %s of %s", name, b->folder);
    }
    e = add_needed(b, &m, depth, err);
    if (e == 0 && b->count == MODULES_MAX) {
        e = err_set(err, -E2BIG, "more than %u modules", MODULES_MAX);
    }
    if (e != 0) {
        free(m.data);
        return e;
    }
    m.size = module_slim(m.data, without_signature(m.data, m.size));
    b->modules[b->count++] = m;
    return 0;
}

struct program {
    const char *name;
    char *data;
    size_t size;
};

static void put_all(struct build *b, const struct program programs[INITRAMFS_PROGRAMS]) {
    char order[MODULES_MAX * 96] = "";
    size_t len = 0;
    put_entry(b->out, "dev", S_IFDIR | 0755, 0, 0, "", 0);
    put_entry(b->out, "dev/console", S_IFCHR | 0600, 5, 1, "", 0);
    for (int i = 0; i < INITRAMFS_PROGRAMS && programs[i].name != NULL; i++) {
        const struct program *p = &programs[i];
        put_entry(b->out, i == 0 ? "init" : p->name, S_IFREG | 0755, 0, 0, p->data, p->size);
    }
    put_entry(b->out, "modules", S_IFDIR | 0755, 0, 0, "", 0);
    for (size_t i = 0; i < b->count; i++) { /* one that two devices need has a file for each */
        const struct module *m = &b->modules[i];
        char name[80], path[96];
        if (m->device == 0) {
            (void)snprintf(name, sizeof(name), "%s.ko", m->name); /* fits, as all here */
        } else {
            (void)snprintf(name, sizeof(name), "%s.%u.ko", m->name, m->device);
        }
        len += (size_t)snprintf(order + len, sizeof(order) - len, "%s %u\n", name, m->device);
        (void)snprintf(path, sizeof(path), "modules/%s", name);
        put_entry(b->out, path, S_IFREG | 0644, 0, 0, m->data, m->size);
    }
    put_entry(b->out, "modules/order", S_IFREG | 0644, 0, 0, order, len);
    put_entry(b->out, "TRAILER!!!", 0, 0, 0, "", 0);
}

/* A program without what no kernel loads, debugging information for the most part: up to the end of
 * its last segment, elf(5). */
static size_t loaded_part(char *data, size_t size) {
    Elf64_Ehdr head;
    size_t end = 0;
    if (size < sizeof(head) || memcmp(data, ELFMAG, SELFMAG) != 0) {
        return size;
    }
    memcpy(&head, data, sizeof(head));
    for (size_t i = 0; i < head.e_phnum; i++) {
        Elf64_Phdr part;
        size_t at = head.e_phoff + i * sizeof(part);
        if (head.e_phentsize != sizeof(part) || at > size || size - at < sizeof(part)) {
            return size;
        }
        memcpy(&part, data + at, sizeof(part));
        end = MAX(MAX(end, part.p_offset + part.p_filesz), at + sizeof(part));
    }
    if (end >= size) {
        return size;
    }
    head.e_shoff = 0;
    head.e_shnum = head.e_shstrndx = 0;
    memcpy(data, &head, sizeof(head));
    return end;
}

static int read_programs(const struct initramfs_programs *from, struct program *out,
                         struct err *err) {
    int e = 0;
    for (int i = 0; i < INITRAMFS_PROGRAMS && from->names[i] != NULL && e == 0; i++) {
        cleanup_fd int fd = sandbox_open_program(from->names[i], err);
        out[i].name = from->names[i];
        e = fd < 0 ? fd : read_all(fd, &out[i].data, &out[i].size);
        if (fd >= 0 && e != 0) {
            (void)err_sys(err, e, "cannot read %s", from->names[i]); /* e is returned */
        }
        out[i].size = e == 0 ? loaded_part(out[i].data, out[i].size) : 0;
    }
    return e;
}

int initramfs_build(const struct initramfs_programs *from, const char *modules, char **out,
                    size_t *out_size, struct err *err) {
    struct build b = {.folder = modules};
    struct program programs[INITRAMFS_PROGRAMS] = {{.name = NULL}};
    int e = read_programs(from, programs, err);
    for (size_t i = 0; i < ARRAY_COUNT(g_wanted) && e == 0; i++) {
        e = add_module(&b, g_wanted[i].name, g_wanted[i].device, 0, err);
    }
    if (e == 0) {
        b.out = open_memstream(out, out_size);
        if (b.out != NULL) {
            put_all(&b, programs);
        }
        if (b.out == NULL || fclose(b.out) != 0) {
            e = err_sys(err, -ENOMEM, "cannot put the initramfs together");
        }
    }
    for (size_t i = 0; i < b.count; i++) {
        free(b.modules[i].data);
    }
    for (int i = 0; i < INITRAMFS_PROGRAMS; i++) {
        free(programs[i].data);
    }
    return e;
}
