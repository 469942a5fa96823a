/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protecting the runtime's binary: see protect.h.
 *
 * The kernel lets a process change its link only when none of its mappings shows the old file, so
 * each loaded segment is replaced in place: read-only ones by the same pages of the new file, the
 * writable one by an anonymous copy, moved over the old mapping in one call (mremap(2)).  Content
 * and addresses stay the same throughout, also for the code that does it.
 */
#include "native/protect.h"

#include "host/cleanup.h"
#include "host/mounts.h"
#include "native/setup.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ul

extern char __executable_start, etext, edata, end; /* ld(1) */

static bool g_protected;
static int g_copy = -1; /* for a process that has the rights later, but no /proc of its own then */

static uintptr_t page_down(uintptr_t a) {
    return ALIGN_DOWN(a, PAGE);
}

static uintptr_t page_up(uintptr_t a) {
    return ALIGN_UP(a, PAGE);
}

static int prot_of(const Elf64_Phdr *p) {
    return ((p->p_flags & PF_R) != 0 ? PROT_READ : 0) |
           ((p->p_flags & PF_W) != 0 ? PROT_WRITE : 0) | ((p->p_flags & PF_X) != 0 ? PROT_EXEC : 0);
}

/* ---- files that nobody can write ---- */

/* The binary through a mount of its own that is read-only; it exists as long as it is open. */
static int readonly_mount(void) {
    const struct mount_attrs attrs = {
        .set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, .propagation = MS_PRIVATE, .userns = -1};
    struct err ignored = {0};
    cleanup_fd int tree = mount_tree_open(AT_FDCWD, "/proc/self/exe", false);
    if (tree < 0) {
        return tree;
    }
    int e = mount_set_attrs(tree, &attrs, &ignored);
    if (e != 0) {
        return e;
    }
    int fd = openat(tree, "", O_RDONLY | O_CLOEXEC);
    if (fd < 0) { /* openat takes no empty path for a file: the link of the descriptor does */
        char path[32];
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", tree); /* fits */
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    return fd >= 0 ? fd : -errno;
}

static int sealed_copy(void) {
    struct stat st;
    cleanup_fd int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    cleanup_fd int copy = (int)syscall(SYS_memfd_create, "moat",
                                       MFD_CLOEXEC | MFD_ALLOW_SEALING | 0x10u /* MFD_EXEC */);
    if (copy < 0 && errno == EINVAL) { /* before Linux 6.3 */
        copy = (int)syscall(SYS_memfd_create, "moat", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    if (exe < 0 || copy < 0 || fstat(exe, &st) != 0) {
        return -errno;
    }
    for (off_t at = 0; at < st.st_size;) {
        if (sendfile(copy, exe, &at, (size_t)(st.st_size - at)) <= 0) {
            return errno != 0 ? -errno : -EIO;
        }
    }
    if (fchmod(copy, 0555) != 0 ||
        fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
        return -errno;
    }
    return steal_fd(&copy);
}

/* ---- mapping anew ---- */

/* Anonymous memory with the same content comes to lie where the file's pages were. */
static int replace_writable(uintptr_t start, uintptr_t stop, int prot) {
    size_t len = stop - start;
    void *copy =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (copy == MAP_FAILED) {
        return -errno;
    }
    /* Nothing between the copy and the move writes to static data, so the copy is exact: errno
     * and the stack lie elsewhere. */
    memcpy(copy, (const void *)start, len);
    if (syscall(SYS_mremap, copy, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, start) < 0) {
        return -errno;
    }
    return mprotect((void *)start, len, prot) == 0 ? 0 : -errno;
}

/* What is added to the addresses of a header where the program was loaded elsewhere (PIE). */
static uintptr_t load_bias(const Elf64_Phdr *headers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (headers[i].p_type == PT_LOAD) { /* the first is the lowest: elf(5) */
            return (uintptr_t)&__executable_start - page_down(headers[i].p_vaddr);
        }
    }
    return 0;
}

static int replace_segment(const Elf64_Phdr *p, uintptr_t bias, int fd) {
    uintptr_t start = page_down(bias + p->p_vaddr), stop = page_up(bias + p->p_vaddr + p->p_filesz);
    if (p->p_type != PT_LOAD || start == stop) {
        return 0;
    }
    if ((p->p_flags & PF_W) != 0) {
        return replace_writable(start, stop, prot_of(p));
    }
    void *at = mmap((void *)start, stop - start, prot_of(p), MAP_PRIVATE | MAP_FIXED, fd,
                    (off_t)page_down(p->p_offset));
    return at == MAP_FAILED ? -errno : 0;
}

/* What the dynamic linker's part of a static start made read-only (PT_GNU_RELRO) is so again. */
static int restore_relro(const Elf64_Phdr *p, uintptr_t bias) {
    uintptr_t start = page_down(bias + p->p_vaddr),
              stop = page_down(bias + p->p_vaddr + p->p_memsz);
    return p->p_type != PT_GNU_RELRO || start == stop ||
                   mprotect((void *)start, stop - start, PROT_READ) == 0
               ? 0
               : -errno;
}

static int replace_all(int fd) {
    const Elf64_Phdr *headers = (const Elf64_Phdr *)getauxval(AT_PHDR); /* in the first segment */
    size_t count = getauxval(AT_PHNUM);
    uintptr_t bias = load_bias(headers, count);
    int e = 0;
    for (size_t i = 0; i < count && e == 0; i++) {
        e = replace_segment(&headers[i], bias, fd);
    }
    for (size_t i = 0; i < count && e == 0; i++) {
        e = restore_relro(&headers[i], bias);
    }
    return e;
}

/* The addresses are those that prctl asks to be told anew; they stay what they are. */
static int set_link(int fd) {
    uintptr_t brk = (uintptr_t)sbrk(0), args = (uintptr_t)program_invocation_name;
    uintptr_t args_end = environ != NULL ? (uintptr_t)environ[0] : 0; /* they lie one by one */
    args_end = args_end < args ? args : args_end;
    const struct prctl_mm_map map = {
        .start_code = (uintptr_t)&__executable_start,
        .end_code = (uintptr_t)&etext,
        .start_data = page_down((uintptr_t)&edata),
        .end_data = (uintptr_t)&edata,
        .start_brk = brk,
        .brk = brk,
        .start_stack = args,
        .arg_start = args,
        .arg_end = args_end,
        .env_start = args_end,
        .env_end = args_end,
        .exe_fd = (uint32_t)fd,
    };
    return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) == 0 ? 0 : -errno;
}

/* prctl refuses an exe_fd without these rights, so nothing is mapped anew in vain. */
static bool has_rights(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    return syscall(SYS_capget, &header, data) == 0 &&
           ((data[0].effective & CAP_TO_MASK(CAP_SYS_ADMIN)) != 0 ||
            (data[1].effective & CAP_TO_MASK(CAP_CHECKPOINT_RESTORE)) != 0);
}

void protect_binary_not_needed(void) {
    g_protected = true;
}

int protect_binary(struct err *err) {
    if (g_protected) {
        return 0;
    }
    if (!has_rights()) {
        g_copy = g_copy >= 0 ? g_copy : sealed_copy();
        return g_copy >= 0 ? -EPERM
                           : err_sys(err, g_copy, "cannot make a copy of moat's binary in memory");
    }
    cleanup_fd int fd = g_copy >= 0 ? g_copy : readonly_mount();
    g_copy = -1;
    if (fd < 0) {
        fd = sealed_copy();
    }
    if (fd < 0) {
        return err_sys(err, fd, "cannot make a copy of moat's binary that nobody can write");
    }
    int e = replace_all(fd);
    e = e != 0 ? e : set_link(fd);
    if (e != 0) {
        return err_sys(err, e,
                       "cannot protect moat's binary from the container (the kernel needs "
                       "CONFIG_CHECKPOINT_RESTORE)");
    }
    g_protected = true;
    return 0;
}

int setup_protect(struct setup *s, const struct setup_op *op, struct err *err) {
    int e = protect_binary(err);
    return e == -EPERM ? err_sys(err, e, "no rights for it in the user namespace") : e;
}
