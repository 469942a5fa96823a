# SPDX-License-Identifier: Apache-2.0
# process.selinuxLabel and linux.mountLabel with a kernel that runs SELinux and enforces the policy below; and what happens
# to an AppArmor profile on a kernel without AppArmor.
# timeout: 120
# kernel: security=selinux
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path[:0] = ["tests/lib", "tests/guest"]
import moat  # noqa: E402
import report  # noqa: E402
from bundle import BundleTest, cgroup_folders  # noqa: E402

# The kernel's initial SIDs by number (linux/security/selinux/include/initial_sid_to_string.h; the gaps had names once).
SIDS = """kernel security unlabeled fs file file_labels init any_socket port netif netmsg node igmp_packet icmp_socket tcp_socket
sysctl_modprobe sysctl sysctl_fs sysctl_kernel sysctl_net sysctl_net_unix sysctl_vm sysctl_dev kmod policy scmp_packet devnull""".split()

# What the policy does not name is allowed: only reading files, becoming a domain and looking at keys is governed; of folders the kernel wants to know
# that they can have labels.
POLICY = f"""
(handleunknown allow)
(mls true)
(policycap nnp_nosuid_transition)
(class file (read))
(class dir (quotaon))
(class process (transition dyntransition))
(class key (view))
(classorder (file dir process key))
{' '.join(f'(sid {s})' for s in SIDS)}
(sidorder ({' '.join(SIDS)}))
(sensitivity s0)
(sensitivityorder (s0))
(category c0) (category c1) (category c2)
(categoryorder (c0 c1 c2))
(sensitivitycategory s0 (range c0 c2))
(level low (s0))
(level high (s0 (range c0 c2)))
(role object_r)
(role system_r)
(type kernel_t) (type file_t) (type container_t) (type exec_t) (type container_file_t) (type secret_t)
(roletype system_r kernel_t) (roletype system_r container_t) (roletype system_r exec_t)
(roletype object_r file_t) (roletype object_r container_file_t) (roletype object_r secret_t)
(user system_u)
(userrole system_u object_r)
(userrole system_u system_r)
(userlevel system_u low)
(userrange system_u (low high))
(context kernel_context (system_u system_r kernel_t (low low)))
(context file_context (system_u object_r file_t (low low)))
{' '.join(f'(sidcontext {s} {"kernel" if s == "kernel" else "file"}_context)' for s in SIDS)}
(fsuse trans tmpfs file_context)
(fsuse trans mqueue file_context)
(fsuse trans devpts file_context)
(genfscon proc "/" file_context)
(typeattribute anything)
(typeattributeset anything (kernel_t file_t container_t exec_t container_file_t secret_t))
(allow kernel_t anything (file (read)))
(allow kernel_t anything (process (transition)))
(allow kernel_t anything (key (view)))
(allow container_t file_t (file (read)))
(allow container_t container_file_t (file (read)))
(allow container_t container_t (file (read)))
(allow container_t container_t (key (view)))
(allow exec_t anything (file (read)))
"""
LABEL = "system_u:system_r:container_t:s0:c1,c2"
MOUNTS = "system_u:object_r:container_file_t:s0:c1,c2"
CURRENT = "tr -d '\\0' </proc/self/attr/current; echo"


def context(path):
    return os.getxattr(path, "security.selinux").rstrip(b"\0").decode()


def load():
    """Why there is no policy to test with, or None."""
    if "selinuxfs" not in pathlib.Path("/proc/filesystems").read_text():
        return "the kernel runs without SELinux"
    if subprocess.run(["which", "secilc"], stdout=subprocess.DEVNULL).returncode:
        return "secilc is not installed (Debian's package secilc)"
    subprocess.run(["mount", "-t", "selinuxfs", "selinuxfs", "/sys/fs/selinux"], check=True)
    with tempfile.TemporaryDirectory() as d:
        pathlib.Path(d, "policy.cil").write_text(POLICY)
        subprocess.run(["secilc", "-c", "33", "-o", f"{d}/policy", "-f", "/dev/null", f"{d}/policy.cil"], check=True)
        with open("/sys/fs/selinux/load", "wb", buffering=0) as f:
            f.write(pathlib.Path(d, "policy").read_bytes())
    pathlib.Path("/sys/fs/selinux/enforce").write_text("1")
    return None


