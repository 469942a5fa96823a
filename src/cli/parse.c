/* SPDX-License-Identifier: Apache-2.0 */
/* Values that several commands take: see parse.h. */
#include "cli/parse.h"

#include "moat/control.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>

int parse_size(const char *text, const char *option, uint64_t *out_bytes, struct err *err) {
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    uint64_t unit = 1;
    switch (*end | 0x20) {
    case 'k':
        unit = KIB;
        break;
    case 'm':
        unit = MIB;
        break;
    case 'g':
        unit = GIB;
        break;
    default:
        break;
    }
    if (unit > 1) {
        end++;
    }
    if ((*end | 0x20) == 'b') {
        end++;
    }
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 ||
        ckd_mul(out_bytes, (uint64_t)n, unit)) {
        return err_set(err, -EINVAL, "%s takes a size such as 512m or 2g, not '%s'", option, text);
    }
    return 0;
}

static bool parse_id(const char *text, char stop, uint32_t *out_id, const char **out_end) {
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || errno != 0 || n >= UINT32_MAX ||
        (*end != '\0' && *end != stop)) {
        return false;
    }
    *out_id = (uint32_t)n;
    *out_end = end;
    return true;
}

int parse_number(const char *text, const char *option, uint32_t *out, struct err *err) {
    const char *end;
    return parse_id(text, '\0', out, &end)
               ? 0
               : err_set(err, -EINVAL, "%s takes a number, not '%s'", option, text);
}

int parse_user(const char *text, uint32_t *out_uid, uint32_t *out_gid, struct err *err) {
    const char *end;
    bool ok = parse_id(text, ':', out_uid, &end);
    if (ok && *end == ':') {
        ok = parse_id(end + 1, '\0', out_gid, &end);
    } else {
        *out_gid = *out_uid;
    }
    return ok ? 0 : err_set(err, -EINVAL, "--user takes numbers, UID or UID:GID, not '%s'", text);
}

int parse_volume(const char *text, struct container *c, struct err *err) {
    char source[PATH_MAX], path[PATH_MAX];
    const char *colon = strchr(text, ':');
    if (colon == NULL || colon == text || colon[1] != '/' ||
        (size_t)(colon - text) >= sizeof(source)) {
        return err_set(err, -EINVAL,
                       "--volume takes SRC:DST or SRC:DST:ro with an absolute DST, not '%s'", text);
    }
    memcpy(source, text, (size_t)(colon - text));
    source[colon - text] = '\0';
    const char *target = colon + 1;
    const char *mode = strchr(target, ':');
    size_t target_len = mode != NULL ? (size_t)(mode - target) : strlen(target);
    uint32_t flags = 0;
    if (mode != NULL && strcmp(mode, ":ro") == 0) {
        flags = MOAT_MOUNT_RDONLY;
    } else if (mode != NULL && strcmp(mode, ":rw") != 0) {
        return err_set(err, -EINVAL,
                       "--volume '%s': the mode behind the second colon is 'ro' or 'rw'", text);
    }
    if (realpath(source, path) == NULL) {
        return err_sys(err, -errno, "--volume '%s': cannot use %s", text, source);
    }
    char dest[PATH_MAX];
    if (target_len >= sizeof(dest)) {
        return err_set(err, -ENAMETOOLONG, "--volume '%s': the target path is too long", text);
    }
    memcpy(dest, target, target_len);
    dest[target_len] = '\0';
    int e = container_add_mount(c, MOUNT_BIND, flags, path, dest, NULL, NULL);
    if (e == 0) {
        c->mounts[c->mount_count - 1].recursive = true; /* with what is mounted below it */
    }
    return e == 0 ? 0 : err_sys(err, e, "--volume");
}

int parse_choice(const char *text, const char *option, const char *const *words, struct err *err) {
    for (int i = 0; words[i] != NULL; i++) {
        if (text == NULL || strcmp(text, words[i]) == 0) {
            return i;
        }
    }
    int e = err_set(err, -EINVAL, "%s '%s' is not known: it can be", option, text);
    for (int i = 0; words[i] != NULL; i++) {
        err_append(err, "%s %s", i > 0 ? "," : "", words[i]);
    }
    return e;
}

int parse_signal(const char *text, struct err *err) {
    const char *end;
    uint32_t n;
    if (parse_id(text, '\0', &n, &end) && n <= 64) {
        return (int)n;
    }
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    for (int i = 1; i < SIGRTMIN; i++) {
        const char *abbrev = sigabbrev_np(i);
        if (abbrev != NULL && strcasecmp(abbrev, name) == 0) {
            return i;
        }
    }
    return err_set(err, -EINVAL, "'%s' is no signal: give a number (0-64) or a name such as TERM",
                   text);
}

int exit_status_of(int wait_status) {
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
