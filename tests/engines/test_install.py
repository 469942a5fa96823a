# SPDX-License-Identifier: Apache-2.0
"""moat install: what it writes, what it leaves alone, and that it takes back exactly what it wrote."""
import json
import os
import pathlib
import shutil
import subprocess
import tomllib
import unittest

import moat

CONTAINERD = """version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"   # a remark that stays
"""


class Install(unittest.TestCase):
    def setUp(self):
        self.etc = pathlib.Path(moat.folder("install"))
        self.addCleanup(shutil.rmtree, self.etc)
        self.bin = self.etc / "bin"
        self.bin.mkdir()
        (self.bin / "moat").symlink_to(moat.MOAT)

    def install(self, *args, ok=True):
        r = moat.run(["install", "--etc", str(self.etc), "--path", str(self.bin), *args])
        self.assertEqual(r.returncode == 0, ok, r.stdout + r.stderr)
        return r

    def file(self, name, text=None):
        path = self.etc / name
        if text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return path

    def daemon(self):
        return json.loads((self.etc / "docker/daemon.json").read_text())

    def test_shown_and_not_written(self):
        r = self.install("--docker", "--podman", "--containerd", "--crio")
        self.assertIn(f'+      "path": "{self.bin}/moat"', r.stdout)
        self.assertIn("Nothing was written", r.stdout)
        self.assertEqual(sorted(os.listdir(self.etc)), ["bin"])
        self.assertEqual(os.listdir(self.bin), ["moat"])

    def test_docker(self):
        before = '{"log-level": "warn",\n "runtimes": {"other": {"path": "/opt/other", "runtimeArgs": ["x/y"]}}}\n'
        path = self.file("docker/daemon.json", before)
        os.chmod(path, 0o640)
        self.install("--docker", "--apply")
        self.assertEqual(self.daemon(), {"log-level": "warn", "runtimes": {
            "other": {"path": "/opt/other", "runtimeArgs": ["x/y"]}, "moat": {"path": f"{self.bin}/moat"},
            "moat-native": {"path": f"{self.bin}/moat-native"}}})
        self.assertEqual(path.stat().st_mode & 0o777, 0o640)
        self.assertEqual(os.readlink(self.bin / "moat-native"), "moat")
        written = path.read_bytes()
        self.assertIn("nothing to change", self.install("--docker", "--apply").stdout)
        self.assertEqual(path.read_bytes(), written)
        self.install("--docker", "--remove", "--apply")
        self.assertEqual(self.daemon(), json.loads(before))
        self.assertEqual(sorted(os.listdir(path.parent)), ["daemon.json"])

    def test_docker_from_nothing_and_back(self):
        self.install("--docker", "--apply", "--default")
        self.assertEqual(self.daemon()["default-runtime"], "moat")
        self.install("--docker", "--apply", "--remove")
        self.assertFalse((self.etc / "docker/daemon.json").exists())
        self.install("--docker", "--apply", "--remove")

    def test_docker_default_of_another_stays(self):
        self.file("docker/daemon.json", '{"default-runtime": "other", "runtimes": {"other": {"path": "/opt/other"}}}')
        self.install("--docker", "--apply")
        self.assertEqual(self.daemon()["default-runtime"], "other")
        self.install("--docker", "--apply", "--remove")
        self.assertEqual(self.daemon()["default-runtime"], "other")

    def test_docker_broken_files(self):
        for text in ("{", "[]", '{"runtimes": []}', "not json", '{"a": "\\ud800"'):
            path = self.file("docker/daemon.json", text)
            self.assertIn("mend it first", self.install("--docker", "--apply", ok=False).stderr)
            self.assertEqual(path.read_text(), text)

    def test_docker_symlink_stays_one(self):
        real = self.file("elsewhere/daemon.json", "{}")
        (self.etc / "docker").mkdir()
        (self.etc / "docker/daemon.json").symlink_to(real)
        self.install("--docker", "--apply")
        self.assertTrue((self.etc / "docker/daemon.json").is_symlink())
        self.assertIn("moat", json.loads(real.read_text())["runtimes"])

    def test_handlers_of_others(self):
        self.install("--docker", "--apply", "--handler", "runsc", "--handler", "kata-runtime", "--handler", "trusted=native")
        got = {k: os.path.basename(v["path"]) for k, v in self.daemon()["runtimes"].items()}
        self.assertEqual(got, {"moat": "moat", "moat-native": "moat-native", "runsc": "moat", "kata-runtime": "moat-vm",
                               "trusted": "moat-native"})
        for bad in ("strange", "a b=native", '"x"=native', "x=none", "=native", "../x=native"):
            self.install("--docker", "--handler", bad, ok=False)

    def test_containerd(self):
        path = self.file("containerd/config.toml", CONTAINERD)
        self.install("--containerd", "--apply", "--handler", "runsc")
        text = path.read_text()
        self.assertTrue(text.startswith(CONTAINERD))
        plugin = tomllib.loads(text)["plugins"]["io.containerd.grpc.v1.cri"]
        self.assertEqual(plugin["cni"]["bin_dir"], "/usr/lib/cni")
        runtimes = plugin["containerd"]["runtimes"]
        # A file that names runtimes replaces containerd's own list, and default_runtime_name is runc.
        self.assertEqual({k: v["options"].get("BinaryName") for k, v in runtimes.items()},
                         {"runc": None, "moat": f"{self.bin}/moat", "moat-native": f"{self.bin}/moat-native", "runsc": f"{self.bin}/moat"})
        self.assertEqual({v["runtime_type"] for v in runtimes.values()}, {"io.containerd.runc.v2"})
        self.install("--containerd", "--apply", "--handler", "runsc")
        self.assertEqual(path.read_text(), text)
        self.install("--containerd", "--apply")
        self.assertNotIn("runsc", path.read_text())
        self.install("--containerd", "--remove", "--apply")
        self.assertEqual(path.read_text(), CONTAINERD)

    def test_containerd_reads_it(self):
        if shutil.which("containerd") is None:
            self.skipTest("containerd is not installed")
        path = self.file("containerd/config.toml", CONTAINERD)
        self.install("--containerd", "--apply", "--default")
        r = subprocess.run(["containerd", "--config", path, "config", "dump"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           timeout=60)
        self.assertEqual(r.returncode, 0, r.stderr)
        cri = tomllib.loads(r.stdout)["plugins"]["io.containerd.grpc.v1.cri"]
        self.assertEqual(cri["containerd"]["default_runtime_name"], "moat")
        self.assertEqual(cri["containerd"]["runtimes"]["moat"]["options"]["BinaryName"], f"{self.bin}/moat")
        self.assertEqual(cri["cni"]["bin_dir"], "/usr/lib/cni")

    def test_containerd_systemd_and_version_3(self):
        path = self.file("containerd/config.toml", "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\n"
                                                   "  SystemdCgroup = true\n")
        self.install("--containerd", "--apply")
        moat_runtime = tomllib.loads(path.read_text())["plugins"]["io.containerd.cri.v1.runtime"]["containerd"]["runtimes"]["moat"]
        self.assertIs(moat_runtime["options"]["SystemdCgroup"], True)

    def test_containerd_refusals(self):
        for text, why in (("", "version"), ("[plugins]\n", "version"), ("# version = 2\n", "version"),
                          (CONTAINERD + '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.moat]\n', "already"),
                          (CONTAINERD + "# begin moat: written by `moat install`, taken away by `moat install --remove`\n", "end moat")):
            path = self.file("containerd/config.toml", text)
            self.assertIn(why, self.install("--containerd", "--apply", ok=False).stderr)
            self.assertEqual(path.read_text(), text)

    def test_drop_ins(self):
        self.install("--podman", "--crio", "--apply")
        podman = tomllib.loads((self.etc / "containers/containers.conf.d/50-moat.conf").read_text())
        self.assertEqual(podman["engine"]["runtimes"]["moat-native"], [f"{self.bin}/moat-native"])
        self.assertNotIn("runtime", podman["engine"])
        crio = tomllib.loads((self.etc / "crio/crio.conf.d/50-moat.conf").read_text())["crio"]["runtime"]["runtimes"]["moat"]
        self.assertEqual((crio["runtime_path"], crio["runtime_type"]), (f"{self.bin}/moat", "oci"))
        self.install("--podman", "--crio", "--apply", "--default")
        self.assertIn('runtime = "moat"', (self.etc / "containers/containers.conf.d/50-moat.conf").read_text())
        self.install("--podman", "--crio", "--remove", "--apply")
        self.assertEqual([p for p in self.etc.rglob("*moat.conf")], [])

    def test_what_is_not_there(self):
        self.assertIn("give --path", moat.run(["install", "--docker", "--etc", str(self.etc), "--path", "/nonexistent"]).stderr)
        self.assertIn("absolute", moat.run(["install", "--docker", "--path", "bin"]).stderr)


if __name__ == "__main__":
    unittest.main()
