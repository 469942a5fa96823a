# SPDX-License-Identifier: Apache-2.0
"""Machines that start from a template: a booted guest, saved once."""
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

import moat
import vm

PLACE = None
ON = "vm.template = on\n"


def setUpModule():
    global PLACE
    vm.set_up()
    made = moat.run(["guest", "--memory", "256m", "template"], timeout=vm.TIMEOUT)
    assert made.returncode == 0, made.stderr
    PLACE = pathlib.Path(made.stdout.strip())


def tearDownModule():
    vm.tear_down()


def command(*cmd, options=()):
    return [moat.MOAT, "do", "--isolation", "vm", "--rootfs", moat.rootfs("small"), "-m", "256m", *options, "--", *cmd]


def do(*cmd, options=(), conf=ON):
    return vm.with_conf(conf, *command(*cmd, options=options))


class Template(unittest.TestCase):
    def setUp(self):
        self.before = moat.left_behind()
        self.assertTrue(PLACE.is_dir(), PLACE)

    def tearDown(self):
        self.assertEqual(moat.left_behind() - self.before, set())

    def test_what_a_program_sees(self):
        """The same as in a machine that has booted; only the PCI bus tells which of the two it is."""
        with tempfile.TemporaryDirectory() as d:
            script = ("ls /sys/bus/pci/devices | wc -l; date +%s; hostname; sed -n 's/MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo; "
                      "cut -d' ' -f3 /proc/mounts | head -n 1; cat; echo inside >/v/out; exit 7")
            began = time.time()
            r = vm.with_conf(ON, "sh", "-c", 'printf "%s" input | "$@"', "sh", *command(
                "sh", "-c", script, options=["--hostname", "castle", "-v", f"{d}:/v"]))
            self.assertEqual(r.returncode, 7, r.stderr)
            pci, clock, host, memory, root, rest = r.stdout.split("\n")
            self.assertGreater(int(pci), 0)
            self.assertTrue(began - 2 <= int(clock) <= time.time() + 2, clock)
            self.assertEqual((host, root, rest), ("castle", "overlay", "input"))
            self.assertTrue(250 << 10 <= int(memory) <= 272 << 10, memory)
            self.assertEqual(pathlib.Path(d, "out").read_text(), "inside\n")
        booted = do("sh", "-c", "ls /sys/bus/pci/devices 2>/dev/null | wc -l", conf="vm.template = off\n")
        self.assertEqual(booted.stdout, "0\n", booted.stderr)

    def test_copies_share_no_secret(self):
        """Two machines of one template: each random number of the kernel's is another."""
        script = ("cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid; od -An -tx8 -N32 /dev/urandom; "
 "ls /sys/bus/pci/devices | wc -l")
        one, two = do("sh", "-c", script), do("sh", "-c", script)
        self.assertEqual((one.returncode, two.returncode), (0, 0), one.stderr + two.stderr)
        a, b = one.stdout.split(), two.stdout.split()
        self.assertEqual((len(a), len(b)), (7, 7))
        self.assertEqual(set(a[:6]) & set(b[:6]), set())
        self.assertGreater(int(a[6]), 0)

    def test_posture(self):
        """The hypervisor has its own memory file and neither the template's nor an image's files to write to."""
        stamp = [(p.name, p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(PLACE.iterdir())]
        with tempfile.TemporaryDirectory(prefix="moat-conf-") as d:
            for sub in ("upper/moat", "work"):
                (pathlib.Path(d) / sub).mkdir(parents=True)
            pathlib.Path(d, "upper/moat/moat.conf").write_text(ON)
            script = f"mount -t overlay -o lowerdir=/etc,upperdir={d}/upper,workdir={d}/work none /etc && exec \"$@\""
            p = subprocess.Popen(["unshare", "--mount", "sh", "-c", script, "sh", *command("sh", "-c", "echo up; sleep 1000")],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            self.assertEqual(p.stdout.readline(), "up\n")
            processes = vm.processes(p.pid)
            self.assertEqual(len(processes), 3)  # bridge, hypervisor, operator
            for q in processes:
                s = vm.status(q)
                self.assertEqual((int(s["CapEff"], 16), s["NoNewPrivs"], s["Seccomp"]), (0, "1", "2"))
                files = [os.readlink(f) for f in pathlib.Path(f"/proc/{q}/fd").iterdir()]
                self.assertFalse([f for f in files if str(PLACE) in f and not f.endswith("/state")], files)
                if "qemu" in os.readlink(f"/proc/{q}/exe"):
                    self.assertEqual(os.listdir(f"/proc/{q}/root/guest/ram"), ["memory"])
                else:
                    self.assertEqual(os.listdir(f"/proc/{q}/root"), [])
            p.kill()
            p.wait()
            p.stdout.close()
            end = time.monotonic() + vm.TIMEOUT
            while vm.processes() & processes and time.monotonic() < end:
                time.sleep(0.02)
            self.assertEqual(vm.processes() & processes, set())
        self.assertEqual([(f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in sorted(PLACE.iterdir())], stamp)

    def test_damaged(self):
        """A state that the hypervisor cannot use is an error that names the template; nothing hangs."""
        state, whole = PLACE / "state", (PLACE / "state").read_bytes()
        self.addCleanup(state.write_bytes, whole)
        for data in (b"", whole[:1000], b"\0" * len(whole)):
            state.unlink()
            state.write_bytes(data)
            r = do("true")
            self.assertEqual((r.returncode, r.stdout), (1, ""))
            self.assertRegex(r.stderr, rf"^moat: .*{PLACE.name}.*made anew\)?\n$")
        state.write_bytes(whole)
        self.assertEqual(do("true").returncode, 0)

    def test_made_where_it_is_missing(self):
        """By the first start of a machine of that size; another one's is not touched."""
        before = set(PLACE.parent.iterdir())
        r = do("sh", "-c", "ls /sys/bus/pci/devices | wc -l", options=["-m", "200m"])
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertGreater(int(r.stdout), 0)
        self.assertEqual(len(set(PLACE.parent.iterdir()) - before), 1)
        r = moat.run(["guest", "--memory", "256m", "template"], timeout=vm.TIMEOUT)
        self.assertEqual(r.stdout.strip(), str(PLACE))


if __name__ == "__main__":
    unittest.main()
