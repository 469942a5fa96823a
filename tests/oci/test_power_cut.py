# SPDX-License-Identifier: Apache-2.0
"""Commands that are killed half-way: `delete --force` clears up whatever was there, and may itself be killed and repeated.

strace kills the command at a system call, for calls all over its run.
"""
import collections
import os
import re
import shutil
import subprocess
import unittest

import moat
from bundle import BundleTest, each_isolation

POINTS = int(os.environ.get("MOAT_TEST_CUTS", "12"))


class Cut:
    def setUp(self):
        super().setUp()
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        self.config("sleep", "1000", change=lambda c: c.update(hooks={"poststop": [{"path": "/bin/true"}]}))

    def traced(self, *args, cut=None):
        """Runs moat, killed at `cut`, (system call, which one of that name): whether it was killed, and the calls it made."""
        log = self.dir + "/strace.log"
        inject = ["-e", f"trace={cut[0]}", "-e", f"inject={cut[0]}:signal=KILL:when={cut[1]}"] if cut else []
        with open(self.dir + "/out", "wb") as out:
            r = subprocess.run(["strace", "-o", log, *inject, moat.MOAT, "--root", self.state, *args], stdin=subprocess.DEVNULL,
                               stdout=out, stderr=out, timeout=self.timeout)
        counts, calls = collections.Counter(), []
        with open(log, encoding="utf-8", errors="replace") as f:
            for m in filter(None, map(re.compile(r"([a-z0-9_]+)\(").match, f)):
                counts[m[1]] += 1
                calls.append((m[1], counts[m[1]]))
        return r.returncode in (-9, 137), calls

    def create_args(self, name):
        return ["create", "--isolation", self.isolation, "--bundle", self.bundle, "--pid-file", self.dir + "/pid", name]

    def points(self, calls, count=POINTS):
        """Calls spread over the run, behind the loader's."""
        step = max(1, len(calls) // count)
        return calls[step // 2 + 1::step]

    def clear(self, name):
        self.moat("delete", "--force", name)
        self.moat("delete", "--force", name)
        self.assertNotIn(name, self.moat("list", "--quiet").stdout.split())

    def test_create(self):
        _, calls = self.traced(*self.create_args(self.name("whole")))
        self.clear(self.ids[-1])
        cuts = 0
        for cut in self.points(calls):
            with self.subTest(cut=cut):
                name = self.name(f"cut-{cut[0]}-{cut[1]}")
                cuts += self.traced(*self.create_args(name), cut=cut)[0]
                self.moat("list")
                self.moat("state", name, ok=False)
                self.clear(name)
                # Nothing is in the way of the next one of that name.
                self.create(name)
                self.clear(name)
        self.assertGreater(cuts, len(self.points(calls)) // 2)

    def test_start(self):
        name = self.name()
        self.create(name)
        _, calls = self.traced("start", name)
        self.clear(name)
        for cut in self.points(calls):
            with self.subTest(cut=cut):
                self.create(name)
                self.traced("start", name, cut=cut)
                self.assertIn(self.status(name), ("created", "running"))
                self.clear(name)

    def test_delete(self):
        name = self.name()
        self.create(name)
        self.moat("start", name)
        _, calls = self.traced("delete", "--force", name)
        for cut in self.points(calls):
            with self.subTest(cut=cut):
                self.create(name)
                self.moat("start", name)
                self.traced("delete", "--force", name, cut=cut)
                self.clear(name)

    def test_in_hooks(self):
        """The command dies while its hooks run: a hook that kills its parent."""
        for stage in ("prestart", "createRuntime", "poststart"):
            with self.subTest(stage=stage):
                name = self.name(stage)
                self.config("sleep", "1000", change=lambda c, s=stage: c.update(hooks={s: [
                    {"path": "/bin/sh", "args": ["sh", "-c", "kill -9 $PPID"]}]}))
                r = self.create(name, ok=False)
                if stage == "poststart":
                    self.assertEqual(r.returncode, 0)
                    self.assertEqual(self.moat("start", name, ok=False).returncode, -9)
                    self.assertEqual(self.status(name), "running")
                else:
                    self.assertEqual(r.returncode, -9)
                self.clear(name)

    def test_process_and_monitor_killed(self):
        name = self.name()
        self.create(name)
        self.moat("start", name)
        pidfd = os.pidfd_open(self.pid())
        os.kill(self.pid(), 9)
        import select
        self.assertTrue(select.select([pidfd], [], [], 30)[0])
        os.close(pidfd)
        self.assertEqual(self.status(name), "stopped")
        self.moat("delete", name)
        self.assertIn("does not exist", self.moat("delete", name, ok=False).stderr)


each_isolation(globals(), Cut)

if __name__ == "__main__":
    unittest.main()
