# SPDX-License-Identifier: Apache-2.0
"""containerd and its ctr, with moat as the program behind io.containerd.runc.v2, and as a runtime of the CRI configuration."""
import json
import os
import signal
import subprocess
import tomllib

import box
import engine
import images

IMAGE = "localhost/busybox:latest"
# ctr stops copying the output when it hears of the end (Task.Delete cancels it first): what is to be read gets a moment before.
MOMENT = "sleep 0.3"


class Containerd(engine.EngineTest):
    engine = "containerd"
    programs = ("containerd", "ctr", "containerd-shim-runc-v2")

    @classmethod
    def start_engine(cls):
        cls.log = cls.box.dir / "containerd.log"
        cls.box.path("/etc/containerd/config.toml").write_text('version = 2\n[debug]\n  level = "debug"\n')
        cls.register("--containerd")
        cls.start_daemon()
        images.oci_archive(cls.box.path("/run/image.tar"), IMAGE)
        made = cls.box.run("ctr", "images", "import", "/run/image.tar")
        if made.returncode:
            raise RuntimeError(made.stderr)

    @classmethod
    def start_daemon(cls):
        with open(cls.log, "ab") as log:
            cls.daemon = cls.box.popen("containerd", stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        box.wait_for("containerd answers", lambda: cls.box.run("ctr", "version").returncode == 0)

    @classmethod
    def stop_daemon(cls, signo):
        for pid, text in cls.box.processes().items():
            if os.path.basename(text.split(" ")[0]) == "containerd":
                os.kill(pid, signo)
        cls.daemon.wait(timeout=30)

    @classmethod
    def close_box(cls):
        cls.stop_daemon(signal.SIGTERM)
        left = list(cls.box.processes().values())
        super().close_box()
        if left:
            raise AssertionError(f"processes left behind by {cls.__name__}: {left}")

    def ctr(self, *args, ok=True, **kw):
        r = self.box.run("ctr", *args, **kw)
        if ok:
            self.assertEqual(r.returncode, 0, f"ctr {' '.join(args)}: {r.stdout}{r.stderr}")
        return r

    def run_ctr(self, *args, options=(), name="test", ok=True, **kw):
        return self.ctr("run", "--runc-binary", self.runtime_path, "--cgroup", f"/{self.box.cgroup}/{name}", *options, IMAGE, name, *args, ok=ok, **kw)

    def background(self, *args, options=(), name="test"):
        log = f"/run/{name}.log"
        self.run_ctr(*args, options=("-d", "--log-uri", f"file://{log}", *options), name=name)
        return self.box.path(log)

    def tasks(self):
        rows = [line.split() for line in self.ctr("task", "ls").stdout.splitlines()[1:]]
        return {name: (int(pid), status) for name, pid, status in rows}

    def wait_status(self, status, name="test"):
        box.wait_for(f"{name} is {status}", lambda: self.tasks().get(name, (0, ""))[1] == status)

    def story(self, began):
        return f"\n=== containerd's log\n{self.log.read_text()[-3000:]}\n=== the runtime's logs\n{self.runtime_logs()}"

    def sweep(self):
        for name in self.tasks():
            self.ctr("task", "kill", "-s", "KILL", "--all", name, ok=False)
            self.ctr("task", "rm", "-f", name, ok=False)
        for name in self.ctr("container", "ls", "-q").stdout.split():
            self.ctr("container", "rm", name, ok=False)

    def test_run(self):
        r = self.run_ctr("sh", "-c", f"echo out; echo err >&2; id -u; {MOMENT}; exit 5", options=("--rm",), ok=False)
        self.assertEqual((r.stdout, r.returncode), ("out\n0\n", 5))
        self.assertIn("err", r.stderr)

    def test_run_options(self):
        got = self.run_ctr("sh", "-c", f"pwd; echo $A; touch /x 2>&1; {MOMENT}", options=("--rm", "--cwd", "/etc", "--env", "A=b", "--read-only"))
        self.assertEqual(got.stdout.splitlines(), ["/etc", "b", "touch: /x: Read-only file system"])

    def test_bind_mount(self):
        folder = self.box.path("/run/shared")
        folder.mkdir(exist_ok=True)
        (folder / "in").write_text("text\n")
        r = self.run_ctr("sh", "-c", f"cat /mnt/in; {MOMENT}", options=("--rm", "--mount", "type=bind,src=/run/shared,dst=/mnt,options=rbind:ro"))
        self.assertEqual(r.stdout, "text\n")

    def test_program_errors(self):
        for program, text in (("nothing-here", "executable file not found in $PATH"), ("/opt/data", "permission denied")):
            r = self.run_ctr(program, options=("--rm",), name="bad", ok=False)
            self.assertEqual(r.returncode, 1)
            self.assertIn(text, r.stderr)

    def test_terminal(self):
        t = engine.Terminal(self.box, "ctr", "run", "--rm", "-t", "--runc-binary", self.runtime_path, "--cgroup", f"/{self.box.cgroup}/test", IMAGE,
                            "test", "sh")
        t.read("# ")
        t.write("tty; exit 4\n")
        t.read("/dev/")
        self.assertEqual(t.end(), 4)

    def test_exec(self):
        self.background("sleep", "1000")
        r = self.ctr("task", "exec", "--exec-id", "e1", "--user", "1000", "--cwd", "/etc", "test", "sh", "-c", f"id -u; pwd; {MOMENT}; exit 3", ok=False)
        self.assertEqual((r.stdout, r.returncode), ("1000\n/etc\n", 3))
        r = self.ctr("task", "exec", "--exec-id", "e2", "test", "nothing-here", ok=False)
        self.assertIn("executable file not found in $PATH", r.stderr)
        t = engine.Terminal(self.box, "ctr", "task", "exec", "-t", "--exec-id", "e3", "test", "sh")
        t.read("# ")
        t.write("exit 6\n")
        self.assertEqual(t.end(), 6)

    def test_kill(self):
        log = self.background("sh", "-c", "trap 'echo hup' HUP; echo ready; while :; do sleep 0.05; done")
        box.wait_for("it is ready", lambda: "ready" in log.read_text())
        self.ctr("task", "kill", "-s", "HUP", "test")
        box.wait_for("it has heard", lambda: "hup" in log.read_text())
        self.ctr("task", "kill", "-s", "KILL", "--all", "test")
        self.wait_status("STOPPED")
        self.assertIn("137", self.ctr("task", "rm", "test").stderr)

    def test_pause_and_metrics(self):
        self.needs_mounted_hierarchies()
        log = self.background("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done")
        box.wait_for("it runs", lambda: "3\n" in log.read_text())
        self.ctr("task", "pause", "test")
        self.assertEqual(self.tasks()["test"][1], "PAUSED")
        self.ctr("task", "resume", "test")
        self.assertEqual(self.tasks()["test"][1], "RUNNING")
        m = json.loads(self.ctr("task", "metrics", "--format", "json", "test").stdout)
        self.assertGreater(m["cpu"]["usage"]["total"], 0)
        self.assertGreater(m["memory"]["usage"]["usage"], 0)
        self.assertGreaterEqual(m["pids"]["current"], 1)

    def test_processes(self):
        self.background("sh", "-c", "sleep 1000 & wait")
        pids = [int(line.split()[0]) for line in self.ctr("task", "ps", "test").stdout.splitlines()[1:]]
        self.assertIn(self.tasks()["test"][0], pids)

    def test_checkpoint_leaves_it_running(self):
        """With or without criu: the task runs on afterwards."""
        self.background("sleep", "1000")
        self.ctr("task", "checkpoint", "test", ok=False)
        self.assertEqual(self.tasks()["test"][1], "RUNNING")

    def test_a_second_container_in_the_namespaces_of_the_first(self):
        self.background("sleep", "1000")
        pid = self.tasks()["test"][0]
        r = self.run_ctr("sh", "-c", f"echo joined; {MOMENT}", options=("--rm", "--with-ns", f"network:/proc/{pid}/ns/net", "--with-ns", f"ipc:/proc/{pid}/ns/ipc"),
                         name="second")
        self.assertEqual(r.stdout, "joined\n")

    def test_containerd_is_killed(self):
        self.background("sleep", "1000")
        pid = self.tasks()["test"][0]
        self.stop_daemon(signal.SIGKILL)
        self.start_daemon()
        self.assertEqual(self.tasks()["test"], (pid, "RUNNING"))
        self.assertEqual(self.ctr("task", "exec", "--exec-id", "e1", "test", "sh", "-c", f"echo alive; {MOMENT}").stdout, "alive\n")

    def test_nothing_is_left(self):
        mounts = self.box.run("cat", "/proc/self/mountinfo").stdout.count("\n")
        before = len(self.box.processes())
        self.background("sh", "-c", "sleep 1000 & wait")
        self.sweep()
        box.wait_for("its processes end", lambda: len(self.box.processes()) <= before)
        self.assertEqual(self.box.run("cat", "/proc/self/mountinfo").stdout.count("\n"), mounts)
        self.assertEqual([str(c) for c in box.CGROUPS.glob(f"*/{self.box.cgroup}/test")], [])

    def test_the_runtime_is_registered_for_kubernetes(self):
        if self.isolation == "runc":
            self.skipTest("containerd knows runc by itself")
        cri = tomllib.loads(self.box.run("containerd", "config", "dump").stdout)["plugins"]["io.containerd.grpc.v1.cri"]
        self.assertEqual(cri["containerd"]["runtimes"][self.runtime.name]["options"]["BinaryName"], self.runtime_path)
        self.assertIn("level=info msg=\"loading plugin \\\"io.containerd.grpc.v1.cri\\\"", self.log.read_text())


load_tests = engine.load_tests_of(Containerd)
