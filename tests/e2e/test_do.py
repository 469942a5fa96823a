# SPDX-License-Identifier: Apache-2.0
"""moat do: exit codes, standard streams, options, wrong input, and nothing left behind."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import moat


class Do(unittest.TestCase):
    def setUp(self):
        self.before = moat.left_behind()

    def tearDown(self):
        # The sandbox's processes are killed and reaped before moat exits: no waiting here.
        self.assertEqual(moat.left_behind() - self.before, set())

    def out(self, *cmd, options=(), **kw):
        r = moat.do(*cmd, options=options, **kw)
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stdout

    def test_exit_codes(self):
        self.assertEqual(moat.do("true").returncode, 0)
        self.assertEqual(moat.do("sh", "-c", "exit 77").returncode, 77)
        self.assertEqual(moat.do("sh", "-c", "kill -SEGV $$; sleep 5").returncode in (0, 128 + signal.SIGSEGV), True)
        self.assertEqual(moat.do("sh", "-c", "sh -c 'kill -KILL $$'").returncode, 128 + signal.SIGKILL)
        self.assertEqual(moat.do("python3", "-c", "import ctypes; ctypes.string_at(0)").returncode, 128 + signal.SIGSEGV)

    def test_program_that_cannot_run(self):
        r = moat.do("no-such-program")
        self.assertEqual(r.returncode, 127)
        self.assertRegex(r.stderr, r"^moat: .*no-such-program.*\n$")
        r = moat.do("/etc/passwd")
        self.assertEqual(r.returncode, 126)
        self.assertIn("/etc/passwd", r.stderr)

    def test_inotify_limits(self):
        """What root inside writes into the sysctls holds: the settings are the sandbox's own."""
        program = """
import ctypes, os
for name, value in (("instances", "2"), ("watches", "3")):
    open("/proc/sys/fs/inotify/max_user_" + name, "w").write(value)
c = ctypes.CDLL(None, use_errno=True)
a = [c.inotify_init() for _ in range(3)]
print(a[1] > 0, a[2], ctypes.get_errno())
print([c.inotify_add_watch(a[i % 2], p.encode(), 2) for i, p in enumerate(("/etc", "/usr", "/tmp", "/var"))], ctypes.get_errno())
print(c.inotify_add_watch(a[1], b"/usr", 4))
os.close(a[0])
print(c.inotify_add_watch(a[1], b"/var", 2))
"""
        # EMFILE for the third instance, ENOSPC for the fourth watch; one that is there may be changed.
        self.assertEqual(self.out("python3", "-c", program), "True -1 24\n[1, 1, 2, -1] 28\n1\n2\n")

    def test_streams(self):
        r = moat.do("sh", "-c", "tr a-z A-Z; echo oops >&2", stdin=subprocess.DEVNULL)
        self.assertEqual((r.stdout, r.stderr), ("", "oops\n"))
        data = "some text\n" * 200000
        p = subprocess.run([moat.MOAT, "do", "--rootfs", moat.rootfs(), "--", "cat"], input=data, text=True,
                           stdout=subprocess.PIPE, timeout=60)
        self.assertEqual(p.stdout, data)

    def test_stdout_closed_early(self):
        p = subprocess.Popen([moat.MOAT, "do", "--rootfs", moat.rootfs(), "--", "yes"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
        p.stdout.read(4096)
        p.stdout.close()
        self.assertEqual(p.wait(timeout=30), 128 + signal.SIGPIPE)

    def test_file_as_stdout(self):
        with tempfile.TemporaryFile() as f:
            subprocess.run([moat.MOAT, "do", "--rootfs", moat.rootfs(), "--", "sh", "-c", "echo a; echo b"], stdout=f, timeout=60)
            f.seek(0)
            self.assertEqual(f.read(), b"a\nb\n")

    def test_options(self):
        self.assertEqual(self.out("sh", "-c", "echo $A-$B; pwd; id -u; id -g", options=["--env", "A=1", "-e", "B=2", "--cwd",
                         "/usr/lib", "--user", "123:456"]), "1-2\n/usr/lib\n123\n456\n")
        self.assertEqual(self.out("hostname", options=["--hostname", "castle"]), "castle\n")
        self.assertIn("PATH=", self.out("env"))

    def test_kernel_is_ours(self):
        self.assertNotEqual(self.out("uname", "-r").strip(), os.uname().release)
        self.assertIn("moat", self.out("uname", "-a"))
        self.assertIn("moat", self.out("dmesg"))

    def test_overlay_memory(self):
        marker = f"/etc/marker-{os.getpid()}"
        self.assertEqual(self.out("sh", "-c", f"echo x >{marker}; cat {marker}; rm /etc/hostname; ls /etc/hostname 2>&1 | wc -l"),
                         "x\n1\n")
        self.assertFalse(os.path.exists(moat.rootfs() + marker))
        self.assertTrue(os.path.exists(moat.rootfs() + "/etc/hostname"))

    def test_overlay_none(self):
        with tempfile.TemporaryDirectory() as root:
            subprocess.run(["cp", "/bin/busybox", root + "/busybox"], check=True)
            r = moat.run(["do", "--rootfs", root, "--overlay", "none", "--", "/busybox", "sh", "-c",
                          "echo written >/file; /busybox mkdir /dir; /busybox mv /file /dir/moved; /busybox ln -s moved /dir/link"])
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual(pathlib.Path(root, "dir/moved").read_text(), "written\n")
            self.assertEqual(os.readlink(root + "/dir/link"), "moved")

    def test_host_root(self):
        marker = f"/tmp/moat-marker-{os.getpid()}"
        r = moat.run(["do", "sh", "-c", f"echo x >{marker} && cat {marker} && ls /usr/bin | wc -l"])
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertTrue(r.stdout.startswith("x\n"))
        self.assertFalse(os.path.exists(marker))

    def test_ordinary_user(self):
        with tempfile.TemporaryDirectory() as d:
            # the build folder may be out of an ordinary user's reach
            os.chmod(d, 0o755)
            for name in ("moat", "moat-sentry", "moat-gofer"):
                shutil.copy(moat.BUILD / name, d)
            r = subprocess.run(["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", d + "/moat", "do", "--", "sh",
                                "-c", "id -u; uname -r; echo written >/tmp/moat-user && cat /tmp/moat-user; exit 4"],
                               stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, cwd="/")
            self.assertEqual(r.returncode, 4, r.stderr)
            self.assertEqual(r.stdout, "0\n6.12.0-moat\nwritten\n")
            self.assertFalse(os.path.exists("/tmp/moat-user"))

    def test_volumes(self):
        with tempfile.TemporaryDirectory() as d:
            pathlib.Path(d, "in").write_text("from host\n")
            self.assertEqual(self.out("sh", "-c", "cat /data/in; echo back >/data/out; mkdir -p /data/a/b; rm /data/in",
                                      options=["--volume", f"{d}:/data"]), "from host\n")
            self.assertEqual(pathlib.Path(d, "out").read_text(), "back\n")
            self.assertEqual(sorted(os.listdir(d)), ["a", "out"])
            r = moat.do("sh", "-c", "cat /new/place/out; echo no >/new/place/out", options=["-v", f"{d}:/new/place:ro"])
            self.assertEqual(r.stdout, "back\n")
            self.assertIn("Read-only", r.stderr)
            self.assertEqual(pathlib.Path(d, "out").read_text(), "back\n")
            self.assertEqual(self.out("cat", "/one", options=["-v", f"{d}/out:/one:ro"]), "back\n")

    def test_native_volumes_wherever_they_lie(self):
        # native builds its root on /tmp, which must not hide a volume from there
        with tempfile.TemporaryDirectory(dir="/tmp") as d:
            pathlib.Path(d, "in").write_text("from host\n")
            native = ["--isolation", "native", "--volume", f"{d}:/data:ro", "--volume", f"{d}/in:/one"]
            r = moat.do("sh", "-c", "cat /data/in; echo x >/one; cat /data/in; echo y >/data/in", options=native)
            self.assertEqual(r.stdout, "from host\nx\n")
            self.assertIn("Read-only", r.stderr)

    def test_memory_limit(self):
        r = moat.do("python3", "-c", "x = b'a' * (400 << 20)", options=["--memory", "128m"])
        self.assertNotEqual(r.returncode, 0)
        eaters = "for i in 1 2 3; do python3 -c 'x = []\nwhile True: x.append(bytearray(1 << 20))' & p=\"$p $!\"; done; for i in $p; do wait $i; echo $?; done"
        r = moat.do("sh", "-c", eaters, options=["--memory", "128m"])
        self.assertEqual((r.returncode, r.stdout), (0, "137\n" * 3))
        self.assertEqual(self.out("sh", "-c", "grep MemTotal /proc/meminfo | tr -dc 0-9", options=["--memory", "128m"]),
                         str(128 * 1024))

    def test_strace(self):
        r = moat.do("cat", "/etc/hostname", options=["--strace"])
        self.assertRegex(r.stderr, r"openat\(.*\"/etc/hostname\"")
        self.assertRegex(r.stderr, r"exit_group\(0\)")

    def test_wrong_input(self):
        cases = [(["do"], 2, "command"), (["do", "--frobnicate", "x"], 2, "--frobnicate"),
                 (["do", "--rootfs", "/nowhere", "x"], 2, "/nowhere"), (["do", "--memory", "lots", "x"], 2, "lots"),
                 (["do", "--memory", "1k", "x"], 2, "16m"), (["do", "--volume", "nope", "x"], 2, "nope"),
                 (["do", "--volume", "/nowhere:/x", "x"], 2, "/nowhere"), (["do", "--user", "root", "x"], 2, "root"),
                 (["do", "--isolation", "paper", "x"], 2, "native, sentry"), (["do", "--env", "X", "x"], 2, "X"),
                 (["do", "--cwd", "rel", "x"], 2, "rel"), (["do", "--overlay", "none", "x"], 2, "--rootfs"),
                 (["do", "--network", "host", "x"], 2, "native"), (["do", "-t", "x"], 2, "terminal"),
                 (["frob"], 2, "frob"), (["do", "--platform", "qemu", "x"], 2, "systrap"), (["--log-format", "xml", "list"], 2, "xml")]
        for args, status, text in cases:
            r = moat.run(args)
            self.assertEqual((r.returncode, r.stdout, len(r.stderr.splitlines())), (status, "", 1), args)
            self.assertIn(text, r.stderr)

    def test_too_few_descriptors(self):
        r = subprocess.run(["sh", "-c", f"ulimit -n 60; exec {moat.MOAT} do true"], capture_output=True, text=True, timeout=60)
        self.assertEqual((r.returncode, len(r.stderr.splitlines())), (1, 1), r.stderr)
        self.assertIn("ulimit -n", r.stderr)

    def test_help(self):
        commands = ["do", "run", "create", "start", "exec", "state", "list", "ps", "kill", "wait", "delete", "spec", "features"]
        top = moat.run(["--help"])
        self.assertEqual(top.returncode, 0)
        for c in commands:
            r = moat.run([c, "--help"])
            self.assertEqual(r.returncode, 0)
            self.assertIn(f"Usage: moat [global options] {c}", r.stdout)
            self.assertIn(f"  {c} ", top.stdout)

    def test_signals_pass_through(self):
        p = subprocess.Popen([moat.MOAT, "do", "--rootfs", moat.rootfs(), "--", "bash", "-c",
                              "trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.05; done"],
                             stdout=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline(), "ready\n")
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.communicate(timeout=30)[0], "term\n")
        self.assertEqual(p.returncode, 9)

    def test_killed_moat_leaves_nothing(self):
        p = subprocess.Popen([moat.MOAT, "do", "--rootfs", moat.rootfs(), "--", "sh", "-c", "echo up; sleep 1000"],
                             stdout=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline(), "up\n")
        p.kill()
        p.wait()
        # The others die by the signal that their parent's death sends: soon, but not before wait returns.
        deadline = time.monotonic() + 10
        while moat.left_behind() - self.before and time.monotonic() < deadline:
            os.sched_yield()
        p.stdout.close()


if __name__ == "__main__":
    unittest.main()
