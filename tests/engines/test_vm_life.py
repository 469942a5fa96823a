# SPDX-License-Identifier: Apache-2.0
"""The tests of engines with isolation vm, as far as a machine for each container allows in a bearable time."""
import json
import os
import shutil
import unittest

import box
import cri
import test_containerd
import test_cri
import test_docker_life
import test_docker_run
import test_podman
import test_vm
import vm

setUpModule = test_vm.setUpModule

CNI = "/usr/lib/cni"
CNI_CONF = {"cniVersion": "0.4.0", "name": "pods", "type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}}


class Registered:
    """moat and its guest image are in the box; register() is called as for the other isolations."""
    isolation = "vm"

    @classmethod
    def register(cls, *options):
        test_vm.prepare(cls.box)
        super().register(*options, "--handler", "moat-vm=vm")


class DockerRun(Registered, test_docker_run.DockerRun):
    chosen = ("streams_and_exit_code", "read_only_root_with_tmpfs", "bind_mounts", "init", "program_not_found")

    def test_memory(self):
        """What -m gives, programs can use; and no more."""
        script = "dd if=/dev/zero of=/dev/null bs=115M count=1 2>/dev/null; echo $?; tail /dev/zero 2>/dev/null; echo $?"
        self.assertEqual(self.lines(script, "-m", "128m", "--memory-swap", "128m"), ["0", "137"])


class DockerLife(Registered, test_docker_life.DockerLife):
    chosen = ("exec", "exec_errors", "stop_is_heard", "kill", "restart_policy_on_failure", "stats", "pause", "copy", "nothing_is_left")


class Containerd(Registered, test_containerd.Containerd):
    chosen = ("run", "exec", "kill", "nothing_is_left")


class Cri(Registered, test_cri.Pods):
    chosen = ("a_pod_of_two_containers",)
    network = 0  # POD: a machine has a network of its own
    config = test_cri.CONFIG + f'  [plugins."io.containerd.grpc.v1.cri".cni]\n    bin_dir = "{CNI}"\n'

    @classmethod
    def start_engine(cls):
        if not os.path.exists(CNI + "/bridge"):
            raise unittest.SkipTest("not installed: containernetworking-plugins (tools/install-deps.sh test)")
        folder = cls.box.path("/etc/cni/net.d")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "10-pods.conf").write_text(json.dumps(CNI_CONF))
        super().start_engine()

    def hypervisors(self):
        return [pid for pid, command in self.box.processes().items() if "qemu-system" in command.split(" ")[0]]

    def test_one_machine(self):
        pod = self.pod()
        first, second = (self.container(pod, name, "sleep", "1000") for name in ("first", "second"))
        self.assertEqual(len(self.hypervisors()), 1)
        for container in (first, second):
            self.assertEqual(self.run_in(container, "uname", "-r")[0], vm.modules().name + "\n")
            self.assertIn("10.88.", self.run_in(container, "ip", "-4", "addr", "show", "dev", "eth0")[0])
        # A container's limits hold inside.
        limited = self.container(pod, "limited", "sleep", "1000", resources=cri.number(1, 100000) + cri.number(2, 50000) + cri.number(4, 64 << 20))
        self.assertEqual(self.run_in(limited, "cat", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/cpu.max")[0], f"{64 << 20}\n50000 100000\n")
        self.sweep()
        box.wait_for("the machine ends", lambda: not self.hypervisors())


class Podman(Registered, test_podman.PodmanRoot):
    chosen = ("exec", "stop_kill_and_start_again", "pod", "nothing_is_left")


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for case in (DockerRun, DockerLife, Containerd, Cri, Podman):
        own = [n for n in vars(case) if n.startswith("test_")]
        suite.addTests(case(name) for name in [*("test_" + n for n in case.chosen), *own])
    return suite