class SELinux(BundleTest):
    isolation = "native"

    def setUp(self):
        super().setUp()
        self.secret = self.dir + "/secret"
        os.mkdir(self.secret)
        subprocess.run(["busybox", "mount", "-t", "tmpfs", "-o", "context=system_u:object_r:secret_t:s0", "tmpfs", self.secret], check=True)
        pathlib.Path(self.secret, "key").write_text("hidden\n")

    def tearDown(self):
        subprocess.run(["umount", self.secret], check=True)
        super().tearDown()

    def labelled(self, *args, label=LABEL, change=None, **process):
        def both(config):
            config["linux"]["mountLabel"] = MOUNTS
            config["linux"]["maskedPaths"] = ["/sys/firmware"]
            config["mounts"].append({"destination": "/secret", "type": "bind", "source": self.secret, "options": ["bind"]})
            if change:
                change(config)

        return self.config(*args, selinuxLabel=label, change=both, **process)

    def test_process_and_denied_file(self):
        self.labelled("sh", "-c", CURRENT + "; cat /secret/key; echo $?; cat /etc/hostname >/dev/null; echo $?")
        r = self.run_it(self.name())
        self.assertEqual(r.stdout, f"{LABEL}\n1\n0\n")
        self.assertIn("/secret/key: Permission denied", r.stderr)

    def test_without_a_label_it_is_the_callers(self):
        self.config("sh", "-c", CURRENT)
        self.assertEqual(self.run_it(self.name()).stdout, "system_u:system_r:kernel_t:s0\n")

    def test_no_new_privs_and_ordinary_user(self):
        self.labelled("sh", "-c", CURRENT, user={"uid": 1000, "gid": 1000}, noNewPrivileges=True, capabilities={})
        self.assertEqual(self.run_it(self.name()).stdout, LABEL + "\n")

    def test_in_a_user_namespace(self):
        def change(config):
            config["linux"]["namespaces"].append({"type": "user"})
            maps = [{"containerID": 0, "hostID": 200000, "size": 65536}]
            config["linux"].update({"uidMappings": maps, "gidMappings": maps})

        self.labelled("sh", "-c", CURRENT + "; grep -o _ses.c /proc/keys", change=change)
        self.assertEqual(self.run_it(self.name()).stdout, LABEL + "\n_ses.c\n")

    def test_mounts(self):
        def change(config):
            config["mounts"].append({"destination": "/more", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "mode=755"]})

        name = self.name()
        self.labelled("sleep", "1000", change=change)
        self.create(name)
        self.moat("start", name)
        root = f"/proc/{self.pid()}/root"
        for path in ("/more", "/dev", "/dev/null", "/dev/shm", "/dev/pts", "/dev/mqueue", "/sys/firmware"):
            self.assertEqual(context(root + path), MOUNTS, path)
        self.assertIn("secret_t", context(root + "/secret"))
        self.assertNotIn("container_file_t", context(root + "/proc/version"))
        self.moat("delete", "--force", name)

    def test_mounts_without_the_new_calls(self):
        """A kernel without fsopen gets the label by mount(2)."""
        self.labelled("sh", "-c", "grep -c container_file_t /proc/mounts")
        r = subprocess.run([str(moat.BUILD / "tests/attack/without"), "fsopen,open_tree,mount_setattr,clone3", "--", moat.MOAT, "--root", self.state,
                            "run", "--isolation", "native", "--bundle", self.bundle, self.name()],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertGreaterEqual(int(r.stdout), 3)

    def test_keys(self):
        """The session keyring is the container's: its domain may look at keys of its own label alone."""
        self.labelled("grep", "-o", "_ses.c", "/proc/keys")
        self.assertEqual(self.run_it(self.name()).stdout, "_ses.c\n")
        self.labelled("grep", "-c", "_ses.", "/proc/keys", label="system_u:system_r:exec_t:s0")
        self.assertEqual(self.run_it(self.name("d"), ok=False).stdout, "0\n")

    def test_exec(self):
        name = self.name()
        self.labelled("sleep", "1000")
        self.create(name)
        self.moat("start", name)
        other = "system_u:system_r:exec_t:s0:c1"
        self.assertEqual(self.moat("exec", name, "sh", "-c", CURRENT).stdout, LABEL + "\n")
        self.assertEqual(self.moat("exec", "--process-label", other, name, "sh", "-c", CURRENT + "; cat /secret/key").stdout,
                         f"{other}\nhidden\n")
        self.moat("delete", "--force", name)

    def test_unknown_labels(self):
        bad = "system_u:system_r:nothing_t:s0"
        for change, words in ((lambda c: c["process"].update(selinuxLabel=bad), "nothing_t"),
                              (lambda c: c["linux"].update(mountLabel=bad), "label")):
            name = self.name()
            pathlib.Path(self.bundle, "config.json").unlink(missing_ok=True)
            self.labelled("true", change=change)
            r = self.create(name, ok=False)
            self.assertNotEqual(r.returncode, 0)
            self.assertIn(words, self.output())
            self.assertFalse(os.path.exists(f"{self.state}/{name}"))
            self.assertEqual(cgroup_folders(name), set())

    def test_apparmor_profile_without_apparmor(self):
        name = self.name()
        self.config("true", apparmorProfile="moat-test")
        self.assertNotEqual(self.create(name, ok=False).returncode, 0)
        self.assertIn("process.apparmorProfile 'moat-test': AppArmor is not active on this host", self.output())
        self.assertFalse(os.path.exists(f"{self.state}/{name}"))
        pathlib.Path(self.bundle, "config.json").unlink()
        self.config("true", apparmorProfile="unconfined")
        self.run_it(name)


if __name__ == "__main__":
    report.main(load())
