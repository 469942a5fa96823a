# SPDX-License-Identifier: Apache-2.0
"""Pods: containers that carry the annotations of CRI or CRI-O join the sandbox of their pod (of vm: test_vm_pods.py)."""
import json
import os
import pathlib
import select
import shutil
import subprocess
import unittest

import moat

TYPE = "io.kubernetes.cri.container-type"
SANDBOX = "io.kubernetes.cri.sandbox-id"


class Pods(unittest.TestCase):
    type_key, sandbox_key = TYPE, SANDBOX
    isolation = "sentry"
    come_and_go = 30
    timeout = 60

    def setUp(self):
        self.before = moat.left_behind()
        self.dir = moat.folder("pod")
        self.state = self.dir + "/state"
        self.made = []

    def tearDown(self):
        for name in reversed(self.made):
            moat.run(["--root", self.state, "delete", "--force", name])
        shutil.rmtree(self.dir)
        self.assertEqual(moat.left_behind() - self.before, set())

    def sandboxes(self):
        """Processes of which each sandbox has one."""
        return {x for x in moat.left_behind() - self.before if x.endswith("moat-gofer")}

    def moat(self, *args, ok=True, **kw):
        r = moat.run(["--root", self.state, *args], **kw)
        if ok:
            self.assertEqual(r.returncode, 0, f"{args}: {r.stderr}")
        return r

    def create(self, name, *args, kind="container", pod="pod1", share=(), mounts=(), start=True, **top):
        bundle = f"{self.dir}/{name}"
        os.makedirs(bundle)
        self.moat("spec", "--bundle", bundle)
        path = pathlib.Path(bundle, "config.json")
        config = json.loads(path.read_text())
        config["root"]["path"] = moat.rootfs()
        config["process"].update({"args": list(args), "terminal": False})
        config["annotations"] = {self.type_key: kind, self.sandbox_key: pod}
        config["mounts"] += list(mounts)
        config.update(top)
        for ns in config["linux"]["namespaces"]:
            if ns["type"] in share:
                ns["path"] = f"/proc/{self.pid(pod)}/ns/{ns['type'].replace('network', 'net')}"
        if any(ns["type"] == "uts" and "path" in ns for ns in config["linux"]["namespaces"]):
            config.pop("hostname", None)
        # The default is named after the id alone, which another run of these tests uses too.
        config["linux"].setdefault("cgroupsPath", f"/moat/{os.path.basename(self.dir)}-{name}")
        path.write_text(json.dumps(config))
        with open(f"{self.dir}/{name}.out", "wb") as out:
            r = subprocess.run([moat.MOAT, "--root", self.state, "create", "--isolation", self.isolation, "--bundle", bundle,
                                "--pid-file", f"{self.dir}/{name}.pid", name], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                               timeout=self.timeout)
        self.assertEqual(r.returncode, 0, self.output(name))
        self.made.append(name)
        if start:
            self.moat("start", name)

    def sandbox(self, name="pod1"):
        self.create(name, "sleep", "1000", kind="sandbox", pod=name, hostname="the-pod")

    def output(self, name):
        return pathlib.Path(f"{self.dir}/{name}.out").read_text()

    def pid(self, name):
        return int(pathlib.Path(f"{self.dir}/{name}.pid").read_text())

    def wait_end(self, name):
        return self.moat("wait", name, ok=False).returncode

    def exec(self, name, *args, ok=True):
        return self.moat("exec", name, *args, ok=ok).stdout

    def status(self, name):
        return json.loads(self.moat("state", name).stdout)["status"]

    def test_one_sandbox(self):
        self.sandbox()
        self.assertEqual(len(self.sandboxes()), 1)
        self.create("a", "sh", "-c", "echo I am a; exec sleep 1000", share=["uts", "ipc", "network"])
        self.create("b", "sh", "-c", "echo I am b; exec sleep 1000", hostname="own-name")
        self.assertEqual(len(self.sandboxes()), 1)
        self.assertEqual(self.exec("a", "hostname"), "the-pod\n")
        self.assertEqual(self.exec("b", "hostname"), "own-name\n")
        # Each has processes of its own: the program is pid 1, and there is no other.
        for name in "ab":
            self.assertIn("sleep 1000", self.moat("ps", name).stdout)
            self.assertEqual(self.exec(name, "cat", "/proc/1/comm"), "sleep\n")
            self.assertEqual(self.output(name).splitlines()[-1], f"I am {name}")  # behind warnings
        pids = {self.pid(n) for n in ("pod1", "a", "b")}
        self.assertEqual(len(pids), 3)
        for p in pids:
            os.kill(p, 0)

    def test_roots_and_volumes_are_apart(self):
        for name in ("one", "two"):
            os.mkdir(f"{self.dir}/{name}")
            pathlib.Path(f"{self.dir}/{name}/who").write_text(name)
        conf = pathlib.Path(self.dir, "conf")
        conf.write_text("a file\n")
        bind = [{"destination": "/v", "source": f"{self.dir}/one", "options": ["rbind", "rw"]},
                {"destination": "/etc/conf", "source": str(conf), "options": ["bind", "ro"]}]
        self.sandbox()
        self.create("a", "sleep", "1000", mounts=bind)
        self.create("b", "sleep", "1000",
                    mounts=[{"destination": "/v", "source": f"{self.dir}/two", "options": ["rbind", "ro"]}])
        self.assertEqual(self.exec("a", "cat", "/v/who", "/etc/conf"), "onea file\n")
        self.assertEqual(self.exec("b", "cat", "/v/who"), "two")
        self.exec("a", "sh", "-c", "echo written >/v/new")
        self.assertEqual(pathlib.Path(self.dir, "one/new").read_text(), "written\n")
        self.assertNotEqual(self.moat("exec", "b", "touch", "/v/new", ok=False).returncode, 0)
        self.assertNotEqual(self.moat("exec", "a", "sh", "-c", "echo x >/etc/conf", ok=False).returncode, 0)
        self.assertNotEqual(self.moat("exec", "b", "ls", "/etc/conf", ok=False).returncode, 0)

    def test_end_of_one_leaves_the_others(self):
        self.sandbox()
        self.create("a", "sh", "-c", "sleep 1000 & wait", share=["pid"])
        self.create("b", "sleep", "1000")
        self.moat("kill", "a", "KILL")
        self.assertEqual(self.wait_end("a"), 137)
        self.assertEqual(self.status("a"), "stopped")
        self.moat("delete", "a")
        self.made.remove("a")
        self.assertEqual(self.status("b"), "running")
        self.exec("b", "true")
        self.exec("pod1", "true")
        # The pod's own processes are there still, and none of the container's that is gone.
        self.assertNotIn("sh -c", self.exec("pod1", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").replace(
            "sh -c cat", ""))
        # Its name and its exports are free again.
        shutil.rmtree(f"{self.dir}/a")
        self.create("a", "sh", "-c", "exit 7")
        self.assertEqual(self.wait_end("a"), 7)

    def test_many_come_and_go(self):
        self.sandbox()
        for i in range(self.come_and_go):
            name = f"c{i}"
            self.create(name, "sh", "-c", f"cat /v/who; exit {i}",
                        mounts=[{"destination": "/v", "source": self.dir, "options": ["rbind", "ro"]}], start=False)
            pathlib.Path(self.dir, "who").write_text(name)
            self.moat("start", name)
            self.assertEqual(self.wait_end(name), i)
            self.assertEqual(self.output(name), name)
            self.moat("delete", name)
            self.made.remove(name)

    def test_end_of_the_sandbox_ends_all(self):
        self.sandbox()
        self.create("a", "sleep", "1000")
        self.create("b", "sleep", "1000", share=["pid"])
        self.moat("kill", "pod1", "KILL")
        for name in ("pod1", "a", "b"):
            self.assertEqual(self.wait_end(name), 137)
            self.assertEqual(self.status(name), "stopped")
        self.assertEqual(self.moat("kill", "a", ok=False).returncode, 1)

    def test_monitor_that_is_killed_takes_its_container(self):
        self.sandbox()
        self.create("a", "sleep", "1000", share=["pid"])
        self.assertIn("sleep", self.exec("pod1", "cat", "/proc/2/cmdline"))
        pidfd = os.pidfd_open(self.pid("a"))
        os.kill(self.pid("a"), 9)
        select.select([pidfd], [], [], 10)
        os.close(pidfd)
        self.assertEqual(self.status("a"), "stopped")
        # The Sentry learns of it by the end of the connection; exec comes behind that.
        self.moat("delete", "a")
        self.made.remove("a")
        self.assertNotEqual(self.moat("exec", "pod1", "cat", "/proc/2/cmdline", ok=False).returncode, 0)

    def test_shared_pids(self):
        self.sandbox()
        self.create("a", "sleep", "1001", share=["pid"])
        self.create("b", "sleep", "1002", share=["pid"])
        self.assertNotEqual(self.exec("a", "sh", "-c", "echo $$"), "1\n")
        self.assertIn("1000", self.exec("a", "cat", "/proc/1/cmdline"))
        # ps tells a container's own.
        self.assertIn("sleep 1001", self.moat("ps", "a").stdout)
        self.assertNotIn("sleep 1002", self.moat("ps", "a").stdout)
        self.moat("kill", "--all", "a", "KILL")
        self.assertEqual(self.wait_end("a"), 137)
        self.assertEqual(self.status("b"), "running")
        self.assertEqual(self.status("pod1"), "running")

    def test_shared_ipc(self):
        self.sandbox()
        self.create("a", "sleep", "1000", share=["ipc"])
        self.create("b", "sleep", "1000", share=["ipc"])
        self.create("c", "sleep", "1000")
        script = "import ctypes; l=ctypes.CDLL(None); print(l.msgget(0x4d4f, {}))"
        made = self.exec("a", "python3", "-c", script.format("0o1666"))
        self.assertEqual(self.exec("b", "python3", "-c", script.format("0")), made)
        self.assertEqual(self.exec("c", "python3", "-c", script.format("0")), "-1\n")

    def test_pause_of_one(self):
        tick = "i=0; while :; do i=$((i+1)); echo $i >/v/{}; sleep 0.02; done"
        mounts = [{"destination": "/v", "source": self.dir, "options": ["rbind", "rw"]}]
        self.sandbox()
        self.create("a", "sh", "-c", tick.format("ta"), mounts=mounts)
        self.create("b", "sh", "-c", tick.format("tb"), mounts=mounts)
        self.moat("pause", "a")
        self.assertEqual(self.status("a"), "paused")
        self.assertEqual(self.status("b"), "running")
        before = pathlib.Path(self.dir, "ta").read_text()
        self.advance("tb")
        self.assertEqual(pathlib.Path(self.dir, "ta").read_text(), before)
        self.moat("resume", "a")
        self.advance("ta")

    def advance(self, name):
        """Waits until the counter in a file has gone on."""
        path = pathlib.Path(self.dir, name)
        seen = set()
        while len(seen) < 4:
            text = path.read_text() if path.exists() else ""
            if text.endswith("\n"):
                seen.add(text)
            select.select([], [], [], 0.005)


