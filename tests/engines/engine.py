# SPDX-License-Identifier: Apache-2.0
"""What the tests of engines share: which runtimes are under test, and a test case that tells the engine's story when it fails.

MOAT_ENGINE_RUNTIMES chooses the runtimes (default "native,sentry"); "runc" runs the same tests on the reference, to know that an expectation is right.
"""
import collections
import os
import pathlib
import pty
import select
import shutil
import subprocess
import sys
import time
import unittest

import box
import moat

Runtime = collections.namedtuple("Runtime", "name program")  # how engines call it; the file name it is called by
RUNTIMES = {"native": Runtime("moat-native", "moat-native"), "sentry": Runtime("moat", "moat"), "runc": Runtime("runc", "runc")}
CHOSEN = [n for n in os.environ.get("MOAT_ENGINE_RUNTIMES", "native,sentry").split(",") if n]


def load_tests_of(*bases):
    """unittest's `load_tests`: each class once for each chosen runtime, named for both."""
    def load_tests(loader, _tests, _pattern):
        suite = unittest.TestSuite()
        for name in CHOSEN:
            for base in bases:
                if name in getattr(base, "runtimes", RUNTIMES):
                    made = type(f"{base.__name__}_{name}", (base,), {"isolation": name, "__module__": base.__module__})
                    suite.addTests(loader.loadTestsFromTestCase(made))
        return suite
    return load_tests


class EngineTest(unittest.TestCase):
    """One box for a class, with the runtimes in /run/bin.  A subclass starts its engine in `start_engine`."""
    isolation = None
    engine = None      # how the box is called
    programs = ()      # what must be installed

    @classmethod
    def setUpClass(cls):
        missing = [p for p in cls.programs if shutil.which(p, path=box.PATH) is None]
        if os.geteuid() != 0:
            raise unittest.SkipTest("an engine needs root")
        if missing:
            raise unittest.SkipTest(f"not installed: {', '.join(missing)} (tools/install-deps.sh test)")
        cls.runtime = RUNTIMES[cls.isolation]
        cls.box = box.Box(cls.engine)
        cls.addClassCleanup(cls.close_box)
        bin_dir = cls.box.path("/run/bin")
        bin_dir.mkdir()
        (bin_dir / "moat").symlink_to(moat.MOAT)
        (bin_dir / "moat-native").symlink_to("moat")
        (bin_dir / "runc").symlink_to("/usr/sbin/runc")
        cls.runtime_path = f"/run/bin/{cls.runtime.program}"
        cls.start_engine()

    @classmethod
    def start_engine(cls):
        pass

    @classmethod
    def register(cls, *options):
        """Makes moat known to the engine as a user does."""
        if cls.isolation != "runc":
            done = cls.box.run("/run/bin/moat", "install", "--path", "/run/bin", "--apply", *options)
            if done.returncode:
                raise RuntimeError(done.stderr)

    @classmethod
    def close_box(cls):
        bad = cls.box.close()
        if bad:
            raise AssertionError(f"left behind by {cls.__name__}: {bad}")

    def run(self, result=None):
        """Says, with a failure, what the engine and the runtime wrote; then takes the test's containers away."""
        before = [len(getattr(result, k, ())) for k in ("failures", "errors")]
        began = self.log_mark()
        super().run(result)
        for count, key in zip(before, ("failures", "errors")):
            found = getattr(result, key, [])
            if len(found) > count:
                found[-1] = (found[-1][0], found[-1][1] + self.story(began))
        self.sweep()
        return result

    def needs_mounted_hierarchies(self):
        """containerd's shim reads no control group at all where one of the hierarchies of cgroup v1 is mounted nowhere."""
        mounted = pathlib.Path("/proc/self/mounts").read_text()
        for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
            names = line.split(":")[1]
            if names and f",{names.split(',')[0]}" not in mounted:
                self.skipTest(f"this host's hierarchy {names} is in use but mounted nowhere")

    def check_limit(self, got, wanted, file):
        """The sentry's own threads have room in the pids controller beside those of the container, which it counts itself."""
        if file == "pids.max" and self.isolation == "sentry":
            self.assertGreaterEqual(got, wanted, file)
        else:
            self.assertEqual(got, wanted, file)

    # What a subclass knows of its engine.
    def log_mark(self):
        return 0

    def story(self, began):
        return ""

    def sweep(self):
        pass

    def runtime_logs(self):
        """The logs of the runtime that still exist: containerd keeps one for each task."""
        text = ""
        for top in ("/run/containerd", "/run/docker", "/var/run/docker", "/run/moat"):
            for folder, _, files in os.walk(self.box.path(top)) if hasattr(self, "box") else ():
                for f in files:
                    if (f.startswith("log.") or f.endswith(".log")) and pathlib.Path(folder, f).is_file():  # a fifo would not end
                        data = pathlib.Path(folder, f).read_text(errors="replace")[-3000:]
                        text += f"--- {f} of {pathlib.Path(folder).name[:12]}\n{data}\n" if data else ""
        return text


class Terminal:
    """A program of the box on a real pty, as `docker run -it` in a user's terminal."""

    def __init__(self, where, *args):
        self.master, slave = pty.openpty()
        os.set_inheritable(slave, True)
        self.process = where.popen(*args, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                   preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0))
        os.close(slave)
        self.text = ""

    def resize(self, rows, columns):
        import fcntl
        import struct
        import termios
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, until, timeout=30):
        """Reads until the text has come; everything since the last call."""
        end = time.monotonic() + timeout
        while until not in self.text:
            if not select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"{until!r} did not come on the terminal: {self.text!r}")
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"the terminal was closed before {until!r} came: {self.text!r}")
            self.text += data.decode(errors="replace")
        at = self.text.index(until) + len(until)
        got, self.text = self.text[:at], self.text[at:]
        return got

    def write(self, text):
        os.write(self.master, text.encode())

    def end(self, timeout=30):
        """Waits for the program: its exit code."""
        end = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < end:
            # What it still writes must be read, or it waits for us.
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.text += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    pass
        code = self.process.poll()
        if code is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        if code is None:
            raise AssertionError(f"the program on the terminal did not end: {self.text!r}")
        return code
