# SPDX-License-Identifier: Apache-2.0
"""A disk image as the root of a container in a virtual machine."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import moat
import vm

DIR = None


def setUpModule():
    global DIR
    vm.set_up()
    DIR = pathlib.Path(tempfile.mkdtemp(prefix="moat-disk-"))
    root = moat.rootfs("small")
    if shutil.which("mkfs.erofs"):
        subprocess.run(["mkfs.erofs", "--quiet", DIR / "root.erofs", root], check=True, stdout=subprocess.DEVNULL)
    with open(DIR / "root.ext4", "wb") as f:
        f.truncate(400 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-d", root, DIR / "root.ext4"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def tearDownModule():
    shutil.rmtree(DIR)
    vm.tear_down()


def do(image, *cmd, options=()):
    return moat.run(["do", "--isolation", "vm", "--rootfs", str(image), *options, "--", *cmd], timeout=vm.TIMEOUT)


class Disk(unittest.TestCase):
    def setUp(self):
        self.before = moat.left_behind()

    def tearDown(self):
        self.assertEqual(moat.left_behind() - self.before, set())

    def digest(self, image):
        return subprocess.run(["sha256sum", image], check=True, stdout=subprocess.PIPE).stdout

    def test_erofs_with_a_volume(self):
        image = DIR / "root.erofs"
        if not image.exists():
            self.skipTest("mkfs.erofs (erofs-utils) is not installed")
        before = self.digest(image)
        with tempfile.TemporaryDirectory() as d:
            script = ("cat /etc/debian_version; echo new >/etc/new; rm /etc/debian_version; cat /etc/new /proc/partitions; echo x >/v/out; "
                      "cut -d' ' -f2,3 /proc/mounts | grep '^/v '")
            r = do(image, "sh", "-c", script, options=["-v", f"{d}:/v"])
            self.assertEqual(r.returncode, 0, r.stderr)
            lines = r.stdout.splitlines()
            self.assertEqual(lines[:2], [pathlib.Path(moat.rootfs("small"), "etc/debian_version").read_text().strip(), "new"])
            self.assertRegex(r.stdout, rf"(?m)^ +254 +0 +{image.stat().st_size // 1024} vda$")
            self.assertEqual(lines[-1], "/v virtiofs")
            self.assertEqual(pathlib.Path(d, "out").read_text(), "x\n")
        self.assertEqual(self.digest(image), before)

    def test_ext4_without_files_of_the_host(self):
        image = DIR / "root.ext4"
        before = self.digest(image)
        r = do(image, "sh", "-c", "cat /etc/debian_version; echo y >/y; cat /y; grep -c virtiofs /proc/mounts; ls / | grep lost")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertEqual(r.stdout.splitlines()[1:], ["y", "0", "lost+found"])
        self.assertEqual(self.digest(image), before)

    def test_damaged(self):
        """The superblock's beginning is there, the rest is nonsense: the guest finds out and says so."""
        bad = DIR / "bad.ext4"
        with open(DIR / "root.ext4", "rb") as f, open(bad, "wb") as out:
            head = f.read(4096)
            out.write(head[:1024 + 0x3a] + b"\xff" * (4096 - 1024 - 0x3a) + b"\0" * 65536)
        r = do(bad, "true")
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertRegex(r.stderr, r"^moat: .*cannot mount the root image as ext4.*damaged.*\n$")


class Wrong(unittest.TestCase):
    """Refused on the host: nothing starts."""

    def refused(self, r, text):
        self.assertNotEqual(r.returncode, 0)
        self.assertEqual(r.stdout, "")
        self.assertIn(text, r.stderr)
        self.assertEqual(r.stderr.count("\n"), 1, r.stderr)

    def test_no_image(self):
        self.refused(do("/etc/passwd", "true"), "neither an erofs nor an ext4")
        self.refused(do("/dev/null", "true"), "is not a regular file")
        fifo = DIR / "fifo"
        os.mkfifo(fifo)
        self.refused(do(fifo, "true"), "is not a regular file")
        self.refused(do(DIR / "none", "true"), "No such file")
        self.refused(do(DIR / "root.ext4", "true", options=["--overlay", "none"]), "needs a folder as root")
        r = moat.run(["do", "--isolation", "sentry", "--rootfs", str(DIR / "root.ext4"), "--", "true"])
        self.refused(r, "--isolation vm")

    def bundle(self, image, conf="", isolation="vm"):
        with tempfile.TemporaryDirectory(prefix="moat-oci-") as d:
            bundle = pathlib.Path(d, "b")
            (bundle / "rootfs").mkdir(parents=True)
            moat.run(["spec", "--bundle", str(bundle)])
            config = json.loads((bundle / "config.json").read_text())
            config["process"].update(args=["cat", "/etc/debian_version"], terminal=False)
            config["annotations"] = {"dev.moat.vm.root-image": image}
            (bundle / "config.json").write_text(json.dumps(config))
            os.link(DIR / "root.ext4", bundle / "inside.ext4")
            os.symlink(DIR / "root.ext4", bundle / "link.ext4")
            return vm.with_conf(conf, moat.MOAT, "--root", d + "/state", "run", "--bundle", str(bundle), "--isolation", isolation,
                                os.path.basename(d))

    def test_annotation(self):
        """It names what lies in the bundle or in the administrator's folder of images, and nothing else."""
        self.refused(self.bundle("/etc/shadow"), "lies outside the bundle")
        self.refused(self.bundle(str(DIR / "root.ext4"), conf="vm.images = /srv\n"), "lies outside the bundle")
        self.refused(self.bundle("../../../../../../etc/passwd"), "No such file")
        self.refused(self.bundle("link.ext4"), "No such file")
        self.refused(self.bundle(f"{DIR}/../../etc/passwd", conf=f"vm.images = {DIR}\n"), "No such file")
        self.refused(self.bundle("inside.ext4", isolation="sentry"), "needs isolation vm")
        version = pathlib.Path(moat.rootfs("small"), "etc/debian_version").read_text()
        r = self.bundle("inside.ext4")
        self.assertEqual((r.returncode, r.stdout), (0, version), r.stderr)


if __name__ == "__main__":
    unittest.main()
