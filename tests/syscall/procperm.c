/* SPDX-License-Identifier: Apache-2.0 */
/* proc(5): who may look at whom, what can be written, and what becomes of names when a process
 * ends. */
#include "harness.h"

#include <dirent.h>
#include <grp.h>
#include <pthread.h>
#include <sys/prctl.h>

static char g_path[128];

static const char *of(pid_t pid, const char *name) {
    snprintf(g_path, sizeof(g_path), "/proc/%d/%s", pid, name);
    return g_path;
}

static int read_text(const char *path, char *buf, size_t size) {
    int fd = open(path, O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, buf, size - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    buf[n < 0 ? 0 : n] = 0;
    return (int)n;
}

static int write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    if (fd < 0) {
        return -1;
    }
    int n = (int)write(fd, text, strlen(text));
    int saved = errno;
    close(fd);
    errno = saved;
    return n;
}

static void become_nobody(void) {
    if (geteuid() != 0 || setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0) {
        SKIP("needs to be root");
    }
    prctl(PR_SET_DUMPABLE, 1);
}

/* ---- strangers ---------------------------------------------------------------------------------
 */

static void stranger_sees_little(void) {
    static const char *const closed[] = {"environ", "maps", "mem", "auxv", "io", "syscall"};
    static const char *const opened[] = {"stat", "status", "cmdline", "comm", "limits", "mounts"};
    char buf[256];
    pid_t root = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become_nobody();
        for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
            errno = 0;
            int fd = open(of(root, closed[i]), O_RDONLY);
            if (fd >= 0) {
                test_fail(TEST_FILE, __LINE__, "%s opens", closed[i]);
            }
            CHECK(errno == EACCES || errno == EPERM);
        }
        for (size_t i = 0; i < sizeof(opened) / sizeof(opened[0]); i++) {
            if (read_text(of(root, opened[i]), buf, sizeof(buf)) <= 0) {
                test_fail(TEST_FILE, __LINE__, "%s cannot be read", opened[i]);
            }
        }
        CHECK(opendir(of(root, "fd")) == NULL && errno == EACCES);
        CHECK_ERR(readlink(of(root, "cwd"), buf, sizeof(buf)), EACCES);
        CHECK_ERR(readlink(of(root, "exe"), buf, sizeof(buf)), EACCES);
        CHECK_ERR(readlink(of(root, "root"), buf, sizeof(buf)), EACCES);
        CHECK(write_text(of(root, "comm"), "x") < 0);
        CHECK(read_text("/proc/self/environ", buf, sizeof(buf)) >= 0);
        CHECK(readlink("/proc/self/exe", buf, sizeof(buf)) > 0);
        _exit(g_test_failed != 0);
    }
    int status;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == HARNESS_SKIP) {
        _exit(HARNESS_SKIP);
    }
    CHECK_EQ(status, 0);
}

static void owner_is_the_effective_user(void) {
    struct stat st;
    if (geteuid() != 0) {
        SKIP("needs to be root");
    }
    CHECK(stat("/proc/self/stat", &st) == 0);
    CHECK_EQ(st.st_uid, 0);
    CHECK(setegid(1000) == 0 && seteuid(1000) == 0);
    CHECK(stat(of(getpid(), ""), &st) == 0);
    CHECK_EQ(st.st_uid, 1000);
    CHECK_EQ(st.st_gid, 1000);
    CHECK(stat("/proc/self/stat", &st) == 0);
    CHECK_EQ(st.st_uid, 0); /* not dumpable after the change */
}

/* ---- descriptors
 * ---------------------------------------------------------------------------------- */

static void descriptor_permissions_tell_the_mode(void) {
    struct stat st;
    int r = open("/dev/null", O_RDONLY), w = open("/dev/null", O_WRONLY),
        rw = open("/dev/null", O_RDWR);
    char path[64];
    const int fds[] = {r, w, rw};
    const mode_t modes[] = {0500, 0300, 0700};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[i]);
        CHECK(lstat(path, &st) == 0 && S_ISLNK(st.st_mode));
        CHECK_EQ(st.st_mode & 0777, modes[i]);
    }
    close(rw);
    CHECK_ERR(lstat(path, &st), ENOENT);
}

