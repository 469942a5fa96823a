# SPDX-License-Identifier: Apache-2.0
"""The OCI commands over isolation vm: one life in one machine, as starting an emulated one takes seconds."""
import json
import subprocess
import unittest

import moat
import vm
from bundle import BundleTest

setUpModule, tearDownModule = vm.set_up, vm.tear_down


class Life(BundleTest):
    isolation = "vm"

    def exec(self, name, *cmd, **kw):
        return self.moat("exec", name, *cmd, ok=False, timeout=vm.TIMEOUT, **kw)

    def limit(self, config):
        config["linux"]["resources"] = {"pids": {"limit": 20}}
        config["linux"]["maskedPaths"] = ["/proc/kcore", "/proc/acpi"]
        config["linux"]["readonlyPaths"] = ["/proc/sys"]
        config["linux"]["sysctl"] = {"kernel.msgmax": "4321"}
        config["hostname"] = "castle"

    def test_life(self):
        name = self.name()
        self.config("sh", "-c", "trap 'echo told; exit 6' TERM; echo started; while :; do sleep 0.1; done", change=self.limit)
        with open(self.dir + "/out", "wb") as out:
            r = subprocess.run([moat.MOAT, "--root", self.state, "create", "--isolation", "vm", "--bundle", self.bundle, name],
                               stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=vm.TIMEOUT)
        self.assertEqual(r.returncode, 0, self.output())
        self.assertEqual(self.status(name), "created")
        self.assertEqual(self.output(), "")
        self.moat("start", name)
        self.assertEqual(self.status(name), "running")

        r = self.exec(name, "sh", "-c", "uname -r; hostname; cat /proc/sys/kernel/msgmax; wc -c </proc/kcore; cat; exit 9", stdin=None,
                      input="input")
        self.assertEqual((r.returncode, r.stdout), (9, vm.modules().name + "\ncastle\n4321\n0\ninput"), r.stderr)
        r = self.exec(name, "sh", "-c", "echo 1 >/proc/sys/kernel/msgmax; echo x >/etc/x")
        self.assertEqual(r.stderr.count("Read-only file system"), 2, r.stderr)
        r = self.exec(name, "no-such-program")
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("no-such-program", r.stderr)
        r = self.exec(name, "sh", "-c", "for i in $(seq 40); do sleep 100 >/dev/null 2>&1 & done")  # pids.limit
        self.assertIn("fork", r.stderr)

        self.assertRegex(self.moat("ps", name).stdout, r"(?m)^0 +1 +0 +sh -c trap")
        stats = json.loads(self.moat("events", "--stats", name).stdout)
        self.assertEqual(stats["data"]["pids"]["limit"], 20)
        self.moat("pause", name)
        self.assertEqual(self.status(name), "paused")
        self.moat("resume", name)

        self.moat("kill", name, "TERM")
        self.assertEqual(self.moat("wait", name, ok=False, timeout=vm.TIMEOUT).returncode, 6)
        self.assertEqual(self.output(), "started\ntold\n")
        self.assertEqual(self.status(name), "stopped")
        r = self.exec(name, "true")
        self.assertIn("not running", r.stderr)
        self.moat("delete", name)

    def test_what_it_cannot_do_is_refused(self):
        def hook(config):
            config["hooks"] = {"startContainer": [{"path": "/bin/true"}]}
        self.config("true", change=hook)
        r = self.create(self.name(), ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("startContainer", self.output())


if __name__ == "__main__":
    unittest.main()
