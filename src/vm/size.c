/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes of machines: see size.h. */
#include "vm/size.h"

#include "vm/hypervisor.h"
#include "vm/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_MAX     (1024u * GIB)
#define KEY_MAX_MEMORY "dev.moat.vm.max-memory"
#define KEY_MAX_CPUS   "dev.moat.vm.max-cpus"

/* "2g", "512m" or bytes; an annotation, so anything may be in it. */
static int read_number(const struct container *c, const char *key, bool units, uint64_t max,
                       uint64_t *out, struct err *err) {
    static const char letters[] = "kmg";
    const char *text = oci_key_values_get(&c->annotations, key);
    char *end = NULL;
    *out = 0;
    if (text == NULL) {
        return 0;
    }
    errno = 0;
    unsigned long long n = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    const char *unit = units && n != 0 && *end != '\0' ? strchr(letters, *end | 0x20) : NULL;
    for (long i = unit != NULL ? unit - letters : -1; i >= 0 && n <= max; i--) {
        n *= 1024;
    }
    end += unit != NULL ? 1 : 0;
    if (n == 0 || n > max || errno != 0 || *end != '\0') {
        return err_set(err, -EINVAL, "annotations[\"%s\"]: must be a %s", key,
                       units ? "size such as 2g, at most 1024g" : "number of processors");
    }
    *out = n;
    return 0;
}

static uint64_t cpus_of(const struct cgroup_resources *r) {
    uint64_t period = r->cpu.period.set && r->cpu.period.value > 0 ? r->cpu.period.value : 100000;
    bool limited = r->cpu.quota.set && r->cpu.quota.value > 0;
    return limited ? MAX(((uint64_t)r->cpu.quota.value + period - 1) / period, (uint64_t)1) : 0;
}

int vm_size_of(const struct container *c, bool kvm, struct vm_size *out, struct err *err) {
    const struct cgroup_resources *r = &c->linux_.resources;
    uint64_t online = (uint64_t)MAX(1L, sysconf(_SC_NPROCESSORS_ONLN));
    uint64_t cpus = cpus_of(r), room = 0, max_cpus = 0;
    out->memory = c->memory_limit;
    if (out->memory == 0 && r->memory.limit.set && r->memory.limit.value > 0) {
        out->memory = (uint64_t)r->memory.limit.value;
    }
    if (out->memory > MEMORY_MAX) {
        return err_set(err, -EINVAL, "isolation vm cannot have more than 1 TiB of memory");
    }
    int e = read_number(c, KEY_MAX_MEMORY, true, MEMORY_MAX, &room, err);
    e = e != 0 ? e : read_number(c, KEY_MAX_CPUS, false, 4096, &max_cpus, err);
    out->memory = MAX(out->memory, room);
    cpus = MAX(cpus != 0 ? cpus : kvm ? online : 1, max_cpus);
    out->cpus = (uint32_t)MIN(cpus, online);
    return e;
}

int vm_size_check_update(const struct container *c, const struct cgroup_resources *asked,
                         struct err *err) {
    const char *why = "";
    struct vm_size size;
    int e = vm_size_of(c, kvm_is_useful(&why), &size, err);
    if (e != 0) {
        return e;
    }
    uint64_t memory = size.memory != 0
                          ? size.memory
                          : MACHINE_DEFAULT_MEMORY - machine_guest_overhead(MACHINE_DEFAULT_MEMORY);
    if (asked->memory.limit.set && asked->memory.limit.value > 0 &&
        (uint64_t)asked->memory.limit.value > memory) {
        return err_set(err, -EINVAL,
                       "the virtual machine has %llu MB for programs, and QEMU's microvm gets no "
                       "more while it runs: the annotation " KEY_MAX_MEMORY " keeps room",
                       (unsigned long long)(memory / MIB));
    }
    if (cpus_of(asked) > size.cpus) {
        return err_set(err, -EINVAL,
                       "the virtual machine has %u processors, and QEMU's microvm gets no more "
                       "while it runs: the annotation " KEY_MAX_CPUS " keeps room",
                       size.cpus);
    }
    return 0;
}