class PodsOfPodman(Pods):
    """The first container says nothing but that it is Podman's; the others name it."""
    type_key, sandbox_key = "io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"

    def sandbox(self, name="pod1"):
        self.create(name, "sleep", "1000", hostname="the-pod", first=True)

    def create(self, name, *args, share=(), first=False, **kw):
        if first:
            kw["annotations"] = {"io.container.manager": "libpod"}
        super().create(name, *args, share=share if first else [*share, "network"], **kw)


class PodsOfCrio(Pods):
    type_key, sandbox_key = "io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"

    def sandbox(self, name="pod1"):
        # As Podman does it: the pod's id is no container's.
        self.create(name, "sleep", "1000", kind="container", pod=name, hostname="the-pod", first=True)

    def create(self, name, *args, share=(), first=False, **kw):
        # A pod's containers share the network of its first.
        super().create(name, *args, share=share if first else [*share, "network"], **kw)

    def test_independent_containers(self):
        """Without anything shared (Podman's --infra=false) the end of the first is not the end of the others."""
        super().create("one", "sleep", "1000", pod="p")
        super().create("two", "sleep", "1000", pod="p")
        self.moat("kill", "one", "KILL")
        self.assertEqual(self.wait_end("one"), 137)
        self.assertEqual(self.status("two"), "running")
        self.exec("two", "true")


if __name__ == "__main__":
    unittest.main()
