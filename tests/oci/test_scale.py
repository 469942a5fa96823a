# SPDX-License-Identifier: Apache-2.0
"""Many containers at once: each command minds its own, costs as much as with one, and all of it goes away.  bench/scale.py: with thousands."""
import json
import os
import pathlib
import shutil
import subprocess
import unittest

import moat
from bundle import BundleTest, each_isolation

COUNT = {"native": int(os.environ.get("MOAT_TEST_MANY", "40")), "sentry": int(os.environ.get("MOAT_TEST_MANY", "40")) * 3 // 10}



class Many:
    def setUp(self):
        super().setUp()
        self.config("sleep", "1000")

    def calls(self, *args):
        """System calls that a command makes by itself."""
        log = self.dir + "/strace.log"
        with open(self.dir + "/out", "wb") as out:
            r = subprocess.run(["strace", "-c", "-o", log, moat.MOAT, "--root", self.state, *args], stdin=subprocess.DEVNULL, stdout=out,
                               stderr=out, timeout=60)
        self.assertEqual(r.returncode, 0, self.output())
        return int(pathlib.Path(log).read_text().splitlines()[-1].split()[3])

    def costs(self, name):
        """Of each command on one container, in system calls."""
        create = ["create", "--isolation", self.isolation, "--bundle", self.bundle, name]
        found = {"create": self.calls(*create)}
        for command in (["start", name], ["state", name], ["ps", "--format", "json", name], ["exec", name, "true"], ["kill", name, "KILL"],
                        ["delete", "--force", name]):
            found[command[0]] = self.calls(*command)
        return found

    def test_many(self):
        few = self.costs(self.name("first")) if shutil.which("strace") else {}
        mounts = len(pathlib.Path("/proc/self/mountinfo").read_text().splitlines())
        names = [self.name(f"c{i}") for i in range(COUNT[self.isolation])]
        pids = {}
        for name in names:
            self.create(name)
            pids[name] = self.pid()
            self.moat("start", name)
        self.assertEqual(len(set(pids.values())), len(names))
        listed = json.loads(self.moat("list", "--format", "json").stdout)
        self.assertEqual([c["id"] for c in listed], sorted(names))
        self.assertEqual({c["id"]: c["pid"] for c in listed}, pids)
        self.assertEqual({c["status"] for c in listed}, {"running"})
        self.assertEqual(self.moat("list", "-q").stdout.split(), sorted(names))
        own = json.loads(self.moat("ps", "--format", "json", names[0]).stdout)
        self.assertEqual(set(own) & set(pids.values()), {pids[names[0]]}, "ps shows this one's processes")
        many = self.costs(self.name("last")) if few else {}
        for command, calls in few.items():
            self.assertLess(many[command], calls * 1.3 + 20, f"{command} costs more where many containers are")
        for name in names[::2]:
            self.moat("kill", name, "KILL")
            self.moat("wait", name, ok=False)
        listed = json.loads(self.moat("list", "--format", "json").stdout)
        self.assertEqual({c["id"] for c in listed if c["status"] == "stopped"}, set(names[::2]))
        self.assertEqual({c["id"] for c in listed if c["status"] == "running"}, set(names[1::2]))
        for name in names:
            self.moat("delete", "--force", name)
        self.assertEqual(os.listdir(self.state), [])
        self.assertLess(len(pathlib.Path("/proc/self/mountinfo").read_text().splitlines()), mounts + len(names) // 2)

    def test_many_at_once(self):
        """Commands on different containers do not wait for each other: all of them are made at the same time, while one of them hangs."""
        held = self.name("held")
        fifo = self.dir + "/fifo"
        os.mkfifo(fifo)
        config = self.config("sleep", "1000", change=lambda c: c.update(
            hooks={"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"read line <{fifo}"]}]}))
        with open(self.dir + "/held.out", "wb") as out:
            hangs = subprocess.Popen([moat.MOAT, "--root", self.state, "create", "--isolation", self.isolation, "--bundle", self.bundle, held],
                                     stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            release = open(fifo, "w")  # when the hook reads
            config.pop("hooks")
            pathlib.Path(self.bundle, "config.json").write_text(json.dumps(config))
            names = [self.name(f"c{i}") for i in range(12)]
            made = [subprocess.Popen([moat.MOAT, "--root", self.state, "create", "--isolation", self.isolation, "--bundle", self.bundle, n],
                                     stdin=subprocess.DEVNULL, stdout=out, stderr=out) for n in names]
            self.assertEqual({p.wait(timeout=60) for p in made}, {0}, pathlib.Path(self.dir, "held.out").read_text())
            self.assertIsNone(hangs.poll())
            self.assertEqual(self.status(held), "creating")
            with release:
                release.write("\n")
            self.assertEqual(hangs.wait(timeout=60), 0)
        gone = [subprocess.Popen([moat.MOAT, "--root", self.state, "delete", "--force", n], stdin=subprocess.DEVNULL) for n in [held, *names]]
        self.assertEqual({p.wait(timeout=60) for p in gone}, {0})
        self.assertEqual(os.listdir(self.state), [])


each_isolation(globals(), Many)

if __name__ == "__main__":
    unittest.main()
