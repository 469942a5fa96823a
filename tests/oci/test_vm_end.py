# SPDX-License-Identifier: Apache-2.0
"""Isolation vm when something of it dies or hangs: clear errors in bounded time, and nothing is left."""
import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

import moat
import test_power_cut
import vm
from bundle import BundleTest

setUpModule, tearDownModule = vm.set_up, vm.tear_down


class VmTest(BundleTest):
    isolation = "vm"
    timeout = vm.TIMEOUT

    def setUp(self):
        super().setUp()
        self.machine = set()

    def tearDown(self):
        super().tearDown()
        vm.wait_gone(self, self.machine)

    def create(self, name, *options, conf="", **kw):
        if conf:
            args = [moat.MOAT, "--root", self.state, "create", "--isolation", "vm", "--bundle", self.bundle, "--pid-file", self.dir + "/pid", name]
            r = vm.with_conf(conf, "sh", "-c", f'exec "$@" >{self.dir}/out 2>&1', "sh", *args)
            self.assertEqual(r.returncode, 0, self.output())
        else:
            r = super().create(name, *options, **kw)
        if r.returncode == 0:
            self.machine |= vm.processes(self.pid())
        return r

    def part(self, program):
        """The process of the machine that runs `program`."""
        for p in vm.below(self.pid()):
            exe = os.readlink(f"/proc/{p}/exe")
            if (exe == moat.MOAT if program == "bridge" else program in exe):
                return p
        raise AssertionError(f"no {program}")

    def wait_stopped(self, name):
        self.assertEqual(self.moat("wait", name, ok=False, timeout=vm.TIMEOUT).returncode, 137)
        self.assertEqual(self.status(name), "stopped")


class Dies(VmTest):
    def dies(self, kill):
        name = self.name()
        self.config("sleep", "1000")
        self.create(name)
        self.moat("start", name)
        kill()
        self.wait_stopped(name)
        r = self.moat("exec", name, "true", ok=False)
        self.assertIn("not running", r.stderr)
        self.moat("delete", name)

    def test_hypervisor(self):
        self.dies(lambda: os.kill(self.part("qemu-system"), signal.SIGKILL))

    def test_bridge(self):
        self.dies(lambda: os.kill(self.part("bridge"), signal.SIGKILL))

    def test_file_server(self):
        """virtiofsd: QEMU ends when the other end of vhost-user does, or the guest hangs on its files; both have an end."""
        name = self.name()
        self.config("sleep", "1000")
        self.create(name)
        self.moat("start", name)
        os.kill(self.part("virtiofsd"), signal.SIGKILL)
        self.moat("delete", "--force", name, timeout=vm.TIMEOUT)

    def test_monitor(self):
        name = self.name()
        self.config("sleep", "1000")
        self.create(name)
        self.moat("start", name)
        os.kill(self.pid(), signal.SIGKILL)
        vm.wait_gone(self, self.machine)
        self.assertEqual(self.status(name), "stopped")
        self.moat("delete", name)

    def test_guest_kernel(self):
        """A container that may do anything in its guest lets the kernel panic."""
        def all_rights(config):
            for which in ("bounding", "effective", "permitted"):
                config["process"]["capabilities"][which] = ["CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_DAC_OVERRIDE"]
            config["linux"].update(maskedPaths=[], readonlyPaths=[])
        name = self.name()
        self.config("sh", "-c", "echo c >/proc/sysrq-trigger; echo not reached", change=all_rights)
        self.create(name)
        self.moat("start", name)
        self.wait_stopped(name)
        self.assertEqual(self.output(), "")
        self.moat("delete", name)


class Hangs(VmTest):
    def test_a_stopped_hypervisor(self):
        """As a guest that hangs: whoever asks something is told after a while, and force still works."""
        name = self.name()
        self.config("sleep", "1000")
        self.create(name, conf="vm.answer-timeout = 1\n")
        self.moat("start", name)
        os.kill(self.part("qemu-system"), signal.SIGSTOP)
        for command, what in ((("kill", name, "TERM"), "to send a signal"), (("ps", name), "for its processes"),
                              (("exec", name, "true"), "to run a program")):
            r = self.moat(*command, ok=False)
            self.assertNotEqual(r.returncode, 0)
            self.assertIn(f"the virtual machine was asked {what} and did not answer within 1 s", r.stderr)
        self.assertEqual(self.status(name), "running")
        self.moat("delete", "--force", name)

    def test_it_goes_on_after_a_late_answer(self):
        name = self.name()
        self.config("sleep", "1000")
        self.create(name, conf="vm.answer-timeout = 1\n")
        self.moat("start", name)
        hypervisor = self.part("qemu-system")
        os.kill(hypervisor, signal.SIGSTOP)
        self.assertIn("did not answer", self.moat("ps", name, ok=False).stderr)
        os.kill(hypervisor, signal.SIGCONT)
        end = time.monotonic() + vm.TIMEOUT  # a busy host may need several tries within a second each
        while self.moat("ps", name, ok=False).returncode and time.monotonic() < end:
            pass
        self.assertIn("sleep 1000", self.moat("ps", name).stdout)
        self.moat("delete", "--force", name)

    def test_a_kernel_without_an_agent(self):
        """What does not come up is given up, with the name of what was waited for."""
        busybox = shutil.which("busybox")
        if busybox is None:
            self.skipTest("busybox is not installed")
        guest = pathlib.Path(self.dir, "guest/current")
        guest.mkdir(parents=True)
        os.link(pathlib.Path(os.environ["MOAT_GUEST"], "current/kernel"), guest / "kernel")
        (guest / "initramfs").write_bytes(cpio({"init": pathlib.Path(busybox).read_bytes()}))
        r = vm.with_conf("vm.start-timeout = 2\n", moat.MOAT, "do", "--isolation", "vm", "--rootfs", moat.rootfs(), "--", "true",
                         env={**os.environ, "MOAT_GUEST": str(guest.parent)})
        self.assertEqual(r.returncode, 1)
        self.assertIn("agent did not speak within 2 s", r.stderr)
        self.assertIn("vm.start-timeout", r.stderr)


def cpio(files):
    """An initramfs of executable files, in cpio's "newc" format."""
    out = b""
    for name, data in [*files.items(), ("TRAILER!!!", b"")]:
        fields = (1, 0o100755, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % f for f in fields) + name.encode() + b"\0"
        out += head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)
    return out


class Cut(test_power_cut.Cut, VmTest):
    """The command is killed; each try is a machine, so there are few."""
    test_in_hooks = test_process_and_monitor_killed = None

    def points(self, calls, count=2):
        return super().points(calls, count)[:count]


if __name__ == "__main__":
    unittest.main()
