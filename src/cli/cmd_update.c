/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moat update: change the limits of a container that exists.  Options are those of other runtimes;
 * with --resources they are ignored, as there.
 */
#include "cli/cli.h"
#include "cli/parse.h"
#include "oci/config.h"
#include "runtime/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct update_options {
    const char *resources;
    const char *blkio_weight, *cpu_period, *cpu_quota, *cpu_burst, *cpu_share, *cpu_rt_period,
        *cpu_rt_runtime, *cpu_idle, *cpuset_cpus, *cpuset_mems, *kernel_memory, *kernel_memory_tcp,
        *memory, *memory_reservation, *memory_swap, *pids_limit, *l3_cache_schema, *mem_bw_schema;
};

#define UPDATE_OPT(field, name, letter, arg, help)                                                 \
    { name, letter, OPT_TEXT, offsetof(struct update_options, field), arg, help }

static const struct cli_option g_update_options[] = {
    UPDATE_OPT(resources, "resources", 'r', "FILE",
               "limits as linux.resources of a config.json ('-': standard input)"),
    UPDATE_OPT(blkio_weight, "blkio-weight", 0, "N", "weight of block I/O, 10 to 1000"),
    UPDATE_OPT(cpu_period, "cpu-period", 0, "US", "period of the CPU limit"),
    UPDATE_OPT(cpu_quota, "cpu-quota", 0, "US", "CPU time in a period (-1: no limit)"),
    UPDATE_OPT(cpu_burst, "cpu-burst", 0, "US", "CPU time that may be saved up"),
    UPDATE_OPT(cpu_share, "cpu-share", 0, "N", "CPU weight against other groups, 2 to 262144"),
    UPDATE_OPT(cpu_rt_period, "cpu-rt-period", 0, "US", "period of the real-time limit"),
    UPDATE_OPT(cpu_rt_runtime, "cpu-rt-runtime", 0, "US", "real-time CPU time in a period"),
    UPDATE_OPT(cpu_idle, "cpu-idle", 0, "0|1", "1: only CPU time that nobody else wants"),
    UPDATE_OPT(cpuset_cpus, "cpuset-cpus", 0, "LIST", "CPUs to use, such as 0-2,7"),
    UPDATE_OPT(cpuset_mems, "cpuset-mems", 0, "LIST", "memory nodes to use"),
    UPDATE_OPT(memory, "memory", 0, "BYTES", "memory limit, such as 512m (-1: none)"),
    UPDATE_OPT(memory_reservation, "memory-reservation", 0, "BYTES", "memory that is left alone"),
    UPDATE_OPT(memory_swap, "memory-swap", 0, "BYTES", "limit of memory and swap (-1: none)"),
    UPDATE_OPT(kernel_memory, "kernel-memory", 0, "BYTES", "obsolete"),
    UPDATE_OPT(kernel_memory_tcp, "kernel-memory-tcp", 0, "BYTES", "obsolete"),
    UPDATE_OPT(pids_limit, "pids-limit", 0, "N", "number of processes (-1: no limit)"),
    UPDATE_OPT(l3_cache_schema, "l3-cache-schema", 0, "TEXT", "Intel RDT: refused"),
    UPDATE_OPT(mem_bw_schema, "mem-bw-schema", 0, "TEXT", "Intel RDT: refused"),
    {0},
};

static int number_i64(const char *text, const char *option, struct cgroup_i64 *out,
                      struct err *err) {
    char *end;
    errno = 0;
    long long v = text == NULL ? 0 : strtoll(text, &end, 10);
    if (text == NULL || text[0] == '\0') {
        return 0; /* engines pass an empty text for "as it is" */
    }
    if (errno != 0 || *end != '\0' || v < -1) {
        return err_set(err, -EINVAL, "invalid value for %s: '%s' is no number from -1 on", option,
                       text);
    }
    *out = (struct cgroup_i64){.set = true, .value = v};
    return 0;
}

static int number_u64(const char *text, const char *option, struct cgroup_u64 *out,
                      struct err *err) {
    struct cgroup_i64 v = {0};
    int e = number_i64(text, option, &v, err);
    if (e == 0 && v.set && v.value < 0) {
        return err_set(err, -EINVAL, "invalid value for %s: '%s' is below zero", option, text);
    }
    *out = (struct cgroup_u64){.set = v.set, .value = (uint64_t)v.value};
    return e;
}

