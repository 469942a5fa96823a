/* SPDX-License-Identifier: Apache-2.0 */
/* The last steps: finding the program, waiting for start, the filter, execve: see setup_ops.def. */
#include "host/cleanup.h"
#include "native/setup.h"
#include "native/sync.h"
#include "oci/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSWD_MAX (1 << 20)

static const char *env_value(const struct strlist *env, const char *name) {
    size_t len = strlen(name);
    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->items[i], name, len) == 0 && env->items[i][len] == '=') {
            return env->items[i] + len + 1;
        }
    }
    return NULL;
}

static int check_program(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) {
        return -errno;
    }
    return S_ISDIR(st.st_mode) || (st.st_mode & 0111) == 0 ? -EACCES : 0;
}

/* Engines look for these texts to choose the exit codes 127 and 126. */
static int program_error(const char *name, int e, bool searched, struct err *err) {
    if (searched) {
        return e == -EACCES ? err_set(err, e, "exec: \"%s\": permission denied", name)
                            : err_set(err, -ENOENT,
                                      "exec: \"%s\": executable file not found in $PATH", name);
    }
    return e == -ENOENT
               ? err_set(err, e, "exec: \"%s\": stat %s: no such file or directory", name, name)
           : e == -EACCES ? err_set(err, e, "exec: \"%s\": permission denied", name)
                          : err_sys(err, e, "exec: \"%s\"", name);
}

/* The home folder that /etc/passwd of the image gives a user; passwd(5).  The file is hostile: only
 * a regular one is read, up to a bound. */
static int find_home(uint32_t uid, char *out, size_t size) {
    char *text = NULL, *state = NULL, *fields = NULL;
    struct stat st;
    cleanup_fd int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > PASSWD_MAX) {
        return -ENOENT;
    }
    cleanup_free char *file = calloc(1, (size_t)st.st_size + 1);
    if (file == NULL || read(fd, file, (size_t)st.st_size) < 0) {
        return -ENOENT;
    }
    for (text = strtok_r(file, "\n", &state); text != NULL; text = strtok_r(NULL, "\n", &state)) {
        char *field[7] = {NULL};
        size_t n = 0;
        for (fields = text; n < 7 && fields != NULL; n++) {
            field[n] = strsep(&fields, ":");
        }
        if (n >= 6 && field[2][0] >= '0' && field[2][0] <= '9' &&
            strtoul(field[2], NULL, 10) == uid && field[5][0] == '/' && strlen(field[5]) < size) {
            memcpy(out, field[5], strlen(field[5]) + 1);
            return 0;
        }
    }
    return -ENOENT;
}

/* Programs expect a home folder; engines leave it to the runtime to look it up. */
static int set_home(struct setup *s) {
    char text[512] = "HOME=";
    if (env_value(&s->env, "HOME") != NULL) {
        return 0;
    }
    if (find_home(s->process->uid, text + 5, sizeof(text) - 5) != 0) {
        (void)snprintf(text, sizeof(text), "HOME=/"); /* fits */
    }
    return strlist_set_env(&s->env, text);
}

/* execvp(3)'s search over the container's PATH, in the container's root and working directory. */
int setup_find_program(struct setup *s, const struct setup_op *op, struct err *err) {
    const char *name = s->process->args.items[0];
    const char *path = env_value(&s->env, "PATH");
    int failure = set_home(s) != 0 ? -ENOMEM : -ENOENT;
    if (strchr(name, '/') != NULL) {
        int n = snprintf(s->program, sizeof(s->program), "%s", name);
        /* What lies relative to the working directory is looked for once that is entered. */
        int e = n < 0 || (size_t)n >= sizeof(s->program) ? -ENAMETOOLONG
                : name[0] == '/'                         ? check_program(name)
                                                         : 0;
        return e == 0 ? 0 : program_error(name, e, false, err);
    }
    for (const char *dir = path; dir != NULL && name[0] != '\0';) {
        size_t len = strcspn(dir, ":");
        int n = snprintf(s->program, sizeof(s->program), "%.*s/%s", len > 0 ? (int)len : 1,
                         len > 0 ? dir : ".", name);
        int e =
            n < 0 || (size_t)n >= sizeof(s->program) ? -ENAMETOOLONG : check_program(s->program);
        if (e == 0) {
            return 0;
        }
        failure = e == -EACCES ? e : failure;
        dir = dir[len] == ':' ? dir + len + 1 : NULL;
    }
    return program_error(name, failure, true, err);
}

/*
 * Tells the parent that everything is ready, and waits for a connection of `start`, which from then
 * on hears of failures.  The end of that connection tells it that the program runs.
 */
int setup_await_start(struct setup *s, const struct setup_op *op, struct err *err) {
    int e = sync_send(s->sync, SYNC_READY, 0, NULL);
    if (e != 0) {
        _exit(1); /* nobody waits for this container */
    }
    (void)close(s->sync);
    s->sync = -1;
    s->report = -1;
    do {
        s->report = accept4(s->start_listen, NULL, NULL, SOCK_CLOEXEC);
    } while (s->report < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (s->report < 0) {
        return -errno;
    }
    (void)close(s->start_listen); /* nobody starts it twice */
    s->start_listen = -1;
    return 0;
}

/* op->arg is a struct oci_hook_list, op->subject the stage; state_json gets this process's pid. */
int setup_hooks(struct setup *s, const struct setup_op *op, struct err *err) {
    struct json_object *o = json_tokener_parse(s->how->state_json);
    if (o == NULL) {
        return err_set(err, -EINVAL, "the container's state is no JSON");
    }
    (void)json_object_object_add(o, "pid", json_object_new_int(getpid())); /* else as it was */
    (void)json_object_object_add(o, "status",
                                 json_object_new_string(op->value != 0 ? "created" : "creating"));
    int e = hooks_run(op->arg, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), err);
    json_object_put(o);
    return e;
}

/* The listener of a notify program is taken over by the one who listens to s->report; it must be
 * told before, as the filter may hold every call of this process from then on. */
int setup_seccomp(struct setup *s, const struct setup_op *op, struct err *err) {
    const struct oci_seccomp *want = &s->c->linux_.seccomp;
    int listener = -1;
    if (s->seccomp->notify) {
        int next = fcntl(0, F_DUPFD_CLOEXEC, 3);
        if (next < 0) {
            return -errno;
        }
        (void)close(next); /* the lowest free number is the listener's */
        int e = sync_send(s->report, SYNC_LISTENER, next, NULL);
        if (e != 0) {
            return err_sys(err, e, "cannot announce the listener");
        }
    }
    return seccomp_install(want, s->seccomp, &listener, err);
}

/* The program begins with no signal blocked or ignored by moat; what it inherits is close-on-exec
 * but for its own descriptors. */
int setup_exec(struct setup *s, const struct setup_op *op, struct err *err) {
    (void)execve(s->program, s->process->args.items, s->env.items);
    return program_error(s->process->args.items[0], -errno, false, err);
}
