/* SPDX-License-Identifier: Apache-2.0 */
/* Options that checkpoint and restore share: see image.h. */
#include "cli/image.h"

#include "cli/parse.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int make_folder(const char *path, const char *option, struct err *err) {
    return mkdir(path, 0700) == 0 || errno == EEXIST
               ? 0
               : err_sys(err, -errno, "%s: cannot make the folder %s", option, path);
}

static int open_folders(const struct image_options *folders, bool make, struct isolation_image *out,
                        struct err *err) {
    static char image[PATH_MAX], work[PATH_MAX];
    const char *path = folders->image != NULL ? folders->image : "checkpoint";
    int e = make ? make_folder(path, "--image-path", err) : 0;
    if (e == 0 && folders->work != NULL) {
        e = make_folder(folders->work, "--work-path", err);
    }
    if (e == 0 && realpath(path, image) == NULL) {
        e = err_sys(err, -errno, "--image-path: cannot open %s", path);
    }
    if (e == 0 && folders->work != NULL && realpath(folders->work, work) == NULL) {
        e = err_sys(err, -errno, "--work-path: cannot open %s", folders->work);
    }
    out->path = image;
    out->work = folders->work != NULL ? work : NULL;
    return e;
}

static int read_cgroups(const char *mode, struct isolation_image *out, struct err *err) {
    static const char *const words[] = {"soft", "full", "strict", "ignore", NULL};
    static const enum image_cgroups modes[] = {IMAGE_CGROUPS_SOFT, IMAGE_CGROUPS_FULL,
                                               IMAGE_CGROUPS_STRICT, IMAGE_CGROUPS_IGNORE};
    int word = parse_choice(mode, "--manage-cgroups-mode", words, err);
    if (word >= 0) {
        out->cgroups = modes[word];
    }
    return word < 0 ? word : 0;
}

static int read_empty(const struct strlist *names, struct isolation_image *out, struct err *err) {
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i], "network") != 0) {
            return err_set(err, -EINVAL,
                           "--empty-ns %s: only a network namespace can be left empty",
                           names->items[i]);
        }
        out->empty_network = true;
    }
    return 0;
}

int image_read(const struct cli_globals *globals, const struct image_options *o, bool make,
               struct isolation_image *out, struct err *err) {
    int e = open_folders(o, make, out, err);
    e = e != 0 ? e : read_cgroups(o->cgroups_mode, out, err);
    e = e != 0 ? e : read_empty(&o->empty_ns, out, err);
    out->criu = globals->criu;
    out->tcp_established = o->tcp;
    out->ext_unix_sk = o->unix_sockets;
    out->shell_job = o->shell_job;
    out->file_locks = o->file_locks;
    out->lazy_pages = o->lazy_pages;
    out->auto_dedup = o->auto_dedup;
    out->debug = globals->debug;
    return e;
}
