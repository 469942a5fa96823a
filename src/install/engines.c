/* SPDX-License-Identifier: Apache-2.0 */
/* The engines that moat registers with, in the order they are shown. */
#include "install/engines.h"

const struct install_engine g_install_engines[] = {
    {.name = "docker",
     .programs = {"dockerd"},
     .plan = install_docker,
     .next = "systemctl reload docker    (or: kill -HUP of dockerd)\n"
             "docker run --rm --runtime moat IMAGE COMMAND"},
    {.name = "containerd",
     .programs = {"containerd"},
     .plan = install_containerd,
     .next = "systemctl restart containerd    (containers keep running)\n"
             "kubectl apply -f deploy/runtimeclass.yaml"},
    {.name = "podman",
     .programs = {"podman"},
     .plan = install_podman,
     .next = "podman --runtime moat run --rm IMAGE COMMAND"},
    {.name = "crio",
     .programs = {"crio"},
     .plan = install_crio,
     .next = "systemctl restart crio    (containers keep running)\n"
             "kubectl apply -f deploy/runtimeclass.yaml"},
    {0},
};
