/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that use the same sockets, epoll sets and pipes in every order: nothing may crash, hang
 * or leak descriptors. The random sequences come from a fixed seed.
 */
#include "harness.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>

#define THREADS 4
#define SLOTS   24

static int g_slots[SLOTS];
static int g_rounds;

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Puts fd into a slot and closes what was there. */
static void put_slot(uint32_t slot, int fd) {
    int old = __atomic_exchange_n(&g_slots[slot % SLOTS], fd, __ATOMIC_ACQ_REL);
    if (old >= 0) {
        close(old);
    }
}

static int look_slot(uint32_t slot) {
    return __atomic_load_n(&g_slots[slot % SLOTS], __ATOMIC_ACQUIRE);
}

static void send_descriptor(int sock, int fd) {
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec v = {"F", 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int receive_descriptor(int sock, int flags) {
    char control[CMSG_SPACE(sizeof(int))], data[64];
    struct iovec v = {data, sizeof(data)};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    int fd = -1;
    if (recvmsg(sock, &m, flags | MSG_DONTWAIT) > 0) {
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        if (c != NULL && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int))) {
            memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        }
    }
    return fd;
}

static void make_pair(uint32_t a, uint32_t b, int type) {
    int sv[2];
    if (socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, sv) == 0) {
        put_slot(a, sv[0]);
        put_slot(b, sv[1]);
    }
}

static void *pass_around(void *arg) {
    uint32_t state = *(uint32_t *)arg;
    static const int types[3] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    for (int i = 0; i < g_rounds; i++) {
        uint32_t a = next_random(&state), b = next_random(&state);
        switch (next_random(&state) % 8) {
        case 0:
            make_pair(a, b, types[a % 3]);
            break;
        case 1:
        case 2:
        case 3:
            send_descriptor(look_slot(a), look_slot(b));
            break;
        case 4: {
            int fd = receive_descriptor(look_slot(a), 0);
            if (fd >= 0) {
                put_slot(b, fd);
            }
            break;
        }
        case 5: {
            int fd = receive_descriptor(look_slot(a), MSG_PEEK);
            if (fd >= 0) {
                close(fd);
            }
            break;
        }
        case 6:
            put_slot(a, -1);
            break;
        default: {
            char data[200];
            (void)!write(look_slot(a), data, sizeof(data));
            (void)!read(look_slot(b), data, sizeof(data));
            break;
        }
        }
    }
    return NULL;
}

static void run_threads(void *(*fn)(void *)) {
    pthread_t t[THREADS];
    uint32_t seed[THREADS];
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < SLOTS; i++) {
        g_slots[i] = -1;
    }
    for (int i = 0; i < THREADS; i++) {
        seed[i] = 12345u + (uint32_t)i * 777u;
        REQUIRE(pthread_create(&t[i], NULL, fn, &seed[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
    }
    for (int i = 0; i < SLOTS; i++) {
        put_slot((uint32_t)i, -1);
    }
}

static void descriptors_in_circles(void) {
    g_rounds = 20000;
    run_threads(pass_around);
    int p[2];
    REQUIRE(pipe(p) == 0);
    CHECK(p[1] < 8); /* every descriptor came back */
}

static void *watch_and_close(void *arg) {
    uint32_t state = *(uint32_t *)arg;
    for (int i = 0; i < g_rounds; i++) {
        uint32_t a = next_random(&state), b = next_random(&state);
        struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | (a % 2 ? EPOLLET : 0)}, got[4];
        switch (next_random(&state) % 9) {
        case 0:
            put_slot(a, epoll_create1(0));
            break;
        case 1:
            put_slot(a, eventfd(b % 2, EFD_NONBLOCK));
            break;
        case 2:
            make_pair(a, b, SOCK_STREAM);
            break;
        case 3:
        case 4:
            epoll_ctl(look_slot(a), EPOLL_CTL_ADD, look_slot(b), &ev);
            break;
        case 5:
            epoll_ctl(look_slot(a), b % 2 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD, look_slot(b), &ev);
            break;
        case 6:
            epoll_wait(look_slot(a), got, 4, 0);
            break;
        case 7: {
            uint64_t one = 1;
            (void)!write(look_slot(a), &one, sizeof(one));
            poll_one(look_slot(b), POLLIN, 0);
            break;
        }
        default:
            put_slot(a, -1);
            break;
        }
    }
    return NULL;
}

static void epoll_of_everything(void) {
    g_rounds = 20000;
    run_threads(watch_and_close);
}

static struct sockaddr_un g_addr;

static void *connect_and_leave(void *arg) {
    uint32_t state = *(uint32_t *)arg;
    for (int i = 0; i < g_rounds; i++) {
        uint32_t a = next_random(&state);
        if (a % 4 == 0) {
            int l = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
            if (bind(l, (void *)&g_addr, sizeof(g_addr)) == 0 && listen(l, 3) == 0) {
                for (int k = 0; k < 3; k++) {
                    int s = accept(l, NULL, NULL);
                    if (s >= 0) {
                        (void)!write(s, "hello", 5);
                        close(s);
                    }
                    sched_yield();
                }
            }
            close(l);
            continue;
        }
        char buf[8];
        int c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(c, (void *)&g_addr, sizeof(g_addr)) == 0) {
            (void)!write(c, "x", 1);
            (void)!read(c, buf, sizeof(buf));
        }
        close(c);
    }
    return NULL;
}

static void connects_race_with_closes(void) {
    g_addr.sun_family = AF_UNIX;
    snprintf(g_addr.sun_path + 1, 90, "moat-stress-%d", getpid());
    g_rounds = 3000;
    run_threads(connect_and_leave);
}

static void *make_and_remove(void *arg) {
    uint32_t state = *(uint32_t *)arg;
    for (int i = 0; i < g_rounds; i++) {
        uint32_t a = next_random(&state);
        char name[16], other[16], buf[4096];
        snprintf(name, sizeof(name), "n%u", a % 5);
        snprintf(other, sizeof(other), "n%u", (a >> 4) % 5);
        switch (next_random(&state) % 6) {
        case 0:
            close(open(name, O_CREAT | O_WRONLY, 0600));
            break;
        case 1:
            unlink(name);
            break;
        case 2:
            rename(name, other);
            break;
        case 3:
            put_slot(a, inotify_init1(IN_NONBLOCK));
            break;
        case 4:
            inotify_add_watch(look_slot(a), a % 3 ? name : ".", IN_ALL_EVENTS);
            break;
        default:
            (void)!read(look_slot(a), buf, sizeof(buf));
            break;
        }
    }
    return NULL;
}

static void watches_race_with_names(void) {
    g_rounds = 5000;
    run_threads(make_and_remove);
}

int main(void) {
    RUN(descriptors_in_circles);
    RUN(epoll_of_everything);
    RUN(connects_race_with_closes);
    RUN(watches_race_with_names);
    TEST_MAIN_END;
}
