# SPDX-License-Identifier: Apache-2.0
"""containerd's CRI plugin, called as a kubelet calls it: pods whose runtime handler is moat."""
import os
import signal
import subprocess

import box
import cri
import engine
import images

IMAGE = "localhost/busybox:latest"
PAUSE = "localhost/pause:latest"
CONFIG = f"""version = 2
[debug]
  level = "debug"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
"""


class Pods(engine.EngineTest):
    engine = "cri"
    network = cri.NODE  # the host's, for which no CNI plugin is needed
    config = CONFIG
    programs = ("containerd", "ctr", "containerd-shim-runc-v2")

    @classmethod
    def start_engine(cls):
        cls.log = cls.box.dir / "containerd.log"
        cls.box.path("/etc/containerd/config.toml").write_text(cls.config)
        cls.register("--containerd")
        with open(cls.log, "ab") as log:
            cls.daemon = cls.box.popen("containerd", stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        box.wait_for("containerd answers", lambda: cls.box.run("ctr", "version").returncode == 0)
        for name, command in ((IMAGE, ["/bin/sh"]), (PAUSE, ["/bin/sleep", "100000"])):
            images.oci_archive(cls.box.path("/run/image.tar"), name, command)
            made = cls.box.run("ctr", "-n", "k8s.io", "images", "import", "/run/image.tar")
            if made.returncode:
                raise RuntimeError(made.stderr)

        box.wait_for("the CRI plugin is ready", cls.is_ready)

    @classmethod
    def is_ready(cls):
        try:
            return cri.call(cls.socket_path(), "Status", b"") != {}
        except cri.CallFailed:
            return False

    @classmethod
    def socket_path(cls):
        return str(cls.box.path("/run/containerd/containerd.sock"))

    @classmethod
    def close_box(cls):
        for pid, command in cls.box.processes().items():
            if os.path.basename(command.split(" ")[0]) == "containerd":
                os.kill(pid, signal.SIGTERM)
        cls.daemon.wait(timeout=30)
        super().close_box()

    def call(self, method, message):
        return cri.call(self.socket_path(), method, message)

    def story(self, began):
        return f"\n=== containerd's log\n{self.log.read_text()[-3000:]}\n=== the runtime's logs\n{self.runtime_logs()}"

    def sweep(self):
        for pod in getattr(self, "pods", []):
            for method in ("StopPodSandbox", "RemovePodSandbox"):
                try:
                    self.call(method, cri.text(1, pod))
                except cri.CallFailed:
                    pass
        self.pods = []

    def pod(self, name="web", annotations=()):
        namespaces = cri.number(1, self.network) + cri.number(2, cri.CONTAINER)
        self.pod_config = (cri.text(1, cri.text(1, name) + cri.text(2, "uid-" + name) + cri.text(3, "default")) + cri.text(3, "/run/logs") +
                       b"".join(cri.pair(7, k, v) for k, v in annotations) +
                       cri.text(8, cri.text(1, f"/{self.box.cgroup}/{name}") + cri.text(2, cri.text(1, namespaces))))
        handler = b"" if self.isolation == "runc" else cri.text(2, self.runtime.name)
        pod = self.call("RunPodSandbox", cri.text(1, self.pod_config) + handler)[1].decode()
        self.pods = [*getattr(self, "pods", []), pod]
        return pod

    def container(self, pod, name, *command, resources=b""):
        namespaces = cri.number(1, self.network) + cri.number(2, cri.CONTAINER)
        linux = cri.text(15, cri.text(1, resources) + cri.text(2, cri.text(3, namespaces)))
        config = (cri.text(1, cri.text(1, name)) + cri.text(2, cri.text(1, IMAGE)) + b"".join(cri.text(3, c) for c in command) +
                  cri.text(6, cri.text(1, "A") + cri.text(2, "b")) + cri.text(11, name + ".log") + linux)
        made = self.call("CreateContainer", cri.text(1, pod) + cri.text(2, config) + cri.text(3, self.pod_config))[1].decode()
        self.call_empty("StartContainer", cri.text(1, made))
        return made

    def call_empty(self, method, message):
        self.assertEqual(self.call(method, message), {})

    def run_in(self, container, *command):
        """ExecSync: standard output and exit code."""
        got = self.call("ExecSync", cri.text(1, container) + b"".join(cri.text(2, c) for c in command) + cri.number(3, 30))
        return got.get(1, b"").decode(), got.get(3, 0)

    def state(self, container):
        """0 created, 1 running, 2 exited; and the exit code."""
        status = cri.parse(self.call("ContainerStatus", cri.text(1, container))[1])
        return status.get(3, 0), status.get(7, 0)

    def sentries(self):
        """The application kernels; the processes that hold the programs' memory are their children."""
        found = {pid for pid, command in self.box.processes().items() if os.path.basename(command.split(" ")[0]) == "moat-sentry"}
        return [pid for pid in found if box.parent_of(pid) not in found]

    def test_a_pod_of_two_containers(self):
        pod = self.pod()
        first = self.container(pod, "first", "sh", "-c", "echo out $A; exec sleep 1000")
        second = self.container(pod, "second", "sleep", "1000")
        log = self.box.path("/run/logs/first.log")
        box.wait_for("it has written", lambda: log.exists() and "stdout F out b" in log.read_text())
        self.assertEqual(self.run_in(second, "sh", "-c", "id -u; exit 3"), ("0\n", 3))
        # System V memory is the pod's, processes are each container's own.
        self.assertEqual(self.run_in(first, "sh", "-c", "readlink /proc/self/ns/ipc")[0], self.run_in(second, "sh", "-c", "readlink /proc/self/ns/ipc")[0])
        self.assertEqual(self.run_in(second, "cat", "/proc/1/cmdline")[0], "sleep\x001000\x00")
        if self.isolation == "sentry":
            self.assertEqual(len(self.sentries()), 1, self.box.processes())
        self.call_empty("StopContainer", cri.text(1, first) + cri.number(2, 0))
        self.assertEqual(self.state(first), (2, 137))
        self.assertEqual(self.state(second), (1, 0))
        self.call_empty("StopPodSandbox", cri.text(1, pod))
        self.assertEqual(self.state(second)[0], 2)
        self.call_empty("RemovePodSandbox", cri.text(1, pod))
        self.pods = []
        box.wait_for("its processes end", lambda: not self.sentries())

    def test_two_pods_are_apart(self):
        self.container(self.pod("one"), "c", "sleep", "1000")
        self.container(self.pod("two"), "c", "sleep", "1000")
        if self.isolation == "sentry":
            self.assertEqual(len(self.sentries()), 2, self.box.processes())

    def test_exit_code(self):
        container = self.container(self.pod(), "c", "sh", "-c", "exit 7")
        box.wait_for("it ends", lambda: self.state(container)[0] == 2)
        self.assertEqual(self.state(container), (2, 7))

    def test_program_that_is_missing(self):
        with self.assertRaises(cri.CallFailed):
            self.container(self.pod(), "c", "nothing-here")
        self.assertIn("executable file not found in $PATH", self.log.read_text())

    def test_limits(self):
        self.needs_mounted_hierarchies()
        container = self.container(self.pod(), "c", "sleep", "1000", resources=cri.number(1, 100000) + cri.number(2, 50000) + cri.number(4, 64 << 20))
        self.assertEqual(self.state(container), (1, 0))
        found = [p.read_text().strip() for p in box.CGROUPS.glob(f"memory/{self.box.cgroup}/web/*/memory.limit_in_bytes")]
        found += [p.read_text().strip() for p in box.CGROUPS.glob(f"{self.box.cgroup}/web/*/memory.max")]
        if found:
            self.assertIn(str(64 << 20), found)


load_tests = engine.load_tests_of(Pods)
