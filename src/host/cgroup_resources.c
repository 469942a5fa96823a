/* SPDX-License-Identifier: Apache-2.0 */
/* Owning a container's limits: see cgroup.h. */
#include "host/cgroup.h"

#include <stdlib.h>

void cgroup_resources_free(struct cgroup_resources *r) {
    for (size_t i = 0; i < r->hugepage_count; i++) {
        free(r->hugepages[i].page_size);
    }
    for (size_t i = 0; i < r->net_prio_count; i++) {
        free(r->net_prio[i].name);
    }
    for (size_t i = 0; i < r->rdma_count; i++) {
        free(r->rdma[i].device);
    }
    for (size_t i = 0; i < r->unified_count; i++) {
        free(r->unified[i].key);
        free(r->unified[i].value);
    }
    free(r->devices);
    free(r->cpu.cpus);
    free(r->cpu.mems);
    free(r->block.weight_device.items);
    free(r->block.read_bps.items);
    free(r->block.write_bps.items);
    free(r->block.read_iops.items);
    free(r->block.write_iops.items);
    free(r->hugepages);
    free(r->net_prio);
    free(r->rdma);
    free(r->unified);
    *r = (struct cgroup_resources){0};
}
