/* SPDX-License-Identifier: Apache-2.0 */
/* proc(5): what programs read of themselves and of the system. */
#include "harness.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/un.h>

static char g_text[1 << 16];

static const char *slurp(const char *path) {
    int fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0);
    size_t have = 0;
    ssize_t n;
    while (have < sizeof(g_text) - 1 &&
           (n = read(fd, g_text + have, sizeof(g_text) - 1 - have)) > 0) {
        have += (size_t)n;
    }
    close(fd);
    g_text[have] = 0;
    return g_text;
}

static long field(const char *text, const char *key) {
    const char *at = strstr(text, key);
    return at != NULL ? strtol(at + strlen(key), NULL, 10) : -1;
}

static void own_status(void) {
    const char *s = slurp("/proc/self/status");
    CHECK_EQ(field(s, "\nPid:"), getpid());
    CHECK_EQ(field(s, "\nTgid:"), getpid());
    CHECK_EQ(field(s, "\nPPid:"), getppid());
    CHECK_EQ(field(s, "\nUid:"), getuid());
    CHECK_EQ(field(s, "\nGid:"), getgid());
    CHECK_EQ(field(s, "\nThreads:"), 1);
    CHECK(strstr(s, "Name:\tprocfs\n") != NULL);
    CHECK(strstr(s, "State:\tR") != NULL);
    CHECK(field(s, "\nVmRSS:") > 0);
    CHECK(strstr(s, "\nSigCgt:") != NULL && strstr(s, "\nCapEff:") != NULL);
}

static void own_stat(void) {
    const char *s = slurp("/proc/self/stat");
    int pid, ppid, pgrp, session;
    char comm[32], state;
    CHECK_EQ(sscanf(s, "%d (%31[^)]) %c %d %d %d", &pid, comm, &state, &ppid, &pgrp, &session), 6);
    CHECK_EQ(pid, getpid());
    CHECK(strcmp(comm, "procfs") == 0);
    CHECK_EQ(state, 'R');
    CHECK_EQ(ppid, getppid());
    CHECK_EQ(pgrp, getpgrp());
    CHECK_EQ(session, getsid(0));
}

static void self_links(void) {
    char buf[256], want[32];
    ssize_t n = readlink("/proc/self", buf, sizeof(buf) - 1);
    REQUIRE(n > 0);
    buf[n] = 0;
    CHECK_EQ(atoi(buf), getpid());
    n = readlink("/proc/thread-self", buf, sizeof(buf) - 1);
    REQUIRE(n > 0);
    buf[n] = 0;
    snprintf(want, sizeof(want), "%d/task/%d", getpid(), getpid());
    CHECK(strcmp(buf, want) == 0);
    char cwd[256];
    REQUIRE(getcwd(cwd, sizeof(cwd)) != NULL);
    n = readlink("/proc/self/cwd", buf, sizeof(buf) - 1);
    REQUIRE(n > 0);
    buf[n] = 0;
    CHECK(strcmp(buf, cwd) == 0);
    n = readlink("/proc/self/root", buf, sizeof(buf) - 1);
    CHECK(n == 1 && buf[0] == '/');
    n = readlink("/proc/self/exe", buf, sizeof(buf) - 1);
    REQUIRE(n > 0);
    buf[n] = 0;
    CHECK(strcmp(strrchr(buf, '/'), "/procfs") == 0);
}

static void open_files(void) {
    int fd = open("f", O_RDWR | O_CREAT | O_APPEND, 0600), p[2];
    char path[64], buf[256], cwd[256];
    REQUIRE(pipe(p) == 0 && write(fd, "abc", 3) == 3 && getcwd(cwd, sizeof(cwd)) != NULL);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, buf, sizeof(buf) - 1);
    REQUIRE(n > 0);
    buf[n] = 0;
    strcat(cwd, "/f");
    CHECK(strcmp(buf, cwd) == 0);
    int again = open(path, O_RDONLY);
    CHECK(again >= 0);
    CHECK_EQ(read(again, buf, 8), 3);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", p[0]);
    n = readlink(path, buf, sizeof(buf) - 1);
    CHECK(n > 6 && strncmp(buf, "pipe:[", 6) == 0);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    CHECK_EQ(field(slurp(path), "pos:\t"), 3);
    unlink("f");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    n = readlink(path, buf, sizeof(buf) - 1);
    REQUIRE(n > 0);
    buf[n] = 0;
    CHECK(strstr(buf, "/f (deleted)") != NULL);
    DIR *d = opendir("/proc/self/fd");
    REQUIRE(d != NULL);
    int count = 0;
    while (readdir(d) != NULL) {
        count++;
    }
    CHECK(count >= 2 + 3 + 4);
}

