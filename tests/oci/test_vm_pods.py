# SPDX-License-Identifier: Apache-2.0
"""Pods under isolation vm: the tests of pods, with one machine for all containers of a pod."""
import os
import pathlib
import signal
import unittest

import moat
import test_pods
import vm

setUpModule, tearDownModule = vm.set_up, vm.tear_down


class VmPods(test_pods.Pods):
    isolation = "vm"
    come_and_go = 8
    timeout = vm.TIMEOUT

    def setUp(self):
        super().setUp()
        self.machines = set()

    def tearDown(self):
        super().tearDown()
        vm.wait_gone(self, self.machines)

    def moat(self, *args, **kw):
        return super().moat(*args, timeout=vm.TIMEOUT, **kw)

    def create(self, name, *args, **kw):
        super().create(name, *args, **kw)
        self.machines |= vm.processes(self.pid(name))

    def sandboxes(self):
        return {p for p in self.machines if "qemu" in os.readlink(f"/proc/{p}/exe")}

    def keeper(self):
        """The process that shares files with the running machine."""
        for p in vm.below(self.pid("pod1")):
            if os.readlink(f"/proc/{p}/exe") == moat.MOAT and int(vm.status(p)["Uid"].split()[0]) == 0:
                return p
        raise AssertionError("no keeper")

    def test_the_keeper_holds_nothing(self):
        self.sandbox()
        p = self.keeper()
        s = vm.status(p)
        self.assertEqual(int(s["CapEff"], 16), 1 << 21)  # CAP_SYS_ADMIN
        self.assertEqual(int(s["CapBnd"], 16), 0)
        self.assertEqual((s["NoNewPrivs"], s["Seccomp"]), ("1", "2"))
        self.assertEqual(os.listdir(f"/proc/{p}/root"), ["share"])
        mounts = pathlib.Path(f"/proc/{p}/mounts").read_text().splitlines()
        self.assertEqual([line.split()[1] for line in mounts], ["/", "/share"])
        # What it shows is mounted there while the container lives, with nothing that could act on the host.
        self.create("a", "sleep", "1000", mounts=[{"destination": "/v", "source": self.dir, "options": ["rbind", "ro"]}])
        lines = pathlib.Path(f"/proc/{p}/mountinfo").read_text().splitlines()
        shown = {line.split()[4]: line.split()[5].split(",") for line in lines if line.split()[4].startswith("/share/")}
        self.assertEqual(len(shown), 2)
        for options in shown.values():
            self.assertLessEqual({"nosuid", "nodev", "noexec"}, set(options))
        self.assertIn("ro", shown[max(shown, key=lambda name: int(name.rpartition("/")[2]))])
        self.moat("delete", "--force", "a")
        self.made.remove("a")
        self.exec("pod1", "true")  # behind the news of the end
        mounts = pathlib.Path(f"/proc/{p}/mounts").read_text().splitlines()
        self.assertEqual([line.split()[1] for line in mounts], ["/", "/share"])

    def test_a_killed_keeper_ends_joining_and_nothing_else(self):
        self.sandbox()
        self.create("a", "sleep", "1000")
        os.kill(self.keeper(), signal.SIGKILL)
        self.exec("a", "true")
        with self.assertRaisesRegex(AssertionError, "files"):
            self.create("b", "true")
        self.exec("a", "true")


if __name__ == "__main__":
    unittest.main()
