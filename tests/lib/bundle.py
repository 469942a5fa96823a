# SPDX-License-Identifier: Apache-2.0
"""What the tests of OCI commands share: a bundle and a state folder of their own, every isolation, nothing left behind."""
import json
import os
import pathlib
import shutil
import subprocess
import time
import unittest

import moat

ISOLATIONS = ("sentry", "native")


def cgroup_folders(name):
    """The control groups below any hierarchy whose folder is called `name`, or that and the hash of a state folder."""
    found = set()
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[fields.index("-") + 1] in ("cgroup", "cgroup2"):
            for top, folders, _ in os.walk(fields[4]):
                found.update(f"{top}/{f}" for f in folders if f == name or f.startswith(name + "."))
    return found


class BundleTest(unittest.TestCase):
    """One test with a bundle in self.bundle and containers below self.state; subclasses set `isolation`."""
    isolation = "sentry"
    timeout = 60  # of a create

    def setUp(self):
        self.before = moat.left_behind()
        self.dir = moat.folder("oci")
        self.state = self.dir + "/state"
        self.bundle = self.dir + "/bundle"
        self.ids = []
        os.mkdir(self.bundle)

    def tearDown(self):
        ids = os.listdir(self.state) if os.path.isdir(self.state) else []
        for i in ids:
            moat.run(["--root", self.state, "delete", "--force", i])
        self.assertEqual(ids, [], "containers that the test left")
        # The end of a sandbox that was killed is not awaited by those who kill it: processes may be on their way out.
        deadline = time.monotonic() + 20
        while moat.left_behind() - self.before and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(moat.left_behind() - self.before, set())
        for i in self.ids:
            self.assertEqual(cgroup_folders(i), set())
        shutil.rmtree(self.dir)

    def name(self, text="c"):
        """An id that no other test run uses."""
        name = f"{text}-{self.isolation}-{os.path.basename(self.dir)}"
        self.ids.append(name)
        return name

    def moat(self, *args, ok=True, **kw):
        r = moat.run(["--root", self.state, *args], **kw)
        if ok:
            self.assertEqual(r.returncode, 0, f"moat {' '.join(args)}: {r.stderr}")
        return r

    def config(self, *args, change=None, **process):
        """Writes config.json for a command; `change` is called with it."""
        path = pathlib.Path(self.bundle, "config.json")
        if not path.exists():
            self.moat("spec", "--bundle", self.bundle)
        config = json.loads(path.read_text())
        config["root"]["path"] = moat.rootfs()
        config["process"].update({"args": list(args), "terminal": False, **process})
        if change:
            change(config)
        path.write_text(json.dumps(config))
        return config

    def create(self, name, *options, ok=True):
        """`moat create`; a container in the background holds its standard streams: they are a file, self.output()."""
        with open(self.dir + "/out", "wb") as out:
            r = subprocess.run([moat.MOAT, "--root", self.state, "--log", self.dir + "/log", "create", "--isolation", self.isolation,
                                "--bundle", self.bundle, "--pid-file", self.dir + "/pid", *options, name],
                               stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=self.timeout)
        if ok:
            self.assertEqual(r.returncode, 0, self.output())
        return r

    def run_it(self, name, *options, ok=True, **kw):
        """`moat run` in the foreground."""
        r = self.moat("run", "--isolation", self.isolation, "--bundle", self.bundle, *options, name, ok=False, **kw)
        if ok:
            self.assertEqual(r.returncode, 0, r.stderr)
        return r

    def status(self, name):
        return json.loads(self.moat("state", name).stdout)["status"]

    def output(self):
        return pathlib.Path(self.dir, "out").read_text()

    def pid(self):
        return int(pathlib.Path(self.dir, "pid").read_text())


def each_isolation(namespace, base):
    """Makes a test class of `base` for each isolation in a module's namespace, and hides base itself from the loader."""
    for isolation in ISOLATIONS:
        name = f"{base.__name__}_{isolation}"
        namespace[name] = type(name, (base, BundleTest), {"isolation": isolation, "__module__": namespace["__name__"]})