static void command_line(void) {
    int fd = open("/proc/self/cmdline", O_RDONLY);
    char buf[512] = {0};
    CHECK(read(fd, buf, sizeof(buf) - 1) > 6);
    CHECK(strstr(buf, "procfs") != NULL);
    CHECK_EQ(prctl(PR_SET_NAME, "renamed"), 0);
    CHECK(strcmp(slurp("/proc/self/comm"), "renamed\n") == 0);
}

static void maps(void) {
    void *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    REQUIRE(mprotect((char *)p + 4096, 4096, PROT_READ) == 0);
    char want[64];
    const char *s = slurp("/proc/self/maps");
    snprintf(want, sizeof(want), "%lx-%lx r--p", (unsigned long)p + 4096, (unsigned long)p + 8192);
    CHECK(strstr(s, want) != NULL);
    CHECK(strstr(s, "[stack]") != NULL);
    CHECK(strstr(s, "[heap]") != NULL || sbrk(0) != NULL);
    CHECK(strstr(s, "/procfs\n") != NULL);
}

static void other_process(void) {
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    wait_asleep(pid);
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    const char *s = slurp(path);
    CHECK_EQ(field(s, "\nPPid:"), getpid());
    CHECK(strstr(s, "State:\tS") != NULL);
    kill(pid, SIGSTOP);
    int status;
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(strstr(slurp(path), "State:\tT") != NULL);
    kill(pid, SIGKILL);
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    CHECK(strstr(slurp(path), "State:\tZ") != NULL);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_ERR(open(path, O_RDONLY), ENOENT);
}

static void list_of_processes(void) {
    DIR *d = opendir("/proc");
    REQUIRE(d != NULL);
    struct dirent *e;
    bool me = false, self = false;
    while ((e = readdir(d)) != NULL) {
        me = me || atoi(e->d_name) == getpid();
        self = self || strcmp(e->d_name, "self") == 0;
    }
    CHECK(me && self);
    d = opendir("/proc/self/task");
    REQUIRE(d != NULL);
    int count = 0;
    while ((e = readdir(d)) != NULL) {
        count += e->d_name[0] != '.';
    }
    CHECK_EQ(count, 1);
}

static void system_files(void) {
    CHECK(field(slurp("/proc/meminfo"), "MemTotal:") > 1000);
    CHECK(field(g_text, "MemAvailable:") > 0);
    CHECK(strstr(slurp("/proc/cpuinfo"), "processor\t: 0") != NULL);
    CHECK(strncmp(slurp("/proc/stat"), "cpu  ", 5) == 0);
    CHECK(field(g_text, "btime ") > 1000000000);
    double up = 0;
    CHECK(sscanf(slurp("/proc/uptime"), "%lf", &up) == 1 && up >= 0);
    CHECK(strncmp(slurp("/proc/version"), "Linux version ", 14) == 0);
    CHECK(strstr(slurp("/proc/filesystems"), "proc\n") != NULL);
    CHECK(strstr(slurp("/proc/self/mounts"), " /proc proc ") != NULL);
    CHECK(strstr(slurp("/proc/self/mountinfo"), " /proc ") != NULL);
    CHECK(atoi(slurp("/proc/sys/kernel/pid_max")) > 1000);
    CHECK(strlen(slurp("/proc/sys/kernel/random/boot_id")) == 37);
    CHECK(strlen(slurp("/proc/sys/kernel/hostname")) > 1);
    CHECK(atoi(slurp("/proc/sys/fs/file-max")) != 0);
    CHECK(strchr(slurp("/proc/loadavg"), '/') != NULL);
    CHECK_ERR(open("/proc/none", O_RDONLY), ENOENT);
    CHECK(mkdir("/proc/x", 0700) == -1);
}

static void small_reads_agree(void) {
    char whole[4096] = {0}, piece[4096] = {0};
    int fd = open("/proc/self/limits", O_RDONLY);
    REQUIRE(fd >= 0);
    ssize_t n = read(fd, whole, sizeof(whole) - 1);
    REQUIRE(n > 100);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    ssize_t have = 0, got;
    while ((got = read(fd, piece + have, 7)) > 0) {
        have += got;
    }
    CHECK_EQ(have, n);
    CHECK(memcmp(whole, piece, (size_t)n) == 0);
    CHECK(strstr(whole, "Max open files") != NULL);
}

static void unix_sockets(void) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path + 1, 90, "moat-proc-%d", getpid());
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(bind(fd, (void *)&addr, (socklen_t)(3 + strlen(addr.sun_path + 1))) == 0 &&
            listen(fd, 1) == 0);
    char want[64];
    snprintf(want, sizeof(want), " @moat-proc-%d\n", getpid());
    CHECK(strstr(slurp("/proc/net/unix"), want) != NULL);
}

