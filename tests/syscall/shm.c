/* SPDX-License-Identifier: Apache-2.0 */
/* System V shared memory: shmget(2), shmat(2), shmdt(2), shmctl(2). */
#include "harness.h"

#include <sys/ipc.h>
#include <sys/shm.h>

#define PG ((size_t)4096)

static void shared_between_processes(void) {
    int id = shmget(IPC_PRIVATE, 3 * PG, IPC_CREAT | 0600);
    REQUIRE(id >= 0);
    char *p = shmat(id, NULL, 0);
    REQUIRE(p != (char *)-1);
    CHECK_EQ(p[2 * PG], 0);
    pid_t pid = fork();
    if (pid == 0) {
        char *q = shmat(id, NULL, 0);
        q[5] = 'q';
        p[2 * PG] = 'p';
        _exit(0);
    }
    CHECK(child_ok(pid));
    CHECK(p[5] == 'q' && p[2 * PG] == 'p');
    struct shmid_ds ds;
    CHECK(shmctl(id, IPC_STAT, &ds) == 0);
    CHECK_EQ(ds.shm_nattch, 1);
    CHECK_EQ(ds.shm_segsz, 3 * PG);
    CHECK_EQ(ds.shm_cpid, getpid());
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);
    p[0] = 1; /* lives until it is detached */
    CHECK(shmdt(p) == 0);
    CHECK_ERR(shmctl(id, IPC_STAT, &ds), EINVAL);
    CHECK_ERR((long)shmat(id, NULL, 0), EINVAL);
    CHECK_ERR(shmdt(p), EINVAL);
}

static void keys(void) {
    key_t key = (key_t)(0x4d6f0000 + getpid() % 0xffff);
    CHECK_ERR(shmget(key, PG, 0), ENOENT);
    int id = shmget(key, PG, IPC_CREAT | IPC_EXCL | 0600);
    REQUIRE(id >= 0);
    CHECK_ERR(shmget(key, PG, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK_EQ(shmget(key, 0, 0), id);
    CHECK_ERR(shmget(key, 2 * PG, 0), EINVAL);
    CHECK_ERR(shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600), EINVAL);
    struct shmid_ds ds;
    REQUIRE(shmctl(id, IPC_STAT, &ds) == 0);
    ds.shm_perm.mode = 0644;
    CHECK(shmctl(id, IPC_SET, &ds) == 0);
    CHECK(shmctl(id, IPC_STAT, &ds) == 0 && (ds.shm_perm.mode & 0777) == 0644);
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);
    CHECK_ERR(shmget(key, PG, 0), ENOENT);
}

static void addresses(void) {
    int id = shmget(IPC_PRIVATE, PG, IPC_CREAT | 0600);
    REQUIRE(id >= 0);
    char *p = shmat(id, NULL, 0);
    REQUIRE(p != (char *)-1);
    CHECK_ERR((long)shmat(id, p, 0), EINVAL);
    CHECK_ERR((long)shmat(id, p + 1, 0), EINVAL);
    CHECK(shmat(id, p, SHM_REMAP) == p);
    CHECK(shmdt(p) == 0);
    CHECK(shmat(id, p + 5, SHM_RND) == p);
    char *ro = shmat(id, NULL, SHM_RDONLY);
    REQUIRE(ro != (char *)-1);
    p[7] = 3;
    CHECK_EQ(ro[7], 3);
    int fds[2];
    REQUIRE(pipe(fds) == 0 && write(fds[1], "x", 1) == 1);
    CHECK_ERR(read(fds[0], ro, 1), EFAULT);
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);
}

int main(void) {
    RUN(shared_between_processes);
    RUN(keys);
    RUN(addresses);
    TEST_MAIN_END;
}
