/* SPDX-License-Identifier: Apache-2.0 */
/* sysvipc(7): semaphores and message queues. */
#include "harness.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

static int g_id;

static int sem_new(int count) {
    int id = semget(IPC_PRIVATE, count, 0600);
    REQUIRE(id >= 0);
    return id;
}

static int op(int id, int num, int delta, int flags) {
    struct sembuf b = {(unsigned short)num, (short)delta, (short)flags};
    return semop(id, &b, 1);
}

static void sem_values(void) {
    int id = sem_new(3);
    CHECK_EQ(semctl(id, 0, GETVAL), 0);
    CHECK_EQ(semctl(id, 1, SETVAL, 5), 0);
    CHECK_EQ(op(id, 1, -2, 0), 0);
    CHECK_EQ(op(id, 2, 7, 0), 0);
    unsigned short all[3];
    CHECK_EQ(semctl(id, 0, GETALL, all), 0);
    CHECK(all[0] == 0 && all[1] == 3 && all[2] == 7);
    CHECK_EQ(semctl(id, 1, GETPID), getpid());
    CHECK_ERR(op(id, 1, -4, IPC_NOWAIT), EAGAIN);
    CHECK_ERR(op(id, 1, 0, IPC_NOWAIT), EAGAIN);
    CHECK_ERR(op(id, 3, 1, 0), EFBIG);
    CHECK_ERR(semctl(id, 0, SETVAL, 40000), ERANGE);
    CHECK_ERR(op(id, 1, 32767, 0), ERANGE);
    struct semid_ds ds;
    CHECK_EQ(semctl(id, 0, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.sem_nsems, 3);
    CHECK_EQ(ds.sem_perm.mode & 0777, 0600);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
    CHECK_ERR(op(id, 0, 1, 0), EINVAL);
}

static void sem_all_or_nothing(void) {
    int id = sem_new(2);
    struct sembuf ops[2] = {{0, 1, 0}, {1, -1, IPC_NOWAIT}};
    CHECK_ERR(semop(id, ops, 2), EAGAIN);
    CHECK_EQ(semctl(id, 0, GETVAL), 0);
    CHECK_EQ(op(id, 1, 1, 0), 0);
    CHECK_EQ(semop(id, ops, 2), 0);
    CHECK_EQ(semctl(id, 0, GETVAL), 1);
    CHECK_EQ(semctl(id, 1, GETVAL), 0);
    CHECK_ERR(semop(id, ops, 0), EINVAL);
    CHECK_ERR(semop(id, ops, 5000), E2BIG);
    semctl(id, 0, IPC_RMID);
}

static void sem_blocks(void) {
    int id = sem_new(1);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(op(id, 0, -2, 0) == 0 ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(semctl(id, 0, GETNCNT), 1);
    CHECK_EQ(op(id, 0, 1, 0), 0);
    CHECK_EQ(op(id, 0, 1, 0), 0);
    CHECK(child_ok(pid));
    CHECK_EQ(semctl(id, 0, GETNCNT), 0);
    CHECK_EQ(op(id, 0, 1, 0), 0);
    pid = fork();
    if (pid == 0) {
        _exit(op(id, 0, 0, 0) == 0 ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(semctl(id, 0, GETZCNT), 1);
    CHECK_EQ(op(id, 0, -1, 0), 0);
    CHECK(child_ok(pid));
    semctl(id, 0, IPC_RMID);
}

static void sem_removed_while_waiting(void) {
    int id = sem_new(1);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(op(id, 0, -1, 0) == -1 && errno == EIDRM ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
    CHECK(child_ok(pid));
}

static void on_alarm(int signo) {
}

static void sem_timeout_and_signal(void) {
    int id = sem_new(1);
    struct sembuf b = {0, -1, 0};
    struct timespec ts = {0, 30000000};
    int64_t start = now_ms();
    CHECK_ERR(semtimedop(id, &b, 1, &ts), EAGAIN);
    CHECK(now_ms() - start >= 29);
    struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &sa, NULL);
    ualarm(20000, 0);
    CHECK_ERR(semop(id, &b, 1), EINTR);
    semctl(id, 0, IPC_RMID);
}

static void sem_undo_at_exit(void) {
    int id = sem_new(2);
    CHECK_EQ(semctl(id, 0, SETVAL, 5), 0);
    pid_t pid = fork();
    if (pid == 0) {
        op(id, 0, -3, SEM_UNDO);
        op(id, 1, 4, SEM_UNDO);
        op(id, 1, 1, 0);
        _exit(0);
    }
    CHECK(child_ok(pid));
    CHECK_EQ(semctl(id, 0, GETVAL), 5);
    CHECK_EQ(semctl(id, 1, GETVAL), 1);
    semctl(id, 0, IPC_RMID);
}

static void sem_keys(void) {
    key_t key = (key_t)(0x4d4f0000 + getpid());
    int id = semget(key, 2, IPC_CREAT | IPC_EXCL | 0600);
    REQUIRE(id >= 0);
    CHECK_EQ(semget(key, 0, 0), id);
    CHECK_EQ(semget(key, 1, IPC_CREAT | 0600), id);
    CHECK_ERR(semget(key, 3, 0), EINVAL);
    CHECK_ERR(semget(key, 2, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
    CHECK_ERR(semget(key, 2, 0), ENOENT);
    CHECK_ERR(semget(IPC_PRIVATE, 0, 0600), EINVAL);
    CHECK_ERR(semget(IPC_PRIVATE, -1, 0600), EINVAL);
}

static void as_stranger(void) {
    if (setresgid(1001, 1001, 1001) != 0 || setresuid(1001, 1001, 1001) != 0) {
        _exit(1);
    }
    CHECK_ERR(op(g_id, 0, 1, 0), EACCES);
    CHECK_ERR(semctl(g_id, 0, GETVAL), EACCES);
    CHECK_ERR(semctl(g_id, 0, IPC_RMID), EPERM);
}

static void as_guest(void) {
    if (setresgid(1001, 1001, 1001) != 0 || setresuid(1001, 1001, 1001) != 0) {
        _exit(1);
    }
    CHECK_EQ(op(g_id, 0, 1, 0), 0);
    CHECK_ERR(semctl(g_id, 0, IPC_RMID), EPERM);
}

static void sem_permissions(void) {
    if (geteuid() != 0) {
        SKIP("needs root");
    }
    g_id = sem_new(1);
    CHECK_EQ(in_child(as_stranger), 0);
    struct semid_ds ds;
    CHECK_EQ(semctl(g_id, 0, IPC_STAT, &ds), 0);
    ds.sem_perm.mode = 0666;
    CHECK_EQ(semctl(g_id, 0, IPC_SET, &ds), 0);
    CHECK_EQ(in_child(as_guest), 0);
    semctl(g_id, 0, IPC_RMID);
}

struct text {
    long type;
    char data[64];
};

static int send_text(int id, long type, const char *data, int flags) {
    struct text t = {type, {0}};
    strcpy(t.data, data);
    return msgsnd(id, &t, strlen(data), flags);
}

static bool take(int id, long type, int flags, const char *want) {
    struct text t = {0};
    ssize_t n = msgrcv(id, &t, sizeof(t.data), type, flags | IPC_NOWAIT);
    return n == (ssize_t)strlen(want) && memcmp(t.data, want, (size_t)n) == 0;
}

static int msg_new(void) {
    int id = msgget(IPC_PRIVATE, 0600);
    REQUIRE(id >= 0);
    return id;
}

static void msg_types(void) {
    int id = msg_new();
    CHECK_EQ(send_text(id, 3, "three", 0), 0);
    CHECK_EQ(send_text(id, 1, "one", 0), 0);
    CHECK_EQ(send_text(id, 2, "two", 0), 0);
    CHECK_EQ(send_text(id, 1, "uno", 0), 0);
    CHECK(take(id, 2, 0, "two"));
    CHECK(take(id, -3, 0, "one"));
    CHECK(take(id, 3, MSG_EXCEPT, "uno"));
    CHECK(take(id, 0, 0, "three"));
    struct text t;
    CHECK_ERR(msgrcv(id, &t, 8, 0, IPC_NOWAIT), ENOMSG);
    CHECK_EQ(send_text(id, 9, "long text", 0), 0);
    CHECK_ERR(msgrcv(id, &t, 4, 0, IPC_NOWAIT), E2BIG);
    CHECK_EQ(msgrcv(id, &t, 4, 0, IPC_NOWAIT | MSG_NOERROR), 4);
    CHECK_EQ(t.type, 9);
    CHECK_ERR(send_text(id, 0, "x", 0), EINVAL);
    CHECK_ERR(msgsnd(id, &t, 100000, 0), EINVAL);
    struct msqid_ds ds;
    CHECK_EQ(msgctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.msg_qnum, 0);
    CHECK_EQ(ds.msg_lspid, getpid());
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
    CHECK_ERR(msgctl(id, IPC_STAT, &ds), EINVAL);
}

static void msg_blocks(void) {
    int id = msg_new();
    pid_t pid = fork();
    if (pid == 0) {
        struct text t;
        _exit(msgrcv(id, &t, sizeof(t.data), 7, 0) == 5 ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(send_text(id, 6, "other", 0), 0);
    CHECK_EQ(send_text(id, 7, "right", 0), 0);
    CHECK(child_ok(pid));
    pid = fork();
    if (pid == 0) {
        struct text t;
        _exit(msgrcv(id, &t, sizeof(t.data), 99, 0) == -1 && errno == EIDRM ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
    CHECK(child_ok(pid));
}

static void msg_queue_fills(void) {
    int id = msg_new(), sent = 0;
    struct text t = {1, {0}};
    while (msgsnd(id, &t, sizeof(t.data), IPC_NOWAIT) == 0) {
        REQUIRE(++sent < 100000);
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(sent, 256);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(msgsnd(id, &t, sizeof(t.data), 0) == 0 ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(msgrcv(id, &t, sizeof(t.data), 0, 0), 64);
    CHECK(child_ok(pid));
    msgctl(id, IPC_RMID, NULL);
}

/* ---- /proc/sysvipc ---- */

/* The numbers of the row whose second one is `id`; how many there are. */
static int proc_row(const char *path, int id, long long out[16]) {
    char line[512];
    int count = 0;
    FILE *f = fopen(path, "r");
    REQUIRE(f != NULL && fgets(line, sizeof(line), f) != NULL && strstr(line, " key ") != NULL);
    while (fgets(line, sizeof(line), f) != NULL) {
        char *at = line, *end;
        long long row[16];
        int n = 0;
        for (; n < 16; n++, at = end) {
            row[n] = strtoll(at, &end, n == 2 ? 8 : 10);
            if (end == at) {
                break;
            }
        }
        if (n > 2 && row[1] == id) {
            memcpy(out, row, sizeof(row));
            count = n;
        }
    }
    fclose(f);
    return count;
}

static void proc_tables(void) {
    key_t key = 0x4d6f0000 + getpid();
    struct {
        long type;
        char text[7];
    } msg = {1, "sixsix"};
    long long row[16];
    int sem = semget(key, 3, IPC_CREAT | IPC_EXCL | 0640), queue = msgget(key, IPC_CREAT | 0600);
    int shm = shmget(key, 5000, IPC_CREAT | IPC_EXCL | 0604);
    REQUIRE(sem >= 0 && queue >= 0 && shm >= 0);
    REQUIRE(msgsnd(queue, &msg, 6, 0) == 0);
    void *at = shmat(shm, NULL, 0);
    REQUIRE(at != (void *)-1);
    CHECK_EQ(proc_row("/proc/sysvipc/sem", sem, row), 10);
    CHECK(row[0] == key && row[2] == 0640 && row[3] == 3 && row[4] == geteuid());
    CHECK_EQ(proc_row("/proc/sysvipc/msg", queue, row), 14);
    CHECK(row[0] == key && row[2] == 0600 && row[3] == 6 && row[4] == 1 && row[5] == getpid());
    CHECK_EQ(proc_row("/proc/sysvipc/shm", shm, row), 16);
    CHECK(row[0] == key && row[2] == 0604 && row[3] == 5000 && row[4] == getpid() && row[6] == 1);
    shmdt(at);
    semctl(sem, 0, IPC_RMID);
    msgctl(queue, IPC_RMID, NULL);
    shmctl(shm, IPC_RMID, NULL);
    CHECK_EQ(proc_row("/proc/sysvipc/sem", sem, row), 0);
    CHECK_EQ(proc_row("/proc/sysvipc/msg", queue, row), 0);
    CHECK_EQ(proc_row("/proc/sysvipc/shm", shm, row), 0);
}

int main(void) {
    RUN(sem_values);
    RUN(sem_all_or_nothing);
    RUN(sem_blocks);
    RUN(sem_removed_while_waiting);
    RUN(sem_timeout_and_signal);
    RUN(sem_undo_at_exit);
    RUN(sem_keys);
    RUN(sem_permissions);
    RUN(msg_types);
    RUN(msg_blocks);
    RUN(msg_queue_fills);
    RUN(proc_tables);
    TEST_MAIN_END;
}
