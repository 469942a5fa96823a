# SPDX-License-Identifier: Apache-2.0
"""The life cycle as an ordinary user of the host, without a group that was delegated to it and without newuidmap."""
import json
import os
import pathlib
import shutil
import subprocess
import unittest

import moat
from bundle import BundleTest, each_isolation

UID = 1000


class Rootless:
    def setUp(self):
        super().setUp()
        # The build folder and the cached root file system may be out of an ordinary user's reach.
        self.home = moat.folder("user")
        self.addCleanup(shutil.rmtree, self.home)
        for name in ("moat", "moat-sentry", "moat-gofer"):
            shutil.copy(moat.BUILD / name, self.home)
        os.makedirs(self.home + "/bundle/rootfs/bin")
        busybox = shutil.which("busybox")
        if busybox is None:
            self.skipTest("busybox-static is not installed")
        for name in ("busybox", "sh", "sleep", "id", "cat", "echo", "true"):
            shutil.copy(busybox, f"{self.home}/bundle/rootfs/bin/{name}")
        os.mkdir(self.home + "/run")
        for top, folders, files in os.walk(self.home):
            for f in (top, *(os.path.join(top, n) for n in folders + files)):
                os.chown(f, UID, UID)
        os.chmod(self.home, 0o755)

    def user(self, *args, ok=True, quiet=False, **kw):
        streams = {"stdout": subprocess.DEVNULL, "stderr": open(self.home + "/err", "wb")} if quiet else \
            {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        r = subprocess.run(["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", self.home + "/moat", *args],
                           stdin=subprocess.DEVNULL, text=True, timeout=60, cwd=self.home,
                           env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "XDG_RUNTIME_DIR": self.home + "/run"}, **streams, **kw)
        if ok and r.returncode != 0:
            self.fail(f"moat {' '.join(args)}: {pathlib.Path(self.home, 'err').read_text() if quiet else r.stderr}")
        return r

    def bundle_for(self, *args):
        path = pathlib.Path(self.home, "bundle/config.json")
        if not path.exists():
            self.user("spec", "--rootless", "--bundle", self.home + "/bundle")
        config = json.loads(path.read_text())
        config["process"].update(args=list(args), terminal=False)
        config["root"]["path"] = "rootfs"
        path.write_text(json.dumps(config))

    def options(self):
        return ["--isolation", self.isolation, "--bundle", self.home + "/bundle"]

    def test_run(self):
        self.bundle_for("sh", "-c", "id -u; cat /proc/self/uid_map; exit 3")
        r = self.user("run", *self.options(), "r1", ok=False)
        self.assertEqual(r.returncode, 3, r.stderr)
        self.assertEqual(r.stdout.split()[0], "0")
        self.assertEqual(os.listdir(self.home + "/run/moat"), [])

    def test_life(self):
        self.bundle_for("sleep", "1000")
        self.user("create", *self.options(), "--pid-file", self.home + "/pid", "r2", quiet=True)
        self.assertEqual(json.loads(self.user("state", "r2").stdout)["status"], "created")
        self.user("start", "r2")
        pid = pathlib.Path(self.home, "pid").read_text()
        self.assertEqual(os.stat(f"/proc/{pid}").st_uid, UID)
        self.assertEqual(self.user("exec", "r2", "echo", "inside").stdout, "inside\n")
        self.assertIn("r2", self.user("list").stdout)
        self.assertIn(int(pid), json.loads(self.user("ps", "--format", "json", "r2").stdout))
        self.assertEqual(self.user("exec", "r2", "nothing-here", ok=False).returncode, 255)
        self.user("kill", "r2", "KILL")
        self.user("wait", "r2", ok=False)
        self.user("delete", "r2")
        self.assertEqual(os.listdir(self.home + "/run/moat"), [])

    def test_limits_out_of_reach_are_named(self):
        self.bundle_for("true")
        path = pathlib.Path(self.home, "bundle/config.json")
        config = json.loads(path.read_text())
        config["linux"]["resources"] = {"memory": {"limit": 64 << 20}, "pids": {"limit": 20}}
        path.write_text(json.dumps(config))
        r = self.user("run", *self.options(), "r3", ok=False)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("warning", r.stderr)
        self.assertIn("control group", r.stderr)
        r = self.user("--rootless", "false", "run", *self.options(), "r4", ok=False)
        self.assertEqual(r.returncode, 1)

    def test_check(self):
        r = self.user("check", ok=False)
        self.assertIn("sentry: runs here", r.stdout)
        self.assertIn("newuidmap", r.stdout)


each_isolation(globals(), Rootless)

if __name__ == "__main__":
    unittest.main()
