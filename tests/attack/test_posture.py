# SPDX-License-Identifier: Apache-2.0
"""The posture of a running sandbox, read from the host's /proc: what each of its processes holds and may do."""
import json
import os
import pathlib
import shutil
import subprocess
import unittest

import moat


def status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {k: v.strip() for k, v in (line.split(":", 1) for line in text.splitlines() if ":" in line)}


def children(pid):
    found = []
    for p in pathlib.Path("/proc").iterdir():
        if p.name.isdigit():
            try:
                if int(status(p.name)["PPid"]) == pid:
                    found.append(int(p.name))
            except (OSError, KeyError):
                continue
    return found


class Posture(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.start()
        named = {}
        for pid in children(cls.monitor):
            named.setdefault(pathlib.Path(os.readlink(f"/proc/{pid}/exe")).name.split(" ")[0], []).append(pid)
        cls.sentry = named["moat-sentry"][0]
        cls.gofer = named["moat-gofer"][0]
        cls.stubs = children(cls.sentry)

    @classmethod
    def start(cls):
        cls.process = subprocess.Popen([moat.MOAT, "do", "--rootfs", moat.rootfs(), "--", "sh", "-c", "echo up; sleep 1000; :"],
                                       stdout=subprocess.PIPE, text=True)
        assert cls.process.stdout.readline() == "up\n"
        cls.monitor = cls.process.pid

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        cls.process.kill()
        cls.process.wait()
        cls.process.stdout.close()

    def all(self):
        return [("sentry", self.sentry), ("gofer", self.gofer)] + [("stub", p) for p in self.stubs]

    def test_there_are_stubs(self):
        self.assertGreaterEqual(len(self.stubs), 2)

    def test_seccomp_filters_every_thread(self):
        for name, pid in self.all():
            for task in os.listdir(f"/proc/{pid}/task"):
                text = pathlib.Path(f"/proc/{pid}/task/{task}/status").read_text()
                self.assertIn("Seccomp:\t2", text, name)

    def test_no_new_privs(self):
        for name, pid in self.all():
            self.assertEqual(status(pid)["NoNewPrivs"], "1", name)

    def test_capabilities(self):
        for name, pid in self.all():
            s = status(pid)
            if name != "gofer":
                for which in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                    self.assertEqual(int(s[which], 16), 0, f"{name} {which}")
            else:
                # chown, dac_override, dac_read_search, fowner, fsetid at most
                self.assertEqual(int(s["CapPrm"], 16) & ~0x1f, 0, "gofer CapPrm")

    def test_sentry_identity_and_namespaces(self):
        self.assertNotIn("0", status(self.sentry)["Uid"].split())
        for ns in ("user", "pid", "mnt", "ipc", "uts", "net"):
            mine, theirs = os.readlink(f"/proc/self/ns/{ns}"), os.readlink(f"/proc/{self.sentry}/ns/{ns}")
            self.assertNotEqual(mine, theirs, ns)
        self.assertEqual(status(self.sentry)["NSpid"].split()[-1], "1")

    def test_empty_root(self):
        for name, pid in self.all():
            self.assertEqual(os.listdir(f"/proc/{pid}/root"), [], name)

    def test_sentry_holds_no_host_directory(self):
        for fd in os.listdir(f"/proc/{self.sentry}/fd"):
            path = f"/proc/{self.sentry}/fd/{fd}"
            self.assertFalse(os.path.isdir(path) and os.listdir(path), os.readlink(path))

    def test_stub_mappings_hold_no_host_program(self):
        for pid in self.stubs:
            for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
                self.assertNotIn("moat-sentry", line.split(maxsplit=5)[-1].split("/")[-1] if "rw" in line else "", line)


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class PosturePod(Posture):
    """The same of a pod: a sandbox, two containers that joined it with volumes, and an exec."""

    @classmethod
    def start(cls):
        cls.dir = moat.folder("posture")
        os.mkdir(cls.dir + "/volume")
        cls.made = []
        cls.create("pod", "sandbox")
        cls.create("a", "container")
        cls.create("b", "container")
        cls.monitor = int(pathlib.Path(cls.dir, "pod.pid").read_text())
        done = cls.moat("exec", "--detach", "--pid-file", cls.dir + "/exec.pid", "a", "sleep", "1001")
        assert done.returncode == 0, done.stderr

    @classmethod
    def moat(cls, *args):
        return subprocess.run([moat.MOAT, "--root", cls.dir + "/state", *args], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE if "exec" not in args else subprocess.DEVNULL,
                              text=True, timeout=60)

    @classmethod
    def create(cls, name, kind):
        bundle = f"{cls.dir}/{name}"
        os.mkdir(bundle)
        assert cls.moat("spec", "--bundle", bundle).returncode == 0
        path = pathlib.Path(bundle, "config.json")
        config = json.loads(path.read_text())
        config["root"]["path"] = moat.rootfs()
        config["process"].update({"args": ["sleep", "1000"], "terminal": False})
        config["mounts"].append({"destination": "/v", "source": cls.dir + "/volume", "options": ["rbind", "rw"]})
        config["annotations"] = {"io.kubernetes.cri.container-type": kind, "io.kubernetes.cri.sandbox-id": "pod"}
        path.write_text(json.dumps(config))
        with open(f"{cls.dir}/{name}.out", "wb") as out:
            subprocess.run([moat.MOAT, "--root", cls.dir + "/state", "create", "--bundle", bundle, "--pid-file",
                            f"{cls.dir}/{name}.pid", name], stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60, check=True)
        cls.made.append(name)
        assert cls.moat("start", name).returncode == 0

    @classmethod
    def tearDownClass(cls):
        for name in reversed(cls.made):
            cls.moat("delete", "--force", name)
        shutil.rmtree(cls.dir)

    def test_monitors_are_alone(self):
        """The monitors of containers that joined, and of the exec, have no children and hold nothing of the host's files but
        their state folder."""
        for name in ("a", "b", "exec"):
            pid = int(pathlib.Path(self.dir, name + ".pid").read_text())
            self.assertEqual(children(pid), [])
            for fd in os.listdir(f"/proc/{pid}/fd"):
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
                self.assertFalse(target.startswith(moat.rootfs()) or target.startswith(self.dir + "/volume"), target)


if __name__ == "__main__":
    unittest.main()
