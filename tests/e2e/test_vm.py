# SPDX-License-Identifier: Apache-2.0
"""moat do --isolation vm: a program in a virtual machine of its own."""
import fcntl
import os
import pathlib
import pty
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unittest

import moat
import vm

setUpModule, tearDownModule = vm.set_up, vm.tear_down


class Vm(unittest.TestCase):
    def setUp(self):
        self.before = moat.left_behind()
        self.processes = set()

    def tearDown(self):
        end = time.monotonic() + vm.TIMEOUT  # after a killed moat the machine's end is nobody's to wait for
        while self.left() and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(self.left(), set())

    def left(self):
        return (moat.left_behind() - self.before) | (vm.processes() & self.processes)

    isolation = "vm"

    def kernel(self):
        return vm.modules().name

    def do(self, *cmd, options=(), **kw):
        return moat.do(*cmd, options=["--isolation", self.isolation, *options], timeout=vm.TIMEOUT, **kw)

    def test_what_a_program_sees(self):
        with tempfile.TemporaryDirectory() as d:
            pathlib.Path(d, "in").write_text("from outside\n")
            os.symlink("/etc/hostname", d + "/link")
            marker = f"/etc/marker-{os.getpid()}"
            script = (f"uname -r; id; hostname; echo $$; echo $A; pwd; cat /v/in; echo from inside >/v/out; echo x >{marker}; "
                      "cat /etc/one; echo y >>/etc/one; ls /v; ls -l /dev/null | cut -c1-10; cat /v/link; mknod /v/dev b 7 0; "
                      "sed -n 's/MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo; cat; echo err >&2; exit 7")
            r = self.do("sh", "-c", script, options=["--hostname", "castle", "-e", "A=b", "-w", "/usr", "-m", "256m", "--volume", f"{d}:/v",
                        "--volume", f"{d}/in:/etc/one:ro"], stdin=None, input="text\n" * 100000)
            self.assertEqual(r.returncode, 7, r.stderr)
            lines = r.stdout.split("\n")
            want = [self.kernel(), "uid=0(root) gid=0(root) groups=0(root)", "castle", "1", "b", "/usr", "from outside",
                    "from outside", "in", "link", "out", "crw-rw-rw-"]
            self.assertEqual(lines[:len(want)], want, r.stderr)
            # The link leads to the machine's own file, and no device can be made on the host.
            self.assertEqual(lines[len(want)], pathlib.Path(moat.rootfs(), "etc/hostname").read_text().strip())
            self.assertTrue(255 << 10 <= int(lines[len(want) + 1]) <= 272 << 10, lines[len(want) + 1])
            self.assertEqual(lines[len(want) + 2:], ["text"] * 100000 + [""])
            self.assertIn("Read-only", r.stderr)
            self.assertIn("mknod", r.stderr)
            self.assertIn("err\n", r.stderr)
            self.assertEqual(sorted(os.listdir(d)), ["in", "link", "out"])
            self.assertEqual(pathlib.Path(d, "out").read_text(), "from inside\n")
            self.assertEqual(pathlib.Path(d, "in").read_text(), "from outside\n")
            self.assertFalse(os.path.exists(moat.rootfs() + marker))

    def test_log_has_what_kernel_and_agent_say(self):
        with tempfile.NamedTemporaryFile("r") as log:
            p = subprocess.Popen([moat.MOAT, "--debug", "--log", log.name, "do", "--isolation", self.isolation, "--rootfs", moat.rootfs(),
                                  "--", "cat"], stdin=subprocess.PIPE)
            end, text = time.monotonic() + vm.TIMEOUT, ""
            while "moat-agent: ready" not in text and time.monotonic() < end:
                time.sleep(0.02)
                text += log.read()
            p.stdin.close()
            self.assertEqual(p.wait(vm.TIMEOUT), 0)
            self.assertIn("Run /init", text)
            self.assertIn("moat-agent: ready", text)

    def test_program_that_cannot_run(self):
        r = self.do("no-such-program")
        self.assertEqual(r.returncode, 127)
        self.assertRegex(r.stderr, r"^moat: .*no-such-program.*\n$")

    def test_terminal(self):
        master, slave = pty.openpty()
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
        p = subprocess.Popen([moat.MOAT, "do", "--isolation", self.isolation, "--rootfs", moat.rootfs(), "-t", "--", "sh"], stdin=slave,
                             stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        os.write(master, b"tty; stty size; sleep 1000\n")
        self.assertIn(b"/dev/pts/0", self.read_until(master, b"31 97\r\n"))
        os.write(master, b"\x03")  # ^C ends sleep, not the shell
        os.write(master, b"echo status $?; exit 9\n")
        self.read_until(master, b"status 130")
        self.assertEqual(p.wait(vm.TIMEOUT), 9)
        os.close(master)

    def read_until(self, fd, what):
        seen, end = b"", time.monotonic() + vm.TIMEOUT
        while what not in seen:
            self.assertLess(time.monotonic(), end, seen)
            if select.select([fd], [], [], 1)[0]:
                seen += os.read(fd, 4096)
        return seen

    def start(self, script):
        p = subprocess.Popen([moat.MOAT, "do", "--isolation", "vm", "--rootfs", moat.rootfs(), "--", "sh", "-c", script],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline(), "up\n")
        self.processes = vm.processes(p.pid)
        self.assertEqual(len(self.processes), 2)
        return p

    def test_signals_and_a_killed_hypervisor(self):
        p = self.start("trap 'echo got it' TERM; echo up; while :; do sleep 0.1; done")
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.stdout.readline(), "got it\n")
        self.check_posture(p.pid)
        hypervisor = [q for q in self.processes if "qemu" in os.readlink(f"/proc/{q}/exe")]
        os.kill(hypervisor[0], signal.SIGKILL)
        _, err = p.communicate(timeout=vm.TIMEOUT)
        self.assertEqual(p.returncode, 1)
        self.assertIn("ended", err)

    def check_posture(self, moat_pid):
        """What the processes that the guest can attack hold, read from the host's /proc."""
        self.assertEqual(len({vm.status(q)["Uid"].split()[0] for q in self.processes}), 1)
        for q in self.processes:
            s = vm.status(q)
            for which in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                self.assertEqual(int(s[which], 16), 0, which)
            self.assertEqual(s["NoNewPrivs"], "1")
            self.assertEqual(s["Groups"], "")
            for ns in ("pid", "mnt", "ipc", "uts", "net", "cgroup"):
                self.assertNotEqual(os.readlink(f"/proc/{q}/ns/{ns}"), os.readlink(f"/proc/self/ns/{ns}"), ns)
            root = sorted(os.listdir(f"/proc/{q}/root"))
            is_hypervisor = "qemu" in os.readlink(f"/proc/{q}/exe")
            self.assertEqual(s["Seccomp"], "2")
            self.assertLessEqual(set(root), {"bin", "dev", "etc", "guest", "lib", "lib64", "usr"} if is_hypervisor else set())
            self.assertFalse(os.access(f"/proc/{q}/root/etc/passwd", os.F_OK))

    def test_a_killed_moat_leaves_nothing(self):
        p = self.start("echo up; sleep 1000")
        p.kill()
        p.communicate(timeout=vm.TIMEOUT)


