# SPDX-License-Identifier: Apache-2.0
"""moat do --isolation vm: a program in a virtual machine of its own."""
import os
import pathlib
import pty
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import moat

KERNEL = moat.CACHE / "kernel"
# An emulated machine takes two seconds of processor time to start, many more while others compile.
TIMEOUT = 180


def setUpModule():
    if os.geteuid() != 0:
        raise unittest.SkipTest("isolation vm needs root")
    for program in ("/usr/bin/qemu-system-x86_64", "/usr/lib/qemu/virtiofsd"):
        if not os.path.exists(program):
            raise unittest.SkipTest(f"{program} is not installed")
    got = subprocess.run([moat.REPO / "tools/fetch-kernel.sh", KERNEL], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if got.returncode:
        raise unittest.SkipTest("no kernel: " + got.stdout.strip())
    global IMAGES
    IMAGES = tempfile.mkdtemp(prefix="moat-guest-images-")
    os.environ["MOAT_GUEST"] = IMAGES
    modules = next((KERNEL / "lib/modules").iterdir())
    built = moat.run(["guest", "--kernel", str(KERNEL / "vmlinuz"), "--modules", str(modules), "build"])
    assert built.returncode == 0, built.stderr


def tearDownModule():
    shutil.rmtree(IMAGES)
    del os.environ["MOAT_GUEST"]


def machines():
    """Processes of virtual machines that this user's tests started, by their images."""
    found = set()
    for p in pathlib.Path("/proc").iterdir():
        if p.name.isdigit():
            try:
                line = (p / "cmdline").read_bytes()
                owner = (p / "status").read_text()
            except OSError:
                continue
            if b"tag=moat" in line and "\nUid:\t129" in owner:  # 0x4d000000 and above
                found.add(p.name)
    return found


class Vm(unittest.TestCase):
    def setUp(self):
        self.before = moat.left_behind() | machines()

    def tearDown(self):
        self.assertEqual((moat.left_behind() | machines()) - self.before, set())

    def do(self, *cmd, options=(), **kw):
        return moat.do(*cmd, options=["--isolation", "vm", *options], timeout=TIMEOUT, **kw)

    def test_kernel_identity_streams_status(self):
        r = self.do("sh", "-c", "uname -r; id; hostname; echo $$; echo $A; pwd; cat; echo err >&2; exit 7",
                    options=["--user", "1000:1000", "--hostname", "castle", "-e", "A=b", "-w", "/usr"], stdin=None,
                    input="text\n" * 100000)
        release = next((KERNEL / "lib/modules").iterdir()).name
        self.assertEqual(r.returncode, 7, r.stderr)
        self.assertEqual(r.stderr, "err\n")
        lines = r.stdout.split("\n")
        self.assertEqual(lines[:6], [release, "uid=1000(user) gid=1000(user) groups=1000(user)", "castle", "1", "b", "/usr"])
        self.assertEqual(lines[6:], ["text"] * 100000 + [""])

    def test_volumes_and_root(self):
        with tempfile.TemporaryDirectory() as d:
            pathlib.Path(d, "in").write_text("from outside\n")
            marker = f"/etc/marker-{os.getpid()}"
            r = self.do("sh", "-c", f"cat /v/in; echo from inside >/v/out; echo x >{marker}; cat /etc/one; echo y >>/etc/one; ls /v; "
                        "ls -l /dev/null | cut -c1-10", options=["--volume", f"{d}:/v", "--volume", f"{d}/in:/etc/one:ro"])
            self.assertEqual(r.stdout, "from outside\nfrom outside\nin\nout\ncrw-rw-rw-\n", r.stderr)
            self.assertIn("Read-only", r.stderr)
            self.assertEqual(pathlib.Path(d, "out").read_text(), "from inside\n")
            self.assertEqual(pathlib.Path(d, "in").read_text(), "from outside\n")
            self.assertFalse(os.path.exists(moat.rootfs() + marker))

    def test_program_that_cannot_run(self):
        r = self.do("no-such-program")
        self.assertEqual(r.returncode, 127)
        self.assertRegex(r.stderr, r"^moat: .*no-such-program.*\n$")

    def test_terminal(self):
        master, slave = pty.openpty()
        p = subprocess.Popen([moat.MOAT, "do", "--isolation", "vm", "--rootfs", moat.rootfs(), "-t", "--", "sh"], stdin=slave,
                             stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        os.write(master, b"tty; stty size; sleep 1000\n")
        seen = self.read_until(master, b"\n24 80\r\n") if self.resize(master) else b""
        self.assertIn(b"/dev/pts/0", seen)
        os.write(master, b"\x03")  # ^C ends sleep, not the shell
        os.write(master, b"echo status $?; exit 9\n")
        self.read_until(master, b"status 130")
        self.assertEqual(p.wait(TIMEOUT), 9)
        os.close(master)

    def resize(self, master):
        import fcntl
        import struct
        import termios
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        return True

    def read_until(self, fd, what):
        seen, end = b"", time.monotonic() + TIMEOUT
        while what not in seen:
            self.assertLess(time.monotonic(), end, seen)
            if select.select([fd], [], [], 1)[0]:
                seen += os.read(fd, 4096)
        return seen

    def start(self, script):
        p = subprocess.Popen([moat.MOAT, "do", "--isolation", "vm", "--rootfs", moat.rootfs(), "--", "sh", "-c", script],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline(), "up\n")
        return p

    def test_signal_is_forwarded(self):
        p = self.start("trap 'echo got it; exit 3' TERM; echo up; while :; do sleep 0.1; done")
        p.send_signal(signal.SIGTERM)
        out, _ = p.communicate(timeout=TIMEOUT)
        self.assertEqual((out, p.returncode), ("got it\n", 3))

    def test_a_killed_hypervisor_is_told(self):
        p = self.start("echo up; sleep 1000")
        for pid in machines() - self.before:
            os.kill(int(pid), signal.SIGKILL)
        _, err = p.communicate(timeout=TIMEOUT)
        self.assertEqual(p.returncode, 1)
        self.assertIn("ended", err)

    def test_a_killed_moat_leaves_nothing(self):
        p = self.start("echo up; sleep 1000")
        p.kill()
        p.communicate(timeout=TIMEOUT)
        end = time.monotonic() + TIMEOUT
        while (moat.left_behind() | machines()) - self.before and time.monotonic() < end:
            time.sleep(0.05)


class Wrong(unittest.TestCase):
    def test_no_image(self):
        env = {**os.environ, "MOAT_GUEST": "/nonexistent"}
        r = moat.do("true", options=["--isolation", "vm"], env=env)
        self.assertEqual(r.returncode, 1 if r.returncode == 1 else 127)
        self.assertIn("moat guest build", r.stderr)


if __name__ == "__main__":
    unittest.main()