static int bytes(const char *text, const char *option, struct cgroup_i64 *out, struct err *err) {
    uint64_t v = 0;
    if (text == NULL || text[0] == '\0') {
        return 0;
    }
    if (strcmp(text, "-1") == 0) {
        *out = (struct cgroup_i64){.set = true, .value = -1};
        return 0;
    }
    int e = parse_size(text, option, &v, err);
    if (e == 0 && v > INT64_MAX) {
        e = err_set(err, -ERANGE, "invalid value for %s: '%s' is too large", option, text);
    }
    *out = (struct cgroup_i64){.set = e == 0, .value = (int64_t)v};
    return e;
}

static int list(const char *text, const char *option, char **out, struct err *err) {
    if (text == NULL || text[0] == '\0') {
        return 0;
    }
    if (strspn(text, "0123456789,-") != strlen(text)) {
        return err_set(err, -EINVAL, "invalid value for %s: '%s' is no list such as 0-2,7", option,
                       text);
    }
    *out = strdup(text);
    return *out != NULL ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int cpu_from_options(const struct update_options *o, struct cgroup_resources *r,
                            struct err *err) {
    int e = number_u64(o->cpu_period, "--cpu-period", &r->cpu.period, err);
    e = e != 0 ? e : number_i64(o->cpu_quota, "--cpu-quota", &r->cpu.quota, err);
    e = e != 0 ? e : number_u64(o->cpu_burst, "--cpu-burst", &r->cpu.burst, err);
    e = e != 0 ? e : number_u64(o->cpu_share, "--cpu-share", &r->cpu.shares, err);
    e = e != 0 ? e : number_u64(o->cpu_rt_period, "--cpu-rt-period", &r->cpu.realtime_period, err);
    e = e != 0 ? e
               : number_i64(o->cpu_rt_runtime, "--cpu-rt-runtime", &r->cpu.realtime_runtime, err);
    e = e != 0 ? e : number_i64(o->cpu_idle, "--cpu-idle", &r->cpu.idle, err);
    e = e != 0 ? e : list(o->cpuset_cpus, "--cpuset-cpus", &r->cpu.cpus, err);
    return e != 0 ? e : list(o->cpuset_mems, "--cpuset-mems", &r->cpu.mems, err);
}

static int from_options(const struct update_options *o, struct cgroup_resources *r,
                        struct err *err) {
    int e = cpu_from_options(o, r, err);
    e = e != 0 ? e : number_u64(o->blkio_weight, "--blkio-weight", &r->block.weight, err);
    e = e != 0 ? e : bytes(o->memory, "--memory", &r->memory.limit, err);
    e = e != 0 ? e
               : bytes(o->memory_reservation, "--memory-reservation", &r->memory.reservation, err);
    e = e != 0 ? e : bytes(o->memory_swap, "--memory-swap", &r->memory.swap, err);
    e = e != 0 ? e : bytes(o->kernel_memory, "--kernel-memory", &r->memory.kernel, err);
    e = e != 0 ? e : bytes(o->kernel_memory_tcp, "--kernel-memory-tcp", &r->memory.kernel_tcp, err);
    return e != 0 ? e : number_i64(o->pids_limit, "--pids-limit", &r->pids, err);
}

static int run_update(const struct cli_globals *globals, void *options, int argc, char **argv,
                      struct err *err) {
    const struct update_options *o = options;
    const struct runtime rt = cli_runtime(globals);
    struct cgroup_resources r = {0};
    const struct oci_reading how = {.bundle = "/", .warn = rt.warn, .arg = rt.arg};
    int e;
    if (o->l3_cache_schema != NULL || o->mem_bw_schema != NULL) {
        e = err_set(err, -ENOTSUP,
                    "--l3-cache-schema and --mem-bw-schema cannot change a container: the groups "
                    "of Intel RDT are made when it is created (linux.intelRdt)");
    } else {
        e = o->resources != NULL ? oci_resources_load(&how, o->resources, &r, err)
                                 : from_options(o, &r, err);
    }
    bool usage = e != 0 && o->resources == NULL;
    e = e != 0 ? e : lifecycle_update(&rt, argv[0], &r, err);
    cgroup_resources_free(&r);
    return e == 0 ? 0 : usage ? 2 : 1;
}

const struct cli_command g_cmd_update = {
    .name = "update",
    .synopsis = "[options] ID",
    .summary = "change the limits of a container",
    .options = g_update_options,
    .options_size = sizeof(struct update_options),
    .min_args = 1,
    .max_args = 1,
    .args_help = "the container's id",
    .takes_container = true,
    .run = run_update,
};
