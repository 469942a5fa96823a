/* SPDX-License-Identifier: Apache-2.0 */
/* Reading moat.conf: see settings.h.  "key = value" lines, '#' begins a comment; strict, so that a
 * slip of the pen never loosens a lock. */
#include "oci/settings.h"

#include "host/cleanup.h"
#include "host/userns.h"
#include "moat/boot.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX    65536u
#define VALUE_MAX   256u
#define SECONDS_MAX 86400u

static const char *const g_kinds[] = {"native", "sentry", "vm", "vm+sentry", NULL};
static const char *const g_annotations[] = {"stronger", "any", "ignore", NULL};
static const char *const g_bools[] = {"false", "true", NULL};
static const char *const g_switches[] = {"off", "on", NULL};
static const char *const g_overlays[] = {"none", "memory", NULL};
static const char *const g_platforms[] = {"auto", "systrap", NULL};
static const char *const g_handovers[] = {"auto", "notify", "trap", "post", NULL};
static const char *const g_vm_files[] = {"virtiofsd", "gofer", NULL}; /* enum vm_files */

const char *isolation_kind_name(enum isolation_kind kind) {
    return kind < ISOLATION_KINDS ? g_kinds[kind] : NULL;
}

/* ---- values ---- */

struct line {
    const char *path;
    unsigned number;
    const char *key;
    char *value;
    struct err *err; /* texts of the file are made printable for it */
};

static int complain(const struct line *l, const char *what) {
    char shown[400];
    (void)snprintf(shown, sizeof(shown), "%s", what); /* cut */
    for (char *c = shown; *c != '\0'; c++) {
        *c = (char)(iscntrl((unsigned char)*c) ? '?' : *c);
    }
    return err_set(l->err, -EINVAL, "%s:%u: %s: %s", l->path, l->number, l->key, shown);
}

