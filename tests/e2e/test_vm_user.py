# SPDX-License-Identifier: Apache-2.0
"""moat do --isolation vm as an ordinary user: QEMU and the Gofer in a user namespace."""
import os
import pathlib
import shutil
import subprocess
import time
import unittest

import moat
import vm

setUpModule, tearDownModule = vm.set_up, vm.tear_down
UID = 1000


class OrdinaryUser(unittest.TestCase):
    def setUp(self):
        # The build folder may be out of an ordinary user's reach.
        self.home = moat.folder("user")
        self.addCleanup(shutil.rmtree, self.home)
        for name in ("moat", "moat-gofer"):
            shutil.copy(moat.BUILD / name, self.home)
        os.mkdir(self.home + "/v")
        os.chown(self.home + "/v", UID, UID)
        os.chmod(self.home, 0o755)
        os.chmod(os.environ["MOAT_GUEST"], 0o755)

    def test_do(self):
        pathlib.Path(self.home, "v/in").write_text("from outside\n")
        script = f"id -u; uname -r; cat /v/in; echo made >/v/out; touch /v-{UID}; cat; grep -c . /proc/1/status >/dev/null && exit 6"
        r = subprocess.run(["setpriv", "--reuid", str(UID), "--regid", str(UID), "--groups", f"{UID},4", self.home + "/moat", "do",
                            "--isolation", "vm", "--volume", f"{self.home}/v:/v", "--", "sh", "-c", script], input="text\n", text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=vm.TIMEOUT, cwd="/",
                           env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "MOAT_GUEST": os.environ["MOAT_GUEST"]})
        if r.returncode == 1 and "user namespace" in r.stderr:
            self.skipTest(r.stderr)
        self.assertEqual((r.returncode, r.stdout), (6, f"0\n{vm.modules().name}\nfrom outside\ntext\n"), r.stderr)
        out = pathlib.Path(self.home, "v/out")
        self.assertEqual((out.read_text(), out.stat().st_uid), ("made\n", UID))
        self.assertFalse(os.path.exists(f"/v-{UID}"))
        end = time.monotonic() + vm.TIMEOUT  # the end of the machine is awaited by nobody
        while self.running() and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(self.running(), [])

    def running(self):
        found = []
        for p in vm.tree():
            try:
                found += [p] if os.readlink(f"/proc/{p}/exe").startswith(self.home) else []
            except OSError:
                continue
        return found


if __name__ == "__main__":
    unittest.main()