class VmSentry(Vm):
    """An application kernel inside the machine, under the same command."""
    isolation = "vm+sentry"
    # What the machine does is isolation vm's.
    test_signals_and_a_killed_hypervisor = test_a_killed_moat_leaves_nothing = None

    def kernel(self):
        return "6.12.0-moat"


class Images(unittest.TestCase):
    def setUp(self):
        self.guest = pathlib.Path(moat.folder("guests"))
        self.addCleanup(shutil.rmtree, self.guest)
        self.env = {**os.environ, "MOAT_GUEST": str(self.guest)}

    def image(self, digit, source=None):
        folder = self.guest / (digit * 32)
        folder.mkdir()
        for name in ("kernel", "initramfs", "manifest"):
            os.link(source / name, folder / name) if source else (folder / name).write_text(name)
        return folder.name

    def make_current(self, name):
        (self.guest / "current").unlink(missing_ok=True)
        os.symlink(name, self.guest / "current")

    def guest_command(self, verb):
        r = moat.run(["guest", verb], env=self.env)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        return r.stdout.splitlines()

    def states(self):
        return {line.split()[0]: line.split(" MB  ")[1] for line in self.guest_command("list")[1:]}

    def test_prune_leaves_what_is_used(self):
        real = pathlib.Path(os.environ["MOAT_GUEST"], "current").resolve()
        a, b, c = self.image("a", real), self.image("b"), self.image("c")
        (self.guest / ".new-left").mkdir()  # of a build that was killed
        os.symlink("x", self.guest / ".link-4194304")
        (self.guest / "mine").mkdir()
        self.make_current(a)
        p = subprocess.Popen([moat.MOAT, "do", "--isolation", "vm", "--rootfs", moat.rootfs(), "--", "sh", "-c", "echo up; read x"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.env, text=True)
        self.assertEqual(p.stdout.readline(), "up\n")
        self.assertEqual(self.states(), {a: "current, in use", b: "unused", c: "unused"})
        self.make_current(b)
        templates = [self.guest / name / "templates" / "size" / "memory" for name in (a, b, c)]
        for t in templates:
            t.parent.mkdir(parents=True)
            t.touch()
        self.assertEqual(self.guest_command("prune"), [c])
        self.assertEqual(self.states(), {a: "in use", b: "current"})
        self.assertEqual(sorted(os.listdir(self.guest)), [a, b, "current", "mine"])
        self.assertEqual([t.exists() for t in templates], [True, True, False])
        p.communicate("\n", timeout=vm.TIMEOUT)
        self.assertEqual(p.returncode, 0)
        self.assertEqual(self.guest_command("prune"), [a])
        self.assertEqual(self.states(), {b: "current"})
        self.assertTrue(templates[1].exists())


class Wrong(unittest.TestCase):
    def test_no_image(self):
        r = moat.do("true", options=["--isolation", "vm"], env={**os.environ, "MOAT_GUEST": "/nonexistent"})
        self.assertNotEqual(r.returncode, 0)
        self.assertRegex(r.stderr, r"^moat: .*moat guest build.*\n$")

    def test_guest_build(self):
        r = moat.run(["guest", "build", "--kernel", "/etc/passwd"])
        self.assertNotEqual(r.returncode, 0)
        r = moat.run(["guest", "--kernel", "/nonexistent", "--modules", "/nonexistent", "build"])
        self.assertEqual(r.returncode, 1)
        self.assertIn("/nonexistent", r.stderr)


if __name__ == "__main__":
    unittest.main()