static void descriptor_leads_to_unlinked_file(void) {
    char path[64], buf[64], where[256];
    int fd = open("gone", O_RDWR | O_CREAT, 0600);
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, "still here", 10) == 10);
    REQUIRE(unlink("gone") == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, where, sizeof(where) - 1);
    REQUIRE(n > 0);
    where[n] = 0;
    CHECK(strstr(where, "/gone (deleted)") != NULL);
    int again = open(path, O_RDONLY);
    CHECK(again >= 0);
    CHECK_EQ(read(again, buf, sizeof(buf)), 10);
}

static void descriptor_info(void) {
    char path[64], buf[512];
    int fd = open("file", O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0600);
    REQUIRE(write(fd, "12345", 5) == 5);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    CHECK(read_text(path, buf, sizeof(buf)) > 0);
    long long pos = -1;
    unsigned int flags = 0;
    CHECK_EQ(sscanf(buf, "pos:\t%lld\nflags:\t%o", &pos, &flags), 2);
    CHECK_EQ(pos, 5);
    CHECK_EQ(flags & (O_ACCMODE | O_APPEND | O_CLOEXEC), O_RDWR | O_APPEND | O_CLOEXEC);
}

/* ---- ends
 * --------------------------------------------------------------------------------------------- */

static void names_end_with_the_process(void) {
    int p[2];
    char c, buf[256];
    struct stat st;
    REQUIRE(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(p[1]);
        (void)!read(p[0], &c, 1);
        _exit(0);
    }
    int dir = open(of(pid, ""), O_RDONLY | O_DIRECTORY);
    int stat_fd = open(of(pid, "stat"), O_RDONLY);
    REQUIRE(dir >= 0 && stat_fd >= 0);
    CHECK(read(stat_fd, buf, sizeof(buf)) > 0);
    close(p[1]);
    siginfo_t info;
    CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
    CHECK(read_text(of(pid, "stat"), buf, sizeof(buf)) > 0);
    CHECK(strstr(buf, ") Z ") != NULL);
    CHECK_EQ(read_text(of(pid, "cmdline"), buf, sizeof(buf)), 0);
    CHECK(child_ok(pid));
    CHECK_ERR(stat(of(pid, "stat"), &st), ENOENT);
    CHECK_ERR(openat(dir, "stat", O_RDONLY), ESRCH);
    lseek(stat_fd, 0, SEEK_SET);
    CHECK_ERR(read(stat_fd, buf, sizeof(buf)), ESRCH);
}

static pthread_barrier_t g_barrier;

static void *named_thread(void *arg) {
    prctl(PR_SET_NAME, "second");
    *(pid_t *)arg = gettid();
    pthread_barrier_wait(&g_barrier);
    pthread_barrier_wait(&g_barrier);
    return NULL;
}

static void threads_are_listed(void) {
    pthread_t thread;
    pid_t tid = 0;
    char buf[256], path[64];
    int found = 0;
    struct dirent *e;
    pthread_barrier_init(&g_barrier, NULL, 2);
    REQUIRE(pthread_create(&thread, NULL, named_thread, &tid) == 0);
    pthread_barrier_wait(&g_barrier);
    DIR *d = opendir("/proc/self/task");
    REQUIRE(d != NULL);
    while ((e = readdir(d)) != NULL) {
        found += atoi(e->d_name) == tid || atoi(e->d_name) == getpid();
    }
    CHECK_EQ(found, 2);
    snprintf(path, sizeof(path), "/proc/self/task/%d/comm", tid);
    CHECK(read_text(path, buf, sizeof(buf)) > 0);
    CHECK(strcmp(buf, "second\n") == 0);
    CHECK(write_text(path, "renamed") == 7);
    CHECK(read_text(path, buf, sizeof(buf)) > 0 && strcmp(buf, "renamed\n") == 0);
    CHECK(read_text("/proc/self/comm", buf, sizeof(buf)) > 0 && strcmp(buf, "renamed\n") != 0);
    snprintf(path, sizeof(path), "/proc/%d/status", tid); /* not listed, but there */
    CHECK(read_text(path, buf, sizeof(buf)) > 0);
    pthread_barrier_wait(&g_barrier);
    pthread_join(thread, NULL);
    snprintf(path, sizeof(path), "/proc/self/task/%d", tid);
    CHECK_ERR(access(path, F_OK), ENOENT);
}