static int word_index(const char *word, const char *const *words) {
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(word, words[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static int take_word(const struct line *l, const char *const *words, int *out) {
    char what[400];
    int index = word_index(l->value, words);
    if (index >= 0) {
        *out = index;
        return 0;
    }
    int used = snprintf(what, sizeof(what), "'%.60s' is not known; it can be", l->value); /* fits */
    for (int i = 0; words[i] != NULL; i++) {
        used += snprintf(what + used, sizeof(what) - (size_t)used, "%s %s", i > 0 ? "," : "",
                         words[i]); /* our own words fit */
    }
    return complain(l, what);
}

/* "sentry, vm": what is allowed; the first of them is the default unless one is named. */
static int take_kinds(const struct line *l, uint32_t *out_mask, int *out_first) {
    char *rest = l->value, *word;
    *out_mask = 0;
    while ((word = strsep(&rest, ", \t")) != NULL) {
        struct line one = *l;
        int kind = 0;
        if (word[0] == '\0') {
            continue;
        }
        one.value = word;
        int e = take_word(&one, g_kinds, &kind);
        if (e != 0) {
            return e;
        }
        *out_first = *out_mask == 0 ? kind : *out_first;
        *out_mask |= 1u << kind;
    }
    return 0;
}

static int take_seconds(const struct line *l, uint32_t *out) {
    char *end = NULL;
    unsigned long value = isdigit((unsigned char)l->value[0]) ? strtoul(l->value, &end, 10) : 0;
    if (value == 0 || value > SECONDS_MAX || *end != '\0') {
        return complain(l, "must be a number of seconds, 1 to 86400");
    }
    *out = (uint32_t)value;
    return 0;
}

/* ---- keys ---- */

enum key {
    KEY_ISOLATION,
    KEY_ALLOW,
    KEY_LOCK,
    KEY_ANNOTATION,
    KEY_OVERLAY,
    KEY_PLATFORM,
    KEY_HANDOVER,
    KEY_VM_IMAGES,
    KEY_VM_FILES,
    KEY_VM_START,
    KEY_VM_ANSWER,
    KEY_VM_TEMPLATE,
    KEY_VM_VSOCK,
    KEYS
};

static const char *const g_keys[] = {
    "isolation",         "allow",       "lock",      "annotation", "overlay",
    "platform",          "handover",    "vm.images", "vm.files",   "vm.start-timeout",
    "vm.answer-timeout", "vm.template", "vm.vsock",  NULL};

struct reading {
    struct settings *s;
    unsigned seen[KEYS]; /* line number, 0: not yet */
    int first_allowed;
};

static int take_value(struct reading *r, enum key key, const struct line *l) {
    struct settings *s = r->s;
    int index = 0, e = 0;
    switch (key) {
    case KEY_ISOLATION:
        e = take_word(l, g_kinds, &index);
        s->isolation = (enum isolation_kind)index;
        break;
    case KEY_ALLOW:
        e = take_kinds(l, &s->allowed, &r->first_allowed);
        break;
    case KEY_LOCK:
        e = take_word(l, g_bools, &index);
        s->lock = index != 0;
        break;
    case KEY_ANNOTATION:
        e = take_word(l, g_annotations, &index);
        s->annotation = (enum settings_annotation)index;
        break;
    case KEY_OVERLAY:
        e = take_word(l, g_overlays, &index);
        s->overlay = index == 0 ? OVERLAY_NONE : OVERLAY_MEMORY;
        break;
    case KEY_PLATFORM:
        e = take_word(l, g_platforms, &index);
        s->platform = (enum platform_choice)index;
        break;
    case KEY_HANDOVER:
        e = take_word(l, g_handovers, &index);
        s->handover = (uint32_t)index;
        break;
    case KEY_VM_IMAGES:
        if (l->value[0] != '/') {
            return complain(l, "must be the absolute path of a folder");
        }
        (void)snprintf(s->vm_images, sizeof(s->vm_images), "%s", l->value); /* VALUE_MAX */
        break;
    case KEY_VM_FILES:
        e = take_word(l, g_vm_files, &index);
        s->vm_files = (enum vm_files)index;
        break;
    case KEY_VM_START:
        e = take_seconds(l, &s->vm_start_timeout_s);
        break;
    case KEY_VM_ANSWER:
        e = take_seconds(l, &s->vm_answer_timeout_s);
        break;
    case KEY_VM_TEMPLATE:
        e = take_word(l, g_switches, &index);
        s->vm_template = index != 0;
        break;
    case KEY_VM_VSOCK:
        e = take_word(l, g_switches, &index);
        s->vm_vsock = index != 0;
        break;
    case KEYS:
        break;
    }
    return e;
}

static char *trim(char *text) {
    size_t len = strlen(text);
    while (len > 0 && isspace((unsigned char)text[len - 1])) {
        text[--len] = '\0';
    }
    return text + strspn(text, " \t");
}

static int read_line(struct reading *r, struct line *l, char *text) {
    text[strcspn(text, "#")] = '\0';
    text = trim(text);
    if (text[0] == '\0') {
        return 0;
    }
    char *equals = strchr(text, '=');
    if (equals == NULL) {
        return err_set(l->err, -EINVAL, "%s:%u: a line is KEY = VALUE", l->path, l->number);
    }
    *equals = '\0';
    l->key = trim(text);
    l->value = trim(equals + 1);
    int key = word_index(l->key, g_keys);
    if (key < 0) {
        struct line unknown = *l;
        unknown.key = "unknown key";
        unknown.value = text;
        return take_word(&unknown, g_keys, &key);
    }
    if (r->seen[key] != 0) {
        return complain(l, "is set twice");
    }
    r->seen[key] = l->number;
    if (l->value[0] == '\0' || strlen(l->value) >= VALUE_MAX) {
        return complain(l, l->value[0] == '\0' ? "has no value" : "the value is too long");
    }
    return take_value(r, (enum key)key, l);
}

/* What keys ask of each other. */
static int finish(struct reading *r, struct line *l) {
    struct settings *s = r->s;
    char none[] = "";
    l->value = none;
    l->key = "allow";
    l->number = r->seen[KEY_ALLOW];
    if (s->lock && r->seen[KEY_ALLOW] != 0) {
        return complain(l, "lock = true allows one isolation already: leave one of the two out");
    }
    if (r->seen[KEY_ALLOW] != 0 && r->seen[KEY_ISOLATION] == 0) {
        s->isolation = (enum isolation_kind)r->first_allowed;
    }
    if ((s->allowed >> s->isolation & 1) == 0) {
        return complain(l, "does not hold what 'isolation' names");
    }
    if (s->lock) {
        s->allowed = 1u << s->isolation;
    }
    return 0;
}

static void set_defaults(struct settings *s) {
    *s = (struct settings){.isolation = ISOLATION_SENTRY,
                           .allowed = (1u << ISOLATION_KINDS) - 1,
                           .annotation = SETTINGS_STRONGER,
                           .overlay = OVERLAY_NONE,
                           .platform = PLATFORM_AUTO,
                           .handover = MOAT_HANDOVER_AUTO,
                           .vm_files = VM_FILES_VIRTIOFSD,
                           .vm_vsock = true,
                           .vm_start_timeout_s = 300,
                           .vm_answer_timeout_s = 60};
}

int settings_parse(const char *path, const char *text, size_t len, struct settings *out,
                   struct err *err) {
    struct reading r = {.s = out};
    struct line l = {.path = path, .err = err};
    set_defaults(out);
    (void)snprintf(out->path, sizeof(out->path), "%s", path); /* for messages */
    if (len > FILE_MAX || memchr(text, '\0', len) != NULL) {
        return err_set(err, -EINVAL, "%s is no text of at most %u bytes", path, FILE_MAX);
    }
    cleanup_free char *copy = strndup(text, len);
    if (copy == NULL) {
        return err_sys(err, -ENOMEM, "cannot read %s", path);
    }
    char *rest = copy, *one;
    int e = 0;
    while (e == 0 && (one = strsep(&rest, "\n")) != NULL) {
        l.number++;
        e = read_line(&r, &l, one);
    }
    return e != 0 ? e : finish(&r, &l);
}

/* ---- the file ---- */

static int check_owner(const char *path, const struct stat *st, struct err *err) {
    if (!S_ISREG(st->st_mode)) {
        return err_set(err, -EINVAL, "%s is not a regular file", path);
    }
    if (geteuid() != 0) {
        return 0;
    }
    /* In a user namespace the host's root shows as the overflow id, and nobody inside can be it. */
    if (st->st_uid != 0 && userns_is_first()) {
        return err_set(err, -EPERM,
                       "%s belongs to user %u: it must belong to root, as it decides about walls",
                       path, st->st_uid);
    }
    if ((st->st_mode & 022) != 0) {
        return err_set(err, -EPERM,
                       "%s can be written by others (mode %o): use chmod go-w, as it decides about "
                       "walls",
                       path, st->st_mode & 0777);
    }
    return 0;
}

int settings_load(const char *path, struct settings *out, struct err *err) {
    struct stat st;
    set_defaults(out);
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return 0;
    }
    if (fd < 0 || fstat(fd, &st) != 0) {
        return err_sys(err, -errno, "cannot open %s", path);
    }
    int e = check_owner(path, &st, err);
    if (e != 0) {
        return e;
    }
    cleanup_free char *text = malloc(FILE_MAX + 1);
    if (text == NULL) {
        return err_sys(err, -ENOMEM, "cannot read %s", path);
    }
    size_t len = 0;
    for (ssize_t n; len <= FILE_MAX && (n = read(fd, text + len, FILE_MAX + 1 - len)) != 0;) {
        if (n < 0) {
            return err_sys(err, -errno, "cannot read %s", path);
        }
        len += (size_t)n;
    }
    return settings_parse(path, text, len, out, err);
}
