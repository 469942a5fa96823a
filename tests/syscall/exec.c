/* SPDX-License-Identifier: Apache-2.0 */
/* execve: what the new program gets and what it does not; scripts; hostile files; threads. */
#include "harness.h"

#include <elf.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

extern char **environ;
static char *g_self;

static const char *g_child_mode;

/* Runs this program again as a child in a mode of its own; its exit status, or 256 + signal. */
static int run_self(const char *mode) {
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {"self", (char *)mode, "two words", "", NULL};
        char *envp[] = {"A=1", "B=", NULL};
        execve(g_self, argv, envp);
        _exit(111);
    }
    int status = 0;
    if (waitpid(pid, &status, 0) != pid) {
        return -1;
    }
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int mode_args(int argc, char **argv) {
    char comm[16] = {0};
    int fd = open("/proc/self/comm", O_RDONLY);
    if (argc != 4 || strcmp(argv[2], "two words") != 0 || argv[3][0] != 0 || argv[4] != NULL) {
        return 1;
    }
    if (strcmp(environ[0], "A=1") != 0 || strcmp(environ[1], "B=") != 0 || environ[2] != NULL) {
        return 2;
    }
    if (fd >= 0 && (read(fd, comm, 15) <= 0 || strncmp(comm, strrchr(g_self, '/') + 1, 4) != 0)) {
        return 3;
    }
    return strcmp((char *)getauxval(AT_EXECFN), g_self) == 0 ? 0 : 4;
}

static int mode_auxv(void) {
    if (getauxval(AT_PAGESZ) != 4096 || getauxval(AT_CLKTCK) != 100 || getauxval(AT_RANDOM) == 0) {
        return 1;
    }
    if (getauxval(AT_PHDR) == 0 || getauxval(AT_PHENT) != sizeof(Elf64_Phdr) ||
        getauxval(AT_ENTRY) == 0) {
        return 2;
    }
    if (getauxval(AT_SECURE) != 0 || getauxval(AT_UID) != getuid() ||
        getauxval(AT_EGID) != getegid()) {
        return 3;
    }
    return getauxval(AT_HWCAP) != 0 && strcmp((char *)getauxval(AT_PLATFORM), "x86_64") == 0 ? 0
                                                                                             : 4;
}

static int mode_signals(void) {
    struct sigaction sa;
    sigset_t set;
    if (sigaction(SIGUSR1, NULL, &sa) != 0 || sa.sa_handler != SIG_DFL) {
        return 1;
    }
    if (sigaction(SIGUSR2, NULL, &sa) != 0 || sa.sa_handler != SIG_IGN) {
        return 2;
    }
    sigprocmask(SIG_SETMASK, NULL, &set);
    return sigismember(&set, SIGHUP) == 1 && sigismember(&set, SIGINT) == 0 ? 0 : 3;
}

static int mode_fds(void) {
    if (fcntl(50, F_GETFD) != -1 || errno != EBADF) {
        return 1;
    }
    return fcntl(51, F_GETFD) == 0 ? 0 : 2;
}

static int mode_thread(void) {
    return syscall(SYS_gettid) == getpid() ? 0 : 1;
}

static void arguments_and_environment(void) {
    CHECK_EQ(run_self("args"), 0);
}

static void auxiliary_vector(void) {
    CHECK_EQ(run_self("auxv"), 0);
}

static void nothing(int signo) {
}

static void signals_are_reset(void) {
    sigset_t set;
    signal(SIGUSR1, nothing);
    signal(SIGUSR2, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_SETMASK, &set, NULL);
    CHECK_EQ(run_self("signals"), 0);
}

static void close_on_exec(void) {
    REQUIRE(dup3(0, 50, O_CLOEXEC) == 50 && dup2(0, 51) == 51);
    CHECK_EQ(run_self("fds"), 0);
}

static void *exec_from_thread(void *arg) {
    char *argv[] = {"self", "thread", "", "", NULL};
    execve(g_self, argv, environ);
    _exit(111);
}

static void *idle(void *arg) {
    pause();
    return NULL;
}

static void exec_ends_other_threads(void) {
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        for (int i = 0; i < 3; i++) {
            pthread_create(&t, NULL, idle, NULL);
        }
        pthread_create(&t, NULL, exec_from_thread, NULL);
        pthread_join(t, NULL);
        _exit(112);
    }
    CHECK(child_ok(pid));
}

static void make_file(const char *name, const void *data, size_t len, int mode) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    REQUIRE(fd >= 0 && write(fd, data, len) == (ssize_t)len && fchmod(fd, mode) == 0 &&
            close(fd) == 0);
}