/* ---- writing
 * -------------------------------------------------------------------------------------------- */

static void scores_can_be_raised(void) {
    char buf[32];
    CHECK(write_text("/proc/self/oom_score_adj", "500") == 3);
    CHECK(read_text("/proc/self/oom_score_adj", buf, sizeof(buf)) > 0);
    CHECK_EQ(atoi(buf), 500);
    CHECK_ERR(write_text("/proc/self/oom_score_adj", "5000"), EINVAL);
    CHECK_ERR(write_text("/proc/self/oom_score_adj", "x"), EINVAL);
}

static void memory_of_a_child(void) {
    static volatile int word = 1;
    int p[2], q[2];
    char c;
    REQUIRE(pipe(p) == 0 && pipe(q) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        word = 2;
        (void)!write(q[1], "x", 1);
        (void)!read(p[0], &c, 1);
        _exit(word == 3 ? 0 : 1);
    }
    REQUIRE(read(q[0], &c, 1) == 1);
    int fd = open(of(pid, "mem"), O_RDWR);
    if (fd < 0) {
        SKIP("the host restricts ptrace");
    }
    int seen = 0, three = 3;
    CHECK_EQ(pread(fd, &seen, sizeof(seen), (off_t)(uintptr_t)&word), sizeof(seen));
    CHECK_EQ(seen, 2);
    CHECK_EQ(pwrite(fd, &three, sizeof(three), (off_t)(uintptr_t)&word), sizeof(three));
    CHECK_EQ(word, 1);
    CHECK_ERR(pread(fd, &seen, sizeof(seen), 16), EIO);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK(child_ok(pid));
}

static void identifiers_are_random(void) {
    char a[64], b[64], boot[64], again[64];
    CHECK_EQ(read_text("/proc/sys/kernel/random/uuid", a, sizeof(a)), 37);
    CHECK_EQ(read_text("/proc/sys/kernel/random/uuid", b, sizeof(b)), 37);
    CHECK(strcmp(a, b) != 0);
    CHECK_EQ(a[14], '4');
    CHECK_EQ(read_text("/proc/sys/kernel/random/boot_id", boot, sizeof(boot)), 37);
    CHECK_EQ(read_text("/proc/sys/kernel/random/boot_id", again, sizeof(again)), 37);
    CHECK(strcmp(boot, again) == 0);
}

static void seek_reads_anew(void) {
    char a[64], b[64];
    int fd = open("/proc/self/comm", O_RDWR);
    REQUIRE(fd >= 0);
    CHECK(read(fd, a, sizeof(a)) > 0);
    prctl(PR_SET_NAME, "another");
    CHECK_EQ(read(fd, b, sizeof(b)), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    ssize_t n = read(fd, b, sizeof(b) - 1);
    REQUIRE(n > 0);
    b[n] = 0;
    CHECK(strcmp(b, "another\n") == 0);
    CHECK_EQ(pread(fd, b, 3, 2), 3);
    CHECK(memcmp(b, "oth", 3) == 0);
}

int main(void) {
    RUN(stranger_sees_little);
    RUN(owner_is_the_effective_user);
    RUN(descriptor_permissions_tell_the_mode);
    RUN(descriptor_leads_to_unlinked_file);
    RUN(descriptor_info);
    RUN(names_end_with_the_process);
    RUN(threads_are_listed);
    RUN(scores_can_be_raised);
    RUN(memory_of_a_child);
    RUN(identifiers_are_random);
    RUN(seek_reads_anew);
    TEST_MAIN_END;
}
