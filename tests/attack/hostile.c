/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile image runs; linked statically, so that it needs nothing else in its root.
 *
 *   hostile hunt          opens the binary of every process that appears, and tries to write to it
 *   hostile swap A B      exchanges two names for ever
 *   hostile swap3 A B C   exchanges A with B, then A with C, for ever
 *   hostile watch         prints the permitted capabilities of every process that appears
 *   hostile fds           prints the descriptors it was born with
 *
 * hunt and watch print a line when they are ready, and one for each thing that it found out, until
 * it is killed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KEPT_MAX 256

static struct kept {
    int fd, pid;
    int last_error;
} g_kept[KEPT_MAX];
static int g_count;

static int known(int pid, const struct stat *st) {
    for (int i = 0; i < g_count; i++) {
        struct stat old;
        if (g_kept[i].pid == pid && fstat(g_kept[i].fd, &old) == 0 && old.st_ino == st->st_ino &&
            old.st_dev == st->st_dev) {
            return 1;
        }
    }
    return 0;
}

/* Holds the binary of `pid` by a descriptor that outlives the process. */
static void look_at(int pid, const struct stat *own) {
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || (st.st_ino == own->st_ino && st.st_dev == own->st_dev) ||
        known(pid, &st) || g_count == KEPT_MAX) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    g_kept[g_count++] = (struct kept){fd, pid, 0};
    printf("holds %d\n", pid);
}

static void try_to_write(struct kept *k) {
    static const char text[] = "#!/overwritten\n";
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", k->fd);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, text, sizeof(text) - 1) > 0) {
        printf("WROTE %d\n", k->pid);
    } else if (errno != k->last_error) {
        k->last_error = errno;
        printf("refused %d %s\n", k->pid, strerrorname_np(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void hunt(void) {
    struct stat own;
    if (stat("/proc/self/exe", &own) != 0) {
        exit(3);
    }
    printf("ready\n");
    for (;;) {
        DIR *proc = opendir("/proc");
        for (struct dirent *e; proc != NULL && (e = readdir(proc)) != NULL;) {
            int pid = atoi(e->d_name);
            if (pid > 1 && pid != getpid()) {
                look_at(pid, &own);
            }
        }
        if (proc != NULL) {
            closedir(proc);
        }
        for (int i = 0; i < g_count; i++) {
            try_to_write(&g_kept[i]);
        }
    }
}

/* Each new process is looked at again and again for a while: its rights may come later. */
static void watch(void) {
    static unsigned long long seen[1 << 16];
    printf("ready\n");
    for (;;) {
        DIR *proc = opendir("/proc");
        for (struct dirent *e; proc != NULL && (e = readdir(proc)) != NULL;) {
            char path[300], text[4096];
            int pid = atoi(e->d_name) & 0xffff;
            snprintf(path, sizeof(path), "/proc/%s/status", e->d_name);
            int fd = pid > 1 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
            ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
            if (fd >= 0) {
                close(fd);
            }
            text[n > 0 ? n : 0] = '\0';
            const char *caps = strstr(text, "CapPrm:\t");
            if (caps != NULL && seen[pid] != strtoull(caps + 8, NULL, 16) + 1) {
                seen[pid] = strtoull(caps + 8, NULL, 16) + 1;
                printf("caps %llx\n", seen[pid] - 1);
            }
        }
        if (proc != NULL) {
            closedir(proc);
        }
    }
}

static void exchange(const char *a, const char *b) {
    if (syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) != 0) {
        perror(a);
        exit(3);
    }
}

static void print_fds(void) {
    for (int fd = 0; fd < 1024; fd++) {
        char path[64], text[256];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, text, sizeof(text) - 1);
        if (n >= 0) {
            text[n] = '\0';
            printf("%d %s\n", fd, text);
        }
    }
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2 && strcmp(argv[1], "hunt") == 0) {
        hunt();
    } else if (argc == 2 && strcmp(argv[1], "watch") == 0) {
        watch();
    } else if (argc == 2 && strcmp(argv[1], "fds") == 0) {
        print_fds();
        return 0;
    } else if (argc == 4 && strcmp(argv[1], "swap") == 0) {
        printf("ready\n");
        for (;;) {
            exchange(argv[2], argv[3]);
        }
    } else if (argc == 5 && strcmp(argv[1], "swap3") == 0) {
        printf("ready\n");
        for (;;) {
            exchange(argv[2], argv[3]);
            exchange(argv[2], argv[4]);
        }
    }
    return 2;
}
