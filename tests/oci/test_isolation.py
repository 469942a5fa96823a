# SPDX-License-Identifier: Apache-2.0
"""Who chooses the isolation: --isolation, annotation, the program's name, /etc/moat/moat.conf, and what the last one locks."""
import json
import os
import pathlib
import shutil
import subprocess
import unittest
import unittest.mock

import moat

HOST = pathlib.Path("/proc/version").read_text()


def can_mount():
    r = subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL)
    return os.geteuid() == 0 and r.returncode == 0


class Isolation(unittest.TestCase):
    def setUp(self):
        self.dir = moat.folder("choice")
        self.addCleanup(shutil.rmtree, self.dir)
        self.bundle = self.dir + "/bundle"
        os.mkdir(self.bundle)

    def run_bundle(self, program="moat", conf=None, options=(), annotations=None):
        """`PROGRAM run` of a bundle that shows its kernel, with a moat.conf of its own in a mount namespace."""
        path = pathlib.Path(self.bundle, "config.json")
        path.unlink(missing_ok=True)
        subprocess.run([moat.MOAT, "spec", "--bundle", self.bundle], check=True)
        config = json.loads(path.read_text())
        config["root"]["path"] = moat.rootfs()
        config["process"].update(args=["cat", "/proc/version"], terminal=False)
        config["annotations"] = annotations or {}
        path.write_text(json.dumps(config))
        link = pathlib.Path(self.dir, program)
        if not link.exists():
            link.symlink_to(moat.MOAT)
        return self.with_conf(conf, str(link), "--root", self.dir + "/state", "run", "--bundle", self.bundle, *options, "c")

    def with_conf(self, conf, *command):
        """Runs a command that finds `conf` as /etc/moat/moat.conf."""
        if conf is not None:
            if not can_mount():
                self.skipTest("needs root and mount namespaces, to put a moat.conf into /etc")
            etc = pathlib.Path(self.dir, "etc")
            shutil.rmtree(etc, ignore_errors=True)
            for sub in ("upper/moat", "work"):
                (etc / sub).mkdir(parents=True)
            (etc / "upper/moat/moat.conf").write_text(conf)
            script = f"mount -t overlay -o lowerdir=/etc,upperdir={etc}/upper,workdir={etc}/work none /etc || exit 77; exec \"$@\""
            command = ("unshare", "--mount", "sh", "-c", script, "sh", *command)
        r = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        if conf is not None and r.returncode == 77:
            self.skipTest("no overlay over /etc can be mounted here: " + r.stderr)
        return r

    def assert_native(self, r):
        self.assertEqual((r.returncode, r.stdout), (0, HOST), r.stderr)

    def assert_sentry(self, r):
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertNotEqual(r.stdout, HOST)

    def assert_refused(self, r, text):
        self.assertEqual((r.returncode, r.stdout), (1, ""), r.stderr)
        self.assertIn(text, r.stderr)

    def test_default(self):
        self.assert_sentry(self.run_bundle())

    def test_program_name(self):
        self.assert_native(self.run_bundle("moat-native"))
        self.assert_sentry(self.run_bundle("moat-sentry"))
        with unittest.mock.patch.dict(os.environ, {"MOAT_GUEST": "/nonexistent"}):
            self.assert_refused(self.run_bundle("moat-vm"), "moat guest build")
            self.assert_refused(self.run_bundle("moat-vm+sentry"), "moat guest build")

    def test_option_comes_first(self):
        self.assert_sentry(self.run_bundle("moat-native", options=["--isolation", "sentry"]))
        self.assert_native(self.run_bundle(options=["--isolation", "native"]))

    def test_annotation_strengthens_only(self):
        key = "dev.moat.isolation"
        self.assert_sentry(self.run_bundle("moat-native", annotations={key: "sentry"}))
        self.assert_refused(self.run_bundle(annotations={key: "native"}), "weaker than 'sentry'")
        self.assert_refused(self.run_bundle(annotations={key: "paper"}), "'paper' is no isolation")
        self.assert_native(self.run_bundle(annotations={key: "native"}, conf="annotation = any\n"))
        self.assert_sentry(self.run_bundle(annotations={key: "native"}, conf="annotation = ignore\n"))

    def test_file(self):
        self.assert_native(self.run_bundle(conf="# services we wrote\nisolation = native\n"))
        self.assert_refused(self.run_bundle(conf="isolation = native\nisolatoin = sentry\n"), "/etc/moat/moat.conf:2: unknown key")

    def test_lock_binds_everybody(self):
        for conf in ("lock = true\n", "allow = sentry, vm\n"):
            self.assert_sentry(self.run_bundle(conf=conf))
            self.assert_refused(self.run_bundle(conf=conf, options=["--isolation", "native"]), "not allowed by /etc/moat/moat.conf")
            self.assert_refused(self.run_bundle("moat-native", conf=conf), "not allowed by /etc/moat/moat.conf")
            self.assert_refused(self.run_bundle(conf=conf + "annotation = any\n", annotations={"dev.moat.isolation": "native"}),
                                "not allowed by /etc/moat/moat.conf")

    def test_check_tells_of_the_file(self):
        def settings(conf, isolation):
            found = json.loads(self.with_conf(conf, moat.MOAT, "check", "--format", "json").stdout)
            checks = next(c for c in found if c["isolation"] == isolation)["checks"]
            return [(c["state"], c["detail"]) for c in checks if c["name"] == "settings"]
        self.assertEqual(settings("lock = true\n", "sentry"), [("ok", "allowed by /etc/moat/moat.conf, whose default is sentry")])
        self.assertEqual(settings("lock = true\n", "native")[0][0], "missing")
        self.assertIn("/etc/moat/moat.conf:1: unknown key", settings("x = y\n", "sentry")[0][1])

    def test_annotations_of_others_are_named(self):
        r = self.run_bundle(annotations={"dev.gvisor.spec.mount.a.type": "tmpfs", "io.katacontainers.config.hypervisor.default_vcpus": "2",
                                         "io.kubernetes.cri.container-name": "x", "org.example": "y"})
        self.assert_sentry(r)
        self.assertIn('annotations["dev.gvisor.spec.mount.a.type"]: ', r.stderr)
        self.assertIn('annotations["io.katacontainers.config.hypervisor.default_vcpus"]: ', r.stderr)
        self.assertEqual(len(r.stderr.splitlines()), 2, r.stderr)


if __name__ == "__main__":
    unittest.main()
