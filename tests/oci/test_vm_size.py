# SPDX-License-Identifier: Apache-2.0
"""The size of a virtual machine, and what update gives a running one."""
import subprocess
import unittest

import moat
import vm
from bundle import BundleTest

setUpModule, tearDownModule = vm.set_up, vm.tear_down


class Size(BundleTest):
    isolation = "vm"

    def make(self, name, annotations, *, ok=True):
        def change(config):
            config["annotations"] = annotations
            config["linux"]["resources"] = {"memory": {"limit": 200 << 20}, "cpu": {"quota": 50000, "period": 100000}}
        self.config("sleep", "1000", change=change)
        with open(self.dir + "/out", "wb") as out:
            r = subprocess.run([moat.MOAT, "--root", self.state, "create", "--isolation", "vm", "--bundle", self.bundle, name],
                               stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=vm.TIMEOUT)
        self.assertEqual(r.returncode == 0, ok, self.output())

    def inside(self, name, script):
        r = self.moat("exec", name, "sh", "-c", script, timeout=vm.TIMEOUT)
        return r.stdout.split()

    def test_update_within_the_room_that_was_asked_for(self):
        name = self.name()
        self.make(name, {"dev.moat.vm.max-memory": "400m"})
        self.moat("start", name)
        look = "sed -n 's/MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max"
        total, limit, quota, period = self.inside(name, look)
        self.assertTrue(400 << 10 <= int(total) <= 420 << 10, total)
        self.assertEqual((int(limit), quota, period), (200 << 20, "50000", "100000"))

        self.moat("update", "--memory", "350m", "--cpu-quota", "80000", name)
        self.assertEqual(self.inside(name, look)[1:], [str(350 << 20), "80000", "100000"])

        r = self.moat("update", "--memory", "500m", name, ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertRegex(r.stderr, r"has 400 MB.*dev\.moat\.vm\.max-memory")
        r = self.moat("update", "--cpu-quota", "800000", name, ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertRegex(r.stderr, r"has 1 processors.*dev\.moat\.vm\.max-cpus")
        self.assertEqual(self.inside(name, look)[1:], [str(350 << 20), "80000", "100000"])
        self.moat("delete", "--force", name)

    def test_wrong_annotations(self):
        """None of them gets into the hypervisor's arguments, or makes a machine."""
        for key, value in (("memory", "1g,share=off"), ("memory", "-1"), ("memory", "0"), ("memory", "99999999999g"), ("memory", ""),
                           ("memory", "1t"), ("cpus", "2,maxcpus=9"), ("cpus", "1k"), ("cpus", "0x2"), ("cpus", " 2")):
            self.make(self.name(), {f"dev.moat.vm.max-{key}": value}, ok=False)
            self.assertIn(f"dev.moat.vm.max-{key}", self.output(), value)


if __name__ == "__main__":
    unittest.main()