static void memory_file(void) {
    volatile int value = 1234;
    int fd = open("/proc/self/mem", O_RDWR), copy = 0;
    REQUIRE(fd >= 0);
    CHECK_EQ(pread(fd, &copy, sizeof(copy), (off_t)(uintptr_t)&value), (ssize_t)sizeof(copy));
    CHECK_EQ(copy, 1234);
    copy = 77;
    CHECK_EQ(pwrite(fd, &copy, sizeof(copy), (off_t)(uintptr_t)&value), (ssize_t)sizeof(copy));
    CHECK_EQ(value, 77);
    CHECK_ERR(pread(fd, &copy, sizeof(copy), 8), EIO);
}

/* ---- what was done ---- */

static long voluntary(int who) {
    struct rusage ru;
    REQUIRE(getrusage(who, &ru) == 0);
    return ru.ru_nvcsw;
}

static void sleep_often(void) {
    for (int i = 0; i < 10; i++) {
        struct timespec ts = {0, 100000};
        nanosleep(&ts, NULL);
    }
}

static void context_switches(void) {
    const char *name = "\nvoluntary_ctxt_switches:";
    long long before = field(slurp("/proc/thread-self/status"), name);
    long self = voluntary(RUSAGE_SELF), thread = voluntary(RUSAGE_THREAD),
         children = voluntary(RUSAGE_CHILDREN);
    CHECK(before >= 0 && field(slurp("/proc/stat"), "\nctxt ") > 0);
    sleep_often();
    CHECK(field(slurp("/proc/thread-self/status"), name) >= before + 10);
    CHECK(field(slurp("/proc/thread-self/status"), "\nnonvoluntary_ctxt_switches:") >= 0);
    CHECK(voluntary(RUSAGE_SELF) >= self + 10);
    CHECK(voluntary(RUSAGE_THREAD) >= thread + 10);
    CHECK_EQ(voluntary(RUSAGE_CHILDREN), children);
    CHECK_EQ(in_child(sleep_often), 0);
    CHECK(voluntary(RUSAGE_CHILDREN) >= children + 10);
}

static void move_bytes(void) {
    char buf[1000] = {0};
    int fd = open("data", O_RDWR | O_CREAT, 0600);
    REQUIRE(fd >= 0 && write(fd, buf, 600) == 600 && write(fd, buf, 400) == 400);
    CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 1000);
    CHECK_EQ(pread(fd, buf, sizeof(buf), 1000), 0);
    close(fd);
}

static void io_counts(void) {
    const char *path = "/proc/self/io";
    long long wchar = field(slurp(path), "wchar:"), syscw = field(slurp(path), "syscw:");
    long long rchar = field(slurp(path), "rchar:"), syscr = field(slurp(path), "syscr:");
    REQUIRE(rchar >= 0 && wchar >= 0);
    move_bytes();
    CHECK_EQ(field(slurp(path), "wchar:"), wchar + 1000);
    CHECK_EQ(field(slurp(path), "syscw:"), syscw + 2);
    CHECK(field(slurp(path), "rchar:") >= rchar + 1000);
    CHECK(field(slurp(path), "syscr:") >= syscr + 2);
    CHECK_EQ(in_child(move_bytes), 0); /* a child counts once it is waited for */
    CHECK_EQ(field(slurp(path), "wchar:"), wchar + 2000);
    CHECK_EQ(field(slurp(path), "syscw:"), syscw + 4);
    CHECK(field(slurp(path), "\nread_bytes:") >= 0 &&
          field(slurp(path), "cancelled_write_bytes:") >= 0);
}

/* Samples are five seconds apart. */
static void load_average(void) {
    double load[3] = {0};
    unsigned int running = 0, threads = 0, last = 0;
    pid_t busy = fork();
    if (busy == 0) {
        alarm(HARNESS_SECONDS);
        for (;;) {
        }
    }
    while (load[0] == 0) {
        sleep_ms(50);
        REQUIRE(sscanf(slurp("/proc/loadavg"), "%lf %lf %lf %u/%u %u", &load[0], &load[1], &load[2],
                       &running, &threads, &last) == 6);
    }
    struct sysinfo info;
    REQUIRE(sysinfo(&info) == 0);
    CHECK(info.loads[0] > 0 && load[0] < 1000 && load[1] >= 0 && load[2] >= 0);
    CHECK(running >= 1 && threads >= running && last >= (unsigned int)busy);
    kill(busy, SIGKILL);
    waitpid(busy, NULL, 0);
}

int main(void) {
    RUN(own_status);
    RUN(own_stat);
    RUN(self_links);
    RUN(open_files);
    RUN(command_line);
    RUN(maps);
    RUN(other_process);
    RUN(list_of_processes);
    RUN(system_files);
    RUN(small_reads_agree);
    RUN(unix_sockets);
    RUN(memory_file);
    RUN(context_switches);
    RUN(io_counts);
    RUN(load_average);
    TEST_MAIN_END;
}