static int try_exec(const char *name) {
    char *argv[] = {(char *)name, NULL};
    pid_t pid = fork();
    if (pid == 0) {
        execve(name, argv, environ);
        _exit(errno);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void refusals(void) {
    make_file("plain", "hello\n", 6, 0755);
    make_file("noexec", "#!/bin/sh\nexit 3\n", 17, 0644);
    REQUIRE(mkdir("dir", 0755) == 0 && symlink("loop", "loop") == 0);
    CHECK_EQ(try_exec("missing"), ENOENT);
    CHECK_EQ(try_exec("plain"), ENOEXEC);
    CHECK_EQ(try_exec("noexec"), EACCES);
    CHECK_EQ(try_exec("dir"), EACCES);
    CHECK_EQ(try_exec("loop"), ELOOP);
    CHECK_EQ(try_exec("plain/x"), ENOTDIR);
    CHECK_EQ(try_exec(""), ENOENT);
    char *argv[] = {"x", NULL};
    CHECK_ERR(execve(BAD, argv, environ), EFAULT);
    CHECK_ERR(execve("/bin/sh", (char **)BAD, environ), EFAULT);
    char *big = malloc(200000);
    memset(big, 'a', 199999);
    big[199999] = 0;
    char *bigv[] = {"x", big, NULL};
    CHECK_ERR(execve("/bin/sh", bigv, environ), E2BIG); /* one string over 128 KiB */
}

static void scripts(void) {
    char deep[64], text[300];
    make_file("script", "#!/bin/sh\nexit 7\n", 17, 0755);
    CHECK_EQ(try_exec("./script"), 7);
    make_file("empty", "#!\n", 3, 0755);
    CHECK_EQ(try_exec("./empty"), ENOEXEC);
    make_file("nowhere", "#!/no/such/program\n", 19, 0755);
    CHECK_EQ(try_exec("./nowhere"), ENOENT);
    make_file("s0", "#!/bin/sh\nexit 9\n", 17, 0755);
    for (int i = 1; i <= 7; i++) {
        snprintf(deep, sizeof(deep), "s%d", i);
        int len = snprintf(text, sizeof(text), "#!./s%d\n", i - 1);
        make_file(deep, text, (size_t)len, 0755);
    }
    CHECK_EQ(try_exec("./s3"), 9);
    CHECK_EQ(try_exec("./s7"), ELOOP);
    memset(text, 'a', sizeof(text));
    memcpy(text, "#!/", 3);
    make_file("long", text, sizeof(text), 0755);
    CHECK_EQ(try_exec("./long"), ENOEXEC);
    make_file("arg", "#!/bin/echo one two\n", 20, 0755);
    int p[2];
    REQUIRE(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {"replaced", "three", NULL};
        dup2(p[1], 1);
        execve("./arg", argv, environ);
        _exit(1);
    }
    close(p[1]);
    char out[100] = {0};
    CHECK(read(p[0], out, sizeof(out) - 1) > 0);
    CHECK(strcmp(out, "one two ./arg three\n") == 0);
    CHECK(child_ok(pid));
}

static void hostile_elf(void) {
    Elf64_Ehdr h;
    int fd = open(g_self, O_RDONLY);
    REQUIRE(fd >= 0 && read(fd, &h, sizeof(h)) == sizeof(h));
    close(fd);
    make_file("short", &h, 40, 0755);
    CHECK_EQ(try_exec("./short"), ENOEXEC);
    Elf64_Ehdr bad = h;
    bad.e_machine = EM_386;
    make_file("machine", &bad, sizeof(bad), 0755);
    CHECK_EQ(try_exec("./machine"), ENOEXEC);
    bad = h;
    bad.e_phoff = UINT64_MAX - 10;
    make_file("phoff", &bad, sizeof(bad), 0755);
    int err = try_exec("./phoff");
    CHECK(err == ENOEXEC || err == EINVAL || err == EIO);
}

static void execveat_by_descriptor(void) {
    int fd = open(g_self, O_PATH | O_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {"self", "thread", "", "", NULL};
        syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
        _exit(111);
    }
    CHECK(child_ok(pid));
    make_file("script", "#!/bin/sh\nexit 0\n", 17, 0755);
    fd = open("script", O_RDONLY | O_CLOEXEC);
    pid = fork();
    if (pid == 0) {
        char *argv[] = {"script", NULL};
        syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
        _exit(errno == ENOENT ? 0 : 1); /* the interpreter could not open it */
    }
    CHECK(child_ok(pid));
}

static void vfork_exec(void) {
    int status;
    for (int i = 0; i < 20; i++) {
        pid_t pid = vfork();
        if (pid == 0) {
            char *argv[] = {"self", "thread", "", "", NULL};
            execve(g_self, argv, environ);
            _exit(111);
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
}

int main(int argc, char **argv) {
    static char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    g_self = n > 0 ? self : argv[0];
    g_child_mode = argc > 1 ? argv[1] : "";
    if (argc == 4) {
        return strcmp(g_child_mode, "args") == 0      ? mode_args(argc, argv)
               : strcmp(g_child_mode, "auxv") == 0    ? mode_auxv()
               : strcmp(g_child_mode, "signals") == 0 ? mode_signals()
               : strcmp(g_child_mode, "fds") == 0     ? mode_fds()
               : strcmp(g_child_mode, "thread") == 0  ? mode_thread()
                                                      : 99;
    }
    RUN(arguments_and_environment);
    RUN(auxiliary_vector);
    RUN(signals_are_reset);
    RUN(close_on_exec);
    RUN(exec_ends_other_threads);
    RUN(refusals);
    RUN(scripts);
    RUN(hostile_elf);
    RUN(execveat_by_descriptor);
    RUN(vfork_exec);
    TEST_MAIN_END;
}
