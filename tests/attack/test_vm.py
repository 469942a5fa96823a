# SPDX-License-Identifier: Apache-2.0
"""Strings of a container's owner that would be arguments of the hypervisor, of the file server or of the guest's kernel."""
import os
import pathlib
import re
import unittest

import moat
import vm
from bundle import BundleTest

setUpModule, tearDownModule = vm.set_up, vm.tear_down

EVIL = ("-device=evil", "x,file=/etc/shadow,evil=on", "a -device evil -append evil", "q\" 'evil' \\", "evil\n-monitor stdio\n",
        "init=/bin/sh evil", "$(evil) `evil` ;evil", "%s%n evil")

class Injection(BundleTest):
    isolation = "vm"
    timeout = vm.TIMEOUT

    def arguments(self, name):
        """What the programs of its machine were started with, numbers apart: {program: arguments}."""
        found = {}
        for p in vm.below(self.pid()):
            try:
                program = os.path.basename(os.readlink(f"/proc/{p}/exe"))
                args = pathlib.Path(f"/proc/{p}/cmdline").read_bytes().split(b"\0")
                environment = pathlib.Path(f"/proc/{p}/environ").read_bytes()
            except OSError:
                continue
            if program in ("qemu-system-x86_64", "virtiofsd", "moat-gofer"):
                self.assertNotIn(b"evil", environment)
                found[program] = [re.sub(rb"\d+", b"N", a) for a in args]
        self.assertIn("qemu-system-x86_64", found)
        self.assertGreater(len(found), 1)
        return found

    def make_evil(self, config):
        config["hostname"] = "a,file=/etc/shadow -device evil"
        config["domainname"] = "evil panic=0"
        folders = []
        for i, text in enumerate(EVIL):
            folder = pathlib.Path(self.dir, "v", text.replace("/", "_"))
            folder.mkdir(parents=True)
            (folder / "file").write_text(f"{i}")
            folders.append(folder)
            config["mounts"].append({"destination": f"/mnt/{i},evil=on", "type": "bind", "source": str(folder), "options": ["bind", "rw"]})
            config["process"]["env"].append(f"EVIL{i}={text}")
        config["process"]["args"] += EVIL
        config["annotations"] = {
            "io.katacontainers.config.hypervisor.kernel_params": "evil", "io.katacontainers.config.hypervisor.path": "/bin/evil",
            "io.katacontainers.config.hypervisor.virtio_fs_extra_args": '["-o", "evil"]', "dev.moat.vm.kernel-params": "evil",
            "dev.moat.vm.arguments": EVIL[2], EVIL[4]: EVIL[4]}
        config["linux"]["cgroupsPath"] = f"/moat-evil,id=evil -device evil {os.getpid()}/c"

    def test_nothing_becomes_an_argument(self):
        plain, evil = self.name("plain"), self.name("evil")
        self.config("sleep", "1000")
        self.create(plain)
        want = self.arguments(plain)
        self.moat("delete", "--force", plain)
        self.bundle = self.dir + "/b,file=x -device evil"
        os.mkdir(self.bundle)
        self.config("sh", "-c", "sleep 1000", change=self.make_evil)
        self.create(evil)
        try:
            self.moat("start", evil)
            self.assertEqual(self.arguments(evil), want)
            self.assertFalse([a for args in want.values() for a in args if b"evil" in a or b"\n" in a])
            r = self.moat("exec", evil, "sh", "-c", "cat /proc/cmdline; hostname; cat /mnt/*/file; echo; cat /proc/1/cmdline | tr '\\0' '|'",
                          timeout=vm.TIMEOUT)
            lines = r.stdout.split("\n")
            kernel = want["qemu-system-x86_64"][want["qemu-system-x86_64"].index(b"-append") + 1]
            self.assertIn(kernel, re.sub(rb"\d+", b"N", lines[0].encode()))
            self.assertNotIn("evil", lines[0])
            self.assertEqual(lines[1:3], ["a,file=/etc/shadow -device evil", "".join(str(i) for i in range(len(EVIL)))])
        finally:
            self.moat("delete", "--force", evil)

    def test_names(self):
        self.config("true")
        for name in ("a,b", "a b", "../a", "a/b", "a\nb", "", ".", "..", "a\"b"):
            r = moat.run(["--root", self.state, "create", "--isolation", "vm", "--bundle", self.bundle, "--", name])
            self.assertNotEqual(r.returncode, 0, name)
            self.assertNotIn("evil", r.stderr)
        self.assertEqual(os.listdir(self.state) if os.path.isdir(self.state) else [], [])

if __name__ == "__main__":
    unittest.main()
