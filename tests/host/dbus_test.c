/* SPDX-License-Identifier: Apache-2.0 */
/* host/dbus.h against itself and against peers that send anything. */
#include "../unit/check.h"
#include "host/cleanup.h"
#include "host/dbus.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

static int64_t soon(void) {
    struct timespec ts;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 + 20000;
}

/* Writes raw bytes to a connection and closes the far end; the reader's result. */
static int feed(const void *data, size_t len, struct dbus_message *out) {
    int pair[2];
    struct err err = {0};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK(send(pair[1], data, len, MSG_NOSIGNAL) == (ssize_t)len);
    close(pair[1]);
    struct dbus d = {.fd = pair[0], .deadline_ms = soon()};
    int e = dbus_next(&d, out, &err);
    CHECK((e == 0) == (err.code == 0));
    dbus_close(&d);
    return e;
}

/* A call as it goes over the wire. */
static size_t record_call(uint8_t *buf, size_t max) {
    static struct dbus_body b;
    int pair[2];
    uint32_t serial;
    struct err err = {0};
    memset(&b, 0, sizeof(b));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    struct dbus d = {.fd = pair[0], .deadline_ms = soon()};
    dbus_put_text(&b, "unit.scope");
    dbus_put_u32(&b, 7);
    size_t array = dbus_begin_array(&b, 8);
    dbus_put_struct(&b);
    dbus_put_text(&b, "Name");
    dbus_put_signature(&b, "t");
    dbus_put_u64(&b, 0x1122334455667788);
    dbus_end_array(&b, array, 8);
    CHECK(dbus_call(&d, "/a/b", "c.d", "Method", "sua(sv)", &b, &serial, &err) == 0 && serial == 1);
    close(pair[0]);
    size_t len = 0;
    for (ssize_t n; (n = read(pair[1], buf + len, max - len)) > 0;) {
        len += (size_t)n;
    }
    close(pair[1]);
    return len;
}

static void test_round_trip(void) {
    static uint8_t wire[4096];
    size_t len = record_call(wire, sizeof(wire));
    struct dbus_message m;
    const char *text;
    uint32_t number;
    CHECK(len % 8 == 0 && wire[0] == 'l' && wire[1] == 1);
    CHECK(feed(wire, len, &m) == 0);
    CHECK(m.type == 1 && strcmp(m.member, "Method") == 0 && strcmp(m.signature, "sua(sv)") == 0);
    CHECK(dbus_get_text(&m, &text) && strcmp(text, "unit.scope") == 0);
    CHECK(dbus_get_u32(&m, &number) && number == 7);
    CHECK(dbus_get_u32(&m, &number) && number == 24); /* the array: 4+5, padded, 1+2, padded, 8 */
    m.at = m.len;
    CHECK(!dbus_get_u32(&m, &number) && !dbus_get_text(&m, &text));
    dbus_message_free(&m);
}

static void test_hostile(void) {
    static uint8_t wire[4096], bad[4096];
    size_t len = record_call(wire, sizeof(wire));
    struct dbus_message m;
    const char *text;
    uint32_t number;
    unsigned long seed = 88172645463325252ul;
    for (size_t cut = 0; cut < len; cut++) {
        CHECK(feed(wire, cut, &m) < 0);
    }
    for (int i = 0; i < 20000; i++) {
        memcpy(bad, wire, len);
        for (unsigned long k = 0; k < 1 + test_random(&seed) % 4; k++) {
            bad[test_random(&seed) % len] = (uint8_t)test_random(&seed);
        }
        if (feed(bad, len, &m) == 0) {
            for (int k = 0; k < 64 && (dbus_get_text(&m, &text) || dbus_get_u32(&m, &number));
                 k++) {
            }
            dbus_message_free(&m);
        }
    }
    memcpy(bad, wire, len);
    memset(bad + 4, 0xff, 4); /* a body of 4 GiB */
    CHECK(feed(bad, len, &m) == -EPROTO);
    memcpy(bad, wire, len);
    memset(bad + 12, 0xff, 4); /* fields likewise */
    CHECK(feed(bad, len, &m) == -EPROTO);
    bad[0] = 'B';
    CHECK(feed(bad, len, &m) == -EPROTO);
}

static void test_too_long(void) {
    static struct dbus_body b;
    static char big[DBUS_BODY_MAX];
    struct dbus d = {.fd = -1};
    struct err err = {0};
    uint32_t serial;
    memset(big, 'x', sizeof(big) - 1);
    dbus_put_text(&b, "a");
    dbus_put_text(&b, big);
    dbus_put_u64(&b, 1); /* nothing is written past the end */
    CHECK(b.full && b.len <= sizeof(b.data));
    CHECK(dbus_call(&d, "/", "i", "m", "ss", &b, &serial, &err) < 0);
}

/* Peers that refuse, or say nonsense, when a client authenticates. */
static void test_connect(void) {
    static const char *const answers[] = {"REJECTED EXTERNAL\r\n", "\n",         "OK", "",
                                          "garbage\r\n",           "OK 1234\r\n"};
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/moat-dbus-test-%d", getpid());
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(server, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(server, 8) == 0);
    for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            char buf[64];
            int c = accept(server, NULL, NULL);
            (void)!read(c, buf, sizeof(buf));
            (void)!write(c, answers[i], strlen(answers[i]));
            (void)shutdown(c, SHUT_WR);
            while (read(c, buf, sizeof(buf)) > 0) {
            }
            _exit(0);
        }
        struct dbus d;
        struct err err = {0};
        int e = dbus_connect(&d, addr.sun_path, 20, &err);
        CHECK(e == 0 ? i == ARRAY_COUNT(answers) - 1 : err.msg[0] != '\0');
        dbus_close(&d);
        CHECK(waitpid(pid, NULL, 0) == pid);
    }
    close(server);
    CHECK(unlink(addr.sun_path) == 0);
    struct dbus d;
    struct err err = {0};
    CHECK(dbus_connect(&d, addr.sun_path, 1, &err) == -ENOENT);
}

int main(void) {
    test_round_trip();
    test_hostile();
    test_too_long();
    test_connect();
    return 0;
}
