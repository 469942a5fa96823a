# SPDX-License-Identifier: Apache-2.0
# process.apparmorProfile with a kernel that has AppArmor and profiles that Debian's parser loaded.
# timeout: 120
import os
import pathlib
import subprocess
import sys
import unittest

sys.path[:0] = ["tests/lib", "tests/guest"]
import moat  # noqa: E402
import report  # noqa: E402
from bundle import BundleTest, cgroup_folders  # noqa: E402

FILES = "file, capability, signal, network, mount, umount, pivot_root, ptrace, unix,"
PROFILES = f"""
profile moat-test flags=(attach_disconnected,mediate_deleted) {{
  {FILES}
  deny /etc/shadow rwklx,
  deny /tmp/** wlk,
}}
profile moat-exec flags=(attach_disconnected,mediate_deleted) {{
  {FILES}
  deny /etc/passwd r,
}}
"""
DENIED = "cat /etc/shadow; echo shadow $?; cat /etc/passwd >/dev/null; echo passwd $?; cat /proc/self/attr/current"


def why_not():
    enabled = pathlib.Path("/sys/module/apparmor/parameters/enabled")
    if not enabled.exists() or enabled.read_text().strip() != "Y":
        return "the kernel has no AppArmor"
    if subprocess.run(["which", "apparmor_parser"], stdout=subprocess.DEVNULL).returncode:
        return "apparmor_parser is not installed (Debian's package apparmor)"
    return None


class AppArmor(BundleTest):
    isolation = "native"

    def prepared(self, *args, profile="moat-test", **process):
        return self.config(*args, apparmorProfile=profile, **process)

    def running(self, profile="moat-test"):
        name = self.name()
        self.prepared("sleep", "1000", profile=profile)
        self.create(name)
        self.moat("start", name)
        return name

    def label(self, pid):
        return pathlib.Path(f"/proc/{pid}/attr/apparmor/current").read_text().strip()

    def test_label_and_denied_file(self):
        self.prepared("sh", "-c", DENIED)
        r = self.run_it(self.name())
        self.assertEqual(r.stdout, "shadow 1\npasswd 0\nmoat-test (enforce)\n")
        self.assertIn("/etc/shadow: Permission denied", r.stderr)

    def test_host_sees_the_label(self):
        name = self.running()
        self.assertEqual(self.label(self.pid()), "moat-test (enforce)")
        self.moat("delete", "--force", name)

    def test_not_applied_before_start(self):
        name = self.name()
        self.prepared("true")
        self.create(name)
        self.assertEqual(self.label(self.pid()), "unconfined")
        self.moat("delete", "--force", name)

    def test_unconfined_and_none(self):
        for profile in ("unconfined", ""):
            self.prepared("cat", "/proc/self/attr/current", profile=profile)
            self.assertEqual(self.run_it(self.name("c" + profile)).stdout, "unconfined\n")

    def test_ordinary_user_without_rights(self):
        """no_new_privs and dropped capabilities come after the label."""
        self.prepared("cat", "/proc/self/attr/current", user={"uid": 1000, "gid": 1000}, noNewPrivileges=True,
                      capabilities={})
        self.assertEqual(self.run_it(self.name()).stdout, "moat-test (enforce)\n")

    def test_in_a_user_namespace(self):
        def change(config):
            config["linux"]["namespaces"].append({"type": "user"})
            maps = [{"containerID": 0, "hostID": 200000, "size": 65536}]
            config["linux"].update({"uidMappings": maps, "gidMappings": maps})

        self.config("cat", "/proc/self/attr/current", change=change, apparmorProfile="moat-test")
        self.assertEqual(self.run_it(self.name()).stdout, "moat-test (enforce)\n")

    def test_exec_has_the_containers_profile_or_its_own(self):
        name = self.running()
        for options, shown in ((["--apparmor", "moat-exec"], "shadow 0\npasswd 1\nmoat-exec (enforce)\n"),
                               ([], "shadow 1\npasswd 0\nmoat-test (enforce)\n")):
            r = self.moat("exec", *options, name, "sh", "-c", DENIED.replace("cat /etc/shadow", "cat /etc/shadow >/dev/null"), ok=False)
            self.assertEqual(r.stdout, shown, r.stderr)
        r = self.moat("exec", "--apparmor", "moat-nowhere", name, "true", ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("moat-nowhere", r.stderr)
        self.assertEqual(self.status(name), "running")
        self.moat("delete", "--force", name)

    def test_missing_profile_fails_create(self):
        name = self.name()
        self.prepared("true", profile="moat-nowhere")
        r = self.create(name, ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertRegex(self.output(), "moat-nowhere.*is the profile loaded")
        self.assertFalse(os.path.exists(f"{self.state}/{name}"))
        self.assertEqual(cgroup_folders(name), set())

    def test_stacked_profiles(self):
        self.prepared("cat", "/proc/self/attr/current", profile="moat-test//&moat-exec")
        self.assertEqual(self.run_it(self.name()).stdout, "moat-exec//&moat-test (enforce)\n")

    def test_start_hooks_have_the_profile(self):
        """As runc's: a startContainer hook is a program of the container."""
        def change(config):
            config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "cat /proc/self/attr/current >/dev/shm/label"]}]}

        self.config("cat", "/dev/shm/label", change=change, apparmorProfile="moat-test")
        self.assertEqual(self.run_it(self.name()).stdout, "moat-test (enforce)\n")

    def test_fake_proc_is_refused(self):
        """An image or volume that shows a /proc of its own does not get the label written into it (CVE-2019-16884)."""
        fake = f"{self.dir}/fake"
        os.makedirs(f"{fake}/self/attr/apparmor")
        for f in ("exec", "apparmor/exec"):
            pathlib.Path(fake, "self/attr", f).write_text("")

        def change(config):
            config["mounts"] = [m for m in config["mounts"] if m["destination"] != "/proc"]
            config["mounts"].append({"destination": "/proc", "type": "bind", "source": fake, "options": ["bind", "rw"]})
            config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []

        self.config("sleep", "1000", change=change, apparmorProfile="moat-test")
        name = self.name()
        r = self.create(name, ok=False)
        if r.returncode == 0:
            self.moat("start", name)
            self.assertEqual(self.label(self.pid()), "moat-test (enforce)")
            self.moat("delete", "--force", name)
        for f in ("exec", "apparmor/exec"):
            self.assertEqual(pathlib.Path(fake, "self/attr", f).read_text(), "")


if __name__ == "__main__":
    reason = why_not()
    if not reason:
        subprocess.run(["mount", "-t", "securityfs", "securityfs", "/sys/kernel/security"], check=True)
        subprocess.run(["apparmor_parser", "--replace", "--skip-cache"], input=PROFILES, text=True, check=True)
    report.main(reason)
