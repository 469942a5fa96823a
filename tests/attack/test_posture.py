# SPDX-License-Identifier: Apache-2.0
"""The posture of a running sandbox, read from the host's /proc: what each of its processes holds and may do."""
import os
import pathlib
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
        cls.process = subprocess.Popen([moat.MOAT, "do", "--rootfs", moat.rootfs(), "--", "sh", "-c", "echo up; sleep 1000; :"],
                                       stdout=subprocess.PIPE, text=True)
        assert cls.process.stdout.readline() == "up\n"
        named = {}
        for pid in children(cls.process.pid):
            named.setdefault(pathlib.Path(os.readlink(f"/proc/{pid}/exe")).name.split(" ")[0], []).append(pid)
        cls.sentry = named["moat-sentry"][0]
        cls.gofer = named["moat-gofer"][0]
        cls.stubs = children(cls.sentry)

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


if __name__ == "__main__":
    unittest.main()
