# SPDX-License-Identifier: Apache-2.0
"""The memory of a virtual machine: what is not used goes back to the host, and no limit of the host's /dev/shm counts."""
import os
import subprocess
import tempfile
import time
import unittest

import moat
import vm

MIB = 1 << 20
CONF = {"boot": "vm.template = off\n", "template": "vm.template = on\n"}


def setUpModule():
    vm.set_up()


def tearDownModule():
    vm.tear_down()


def resident(pid):
    """Bytes of the machine's memory that its hypervisor has mapped: pages of the shared file are there once, whoever touched them."""
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


class Memory(unittest.TestCase):
    def setUp(self):
        self.before = moat.left_behind()

    def tearDown(self):
        self.assertEqual(moat.left_behind() - self.before, set())

    def start(self, how, script):
        """A machine that finds a /dev/shm of 1 MB and a moat.conf of its own on the host."""
        d = tempfile.TemporaryDirectory(prefix="moat-conf-")
        self.addCleanup(d.cleanup)
        os.makedirs(d.name + "/upper/moat")
        os.mkdir(d.name + "/work")
        with open(d.name + "/upper/moat/moat.conf", "w") as f:
            f.write(CONF[how])
        prepare = (f"mount -t overlay -o lowerdir=/etc,upperdir={d.name}/upper,workdir={d.name}/work none /etc && "
                   "mount -t tmpfs -o size=1m none /dev/shm && exec \"$@\"")
        p = subprocess.Popen(["unshare", "--mount", "sh", "-c", prepare, "sh", moat.MOAT, "do", "--isolation", "vm", "-m", "500m",
                              "--rootfs", moat.rootfs("small"), "--", "sh", "-c", script],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end, p)
        return p

    def end(self, p):
        p.stdin.close()
        p.wait(vm.TIMEOUT)
        p.stdout.close()

    def check(self, how):
        p = self.start(how, "dd if=/dev/zero of=/fill bs=1M count=300 2>&1 | tail -n 1 | cut -c1-9; read go; rm /fill; echo gone; read go")
        self.assertEqual(p.stdout.readline(), "314572800\n")
        hypervisor = next(q for q in vm.processes(p.pid) if "qemu" in os.readlink(f"/proc/{q}/exe"))
        full = resident(hypervisor)
        self.assertGreater(full, 350 * MIB)
        p.stdin.write("\n")
        p.stdin.flush()
        self.assertEqual(p.stdout.readline(), "gone\n")
        end = time.monotonic() + vm.TIMEOUT
        while resident(hypervisor) > full - 250 * MIB:
            self.assertLess(time.monotonic(), end, f"{full} before, {resident(hypervisor)} after")
            time.sleep(0.05)
        p.stdin.write("\n")
        self.end(p)
        self.assertEqual(p.returncode, 0)

    def test_translated_code_is_bounded(self):
        """Code that an emulating hypervisor has translated is memory of the host, and each program brings some."""
        p = self.start("boot", "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do perl -MPOSIX -e 1 || exit 1; done; echo ran; read go")
        self.assertEqual(p.stdout.readline(), "ran\n")
        hypervisor = next(q for q in vm.processes(p.pid) if "qemu" in os.readlink(f"/proc/{q}/exe"))
        self.assertLess(int(vm.status(hypervisor)["RssAnon"].split()[0]) << 10, 160 * MIB)
        p.stdin.write("\n")
        self.end(p)
        self.assertEqual(p.returncode, 0)

    def test_free_memory_goes_back(self):
        self.check("boot")

    def test_free_memory_goes_back_from_a_restored_machine(self):
        self.check("template")


if __name__ == "__main__":
    unittest.main()
