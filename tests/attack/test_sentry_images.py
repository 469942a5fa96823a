# SPDX-License-Identifier: Apache-2.0
"""Hostile images and configurations under the sentry: what they ask for lands inside, or nowhere."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import unittest

import moat

BUSYBOX = shutil.which("busybox") or "/bin/busybox"


@unittest.skipUnless(os.geteuid() == 0 and os.path.exists(BUSYBOX), "needs root and busybox")
class Images(unittest.TestCase):
    def setUp(self):
        self.before = moat.left_behind()
        self.dir = pathlib.Path(moat.folder("hostile"))
        self.root = self.dir / "bundle/rootfs"
        for folder in ("bin", "etc", "proc", "sys", "dev", "tmp"):
            (self.root / folder).mkdir(parents=True)
        shutil.copy(BUSYBOX, self.root / "bin/busybox")
        for name in ("sh", "cat", "ls", "mkdir", "touch", "ln", "mknod", "mount", "id"):
            (self.root / "bin" / name).symlink_to("busybox")
        self.victim = self.dir / "victim"  # a folder of the host that nothing inside may reach
        self.victim.mkdir()
        (self.victim / "secret").write_text("of the host")
        self.up = "../" * 20 + str(self.victim).lstrip("/")

    def tearDown(self):
        self.assertEqual(os.listdir(self.victim), ["secret"])
        self.assertEqual((self.victim / "secret").read_text(), "of the host")
        shutil.rmtree(self.dir)
        self.assertEqual({x for x in moat.left_behind() - self.before if x.startswith("process")}, set())

    def run_it(self, script, change=None, ok=None):
        mounts = [("/proc", "proc", "proc", []), ("/dev", "tmpfs", "tmpfs", ["nosuid", "mode=755", "size=65536k"]),
                  ("/dev/pts", "devpts", "devpts", ["newinstance", "ptmxmode=0666", "mode=0620"]), ("/sys", "sysfs", "sysfs", ["ro"])]
        caps = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_MKNOD", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE"]
        config = {
            "ociVersion": "1.2.0", "root": {"path": "rootfs"}, "hostname": "attack",
            "process": {"args": ["/bin/sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
                        "capabilities": {k: caps for k in ("bounding", "effective", "permitted")}},
            "mounts": [{"destination": d, "type": t, "source": s, "options": o} for d, t, s, o in mounts],
            "linux": {"namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")],
                      "maskedPaths": ["/proc/kcore", "/proc/keys"], "readonlyPaths": ["/proc/sys"]},
        }
        if change:
            change(config)
        (self.dir / "bundle/config.json").write_text(json.dumps(config))
        r = moat.run(["--root", str(self.dir / "state"), "run", "--isolation", "sentry", "--bundle", str(self.dir / "bundle"),
                      "c-" + self.dir.name])
        if ok is not None:
            self.assertEqual(r.returncode == 0, ok, f"{r.stdout}{r.stderr}")
        return r

    def mount(self, target, **more):
        return lambda c: c["mounts"].append({"destination": target, "type": "tmpfs", "source": "here", **more})

    def test_links_in_place_of_folders(self):
        for name in ("dev", "proc", "sys"):
            for target in (str(self.victim), self.up, "/", "loop-" + name):
                shutil.rmtree(self.root / name) if (self.root / name).is_dir() and not (self.root / name).is_symlink() else (
                    self.root / name).unlink()
                (self.root / name).symlink_to(target if not target.startswith("loop") else name)
                self.run_it("echo x >/dev/null; echo x >/proc/sys/kernel/hostname; ls /dev /proc /sys")
                self.assertEqual(os.listdir(self.victim), ["secret"])
            (self.root / name).unlink()
            (self.root / name).mkdir()

    def test_links_as_mount_targets(self):
        (self.root / "up").symlink_to(self.up)
        (self.root / "abs").symlink_to(self.victim)
        (self.root / "loop").symlink_to("loop")
        for target in ("/up", "/up/new", "/abs", "/abs/new", "/loop/x", "/up/../../../../tmp/y"):
            self.run_it("cat /proc/self/mountinfo", self.mount(target))
            self.assertEqual(os.listdir(self.victim), ["secret"])

    def test_links_behind_devices_masks_and_cwd(self):
        (self.root / "etc/link").symlink_to(self.up)

        def change(c):
            c["linux"]["maskedPaths"] += ["/etc/link/secret", "/etc/link"]
            c["linux"]["readonlyPaths"].append("/etc/link")
            c["linux"]["devices"] = [{"path": "/etc/link/null", "type": "c", "major": 1, "minor": 3}]
            c["process"]["cwd"] = "/etc/link/cwd"
        self.run_it("cat /etc/link/secret", change)

    def test_no_device_of_the_host(self):
        r = self.run_it("mknod /tmp/sda b 8 0; mknod /tmp/mem c 1 1; mknod /tmp/kvm c 10 232; for f in sda mem kvm; do "
                        "cat /tmp/$f >/dev/null 2>&1 && echo opened $f; done; mount -t ext4 /tmp/sda /tmp 2>&1; "
                        "mount -t proc p /tmp && ls /tmp/1/root; true", ok=True)
        self.assertNotIn("opened", r.stdout)
        self.assertNotIn("victim", r.stdout)

    def test_hostile_volume(self):
        """Links in a volume lead nowhere outside; its sockets cannot be reached."""
        volume = self.dir / "volume"
        volume.mkdir()
        (volume / "abs").symlink_to(self.victim)
        (volume / "up").symlink_to(self.up)
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(volume / "sock"))
            s.listen()
            s.settimeout(0)
            bind = {"type": "bind", "source": str(volume), "options": ["rbind", "rw"]}
            r = self.run_it("cat /v/abs/secret /v/up/secret 2>&1; touch /v/abs/x /v/up/x; ln /v/abs/secret /v/hard; echo x >/v/sock",
                            lambda c: c["mounts"].append({"destination": "/v", **bind}))
            self.assertNotIn("of the host", r.stdout)
            self.assertRaises(BlockingIOError, s.accept)

    def test_paths_that_lead_out(self):
        for change in (lambda c: c["linux"].update(sysctl={"net.../../kernel/core_pattern": "|/evil"}),
                       lambda c: c["linux"].update(sysctl={"net.ipv4./../../../etc/passwd": "x"}),
                       lambda c: c["mounts"].append({"destination": "../../x", "type": "tmpfs", "source": "x"})):
            self.run_it("true", change)
        before = pathlib.Path("/proc/sys/kernel/core_pattern").read_text()
        self.assertNotIn("evil", before)

    def test_join_of_a_sandbox_that_is_none(self):
        """Annotations are the image's and the caller's word: an id with a path in it finds nothing outside the state folder."""
        fake = self.dir / "fake"
        fake.mkdir()
        (fake / "pod").write_text("../fake")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.bind(str(fake / "control.sock"))
            s.listen()
            s.settimeout(0)
            for key in ("../fake", "..", "/", str(fake)):
                r = self.run_it("echo up", lambda c: c.update(annotations={
                    "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": key}))
                self.assertEqual(r.stdout, "up\n", r.stderr)
                self.assertRaises(BlockingIOError, s.accept)

    def test_too_much(self):
        """Counts beyond what fits are refused by name, not by a crash."""
        r = self.run_it("true", lambda c: c["linux"].update(maskedPaths=[f"/m{i}" for i in range(3000)]))
        self.assertIn("linux.maskedPaths", r.stderr)
        for change in (lambda c: c["linux"].update(maskedPaths=[f"/m{i}" for i in range(3000)]),
                       lambda c: c["process"].update(args=["/bin/sh", "x" * 190000]),
                       lambda c: c["process"].update(env=["A%d=%s" % (i, "b" * 100) for i in range(3000)]),
                       lambda c: c["mounts"].extend({"destination": f"/m{i}", "type": "bind", "source": "/tmp", "options": ["bind"]}
                                                    for i in range(100))):
            r = self.run_it("true", change)
            self.assertNotEqual(r.returncode, 0)
            self.assertIn("moat:", r.stderr)
            self.assertNotIn("does not answer", r.stderr)


if __name__ == "__main__":
    unittest.main()
