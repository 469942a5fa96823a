/* SPDX-License-Identifier: Apache-2.0 */
/* Plans, and writing them: see install.h. */
#include "install/install.h"

#include "host/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool name_is_plain(const char *name) {
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)name[i]) && (i == 0 || strchr("_.-", name[i]) == NULL)) {
            return false;
        }
    }
    return len > 0 && len < 64;
}

int plan_add_handler(struct install_plan *p, const char *name, const char *program,
                     struct err *err) {
    if (!name_is_plain(name)) {
        return err_set(err, -EINVAL, "'%.64s' is no name for a runtime: letters, digits, and _.-",
                       name);
    }
    struct install_handler *h = NULL;
    for (size_t i = 0; i < p->handler_count && h == NULL; i++) {
        h = strcmp(p->handlers[i].name, name) == 0 ? &p->handlers[i] : NULL;
    }
    if (h == NULL && p->handler_count == INSTALL_HANDLERS_MAX) {
        return err_set(err, -E2BIG, "more than %u runtimes", INSTALL_HANDLERS_MAX);
    }
    h = h != NULL ? h : &p->handlers[p->handler_count++];
    h->name = name;
    int len = snprintf(h->program, sizeof(h->program), "%s/%s", p->folder, program);
    /* The path goes into JSON and TOML texts, and into systemd's and engines' command lines. */
    if (len < 0 || (size_t)len >= sizeof(h->program) || strpbrk(p->folder, "\"\\\n\t ") != NULL) {
        return err_set(err, -EINVAL,
                       "moat's folder '%.256s' is no plain path: install it elsewhere", p->folder);
    }
    return 0;
}

bool plan_is_ours(const char *program) {
    static const char *const names[] = {"moat", "moat-native", "moat-sentry", "moat-vm"};
    const char *slash = strrchr(program, '/');
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(slash != NULL ? slash + 1 : program, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int read_text(int fd, char **out_text) {
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return -errno;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > INSTALL_FILE_MAX) {
        return -EFBIG;
    }
    cleanup_free char *text = calloc(1, (size_t)st.st_size + 1);
    ssize_t n = text != NULL ? read(fd, text, (size_t)st.st_size) : -1;
    if (n < 0) {
        return text != NULL ? -errno : -ENOMEM;
    }
    if (strlen(text) != (size_t)n) {
        return -EILSEQ; /* a NUL is no text */
    }
    *out_text = steal_ptr(&text);
    return 0;
}

int plan_read(const struct install_plan *p, const char *name, char **out_path, char **out_text,
              struct err *err) {
    *out_text = NULL;
    if (asprintf(out_path, "%s/%s", p->etc, name) < 0) {
        *out_path = NULL;
        return err_sys(err, -ENOMEM, "cannot read %s", name);
    }
    cleanup_fd int fd = open(*out_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return 0;
    }
    int e = fd < 0 ? -errno : read_text(fd, out_text);
    if (e != 0) {
        e = err_sys(err, e, "cannot read %s", *out_path);
        free(*out_path);
        *out_path = NULL;
    }
    return e;
}

int plan_add_change(struct install_plan *p, char *path, char *before, char *after,
                    struct err *err) {
    bool same = before == NULL || after == NULL ? before == after : strcmp(before, after) == 0;
    if (!same && p->change_count < INSTALL_CHANGES_MAX) {
        p->changes[p->change_count++] = (struct install_change){path, before, after};
        return 0;
    }
    free(path);
    free(before);
    free(after);
    return same ? 0 : err_set(err, -E2BIG, "too many files");
}

/* ---- showing ---- */

static size_t line_len(const char *text) {
    const char *end = strchr(text, '\n');
    return end != NULL ? (size_t)(end - text) + 1 : strlen(text);
}

static bool same_line(const char *a, const char *b) {
    size_t len = line_len(a);
    return len > 0 && len == line_len(b) && memcmp(a, b, len) == 0;
}

static void show_lines(char sign, const char *from, const char *to) {
    while (from < to) {
        size_t len = line_len(from);
        size_t shown = len > 0 && from[len - 1] == '\n' ? len - 1 : len;
        printf("%c%.*s\n", sign, (int)shown, from);
        from += len;
    }
}

/* The start of the line before `at`; `begin` at the first. */
static const char *line_before(const char *begin, const char *at) {
    at -= at > begin ? 1 : 0;
    while (at > begin && at[-1] != '\n') {
        at--;
    }
    return at;
}

/* What stays at the front and at the end is left out but for two lines of it. */
void plan_show(const struct install_change *c) {
    const char *a = c->before != NULL ? c->before : "", *b = c->after != NULL ? c->after : "";
    const char *a_end = a + strlen(a), *b_end = b + strlen(b);
    printf("--- %s\n+++ %s\n", c->before != NULL ? c->path : "/dev/null",
           c->after != NULL ? c->path : "/dev/null");
    const char *a_from = a, *b_from = b;
    while (same_line(a_from, b_from)) {
        b_from += line_len(b_from);
        a_from += line_len(a_from);
    }
    const char *a_to = a_end, *b_to = b_end;
    while (a_to > a_from && b_to > b_from &&
           same_line(line_before(a_from, a_to), line_before(b_from, b_to))) {
        a_to = line_before(a_from, a_to);
        b_to = line_before(b_from, b_to);
    }
    show_lines(' ', line_before(a, line_before(a, a_from)), a_from);
    show_lines('-', a_from, a_to);
    show_lines('+', b_from, b_to);
    const char *after = a_to + line_len(a_to);
    show_lines(' ', a_to, after + line_len(after));
}

/* ---- writing ---- */

/* Makes the folders on the way to a file. */
static int make_folders(const char *path) {
    cleanup_free char *copy = strdup(path);
    if (copy == NULL) {
        return -ENOMEM;
    }
    for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0755) != 0 && errno != EEXIST) {
            return -errno;
        }
        *slash = '/';
    }
    return 0;
}

/* Into a new file with the old one's mode and owner, which takes its place at once. */
static int replace(const char *path, const char *text) {
    struct stat st;
    cleanup_free char *fresh = NULL;
    /* A configuration that is a symlink stays one: what it leads to is replaced. */
    cleanup_free char *real = realpath(path, NULL);
    const char *place = real != NULL ? real : path;
    if (asprintf(&fresh, "%s.moat-new", place) < 0) {
        fresh = NULL;
        return -ENOMEM;
    }
    bool known = stat(place, &st) == 0;
    (void)unlink(fresh); /* of an attempt that was cut off */
    cleanup_fd int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    size_t len = strlen(text);
    if (fd >= 0 && write(fd, text, len) == (ssize_t)len &&
        (!known ||
         (fchown(fd, st.st_uid, st.st_gid) == 0 && fchmod(fd, st.st_mode & 07777) == 0)) &&
        fsync(fd) == 0 && rename(fresh, place) == 0) {
        return 0;
    }
    int e = -errno;
    (void)unlink(fresh); /* the old file is as it was */
    return e;
}

int plan_write(const struct install_change *c, struct err *err) {
    int e = 0;
    if (c->after == NULL) {
        e = unlink(c->path) == 0 || errno == ENOENT ? 0 : -errno;
    } else {
        e = make_folders(c->path);
        e = e != 0 ? e : replace(c->path, c->after);
    }
    return e == 0 ? 0 : err_sys(err, e, "cannot write %s", c->path);
}

void plan_free(struct install_plan *p) {
    for (size_t i = 0; i < p->change_count; i++) {
        free(p->changes[i].path);
        free(p->changes[i].before);
        free(p->changes[i].after);
    }
    p->change_count = 0;
}
