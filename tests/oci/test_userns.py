# SPDX-License-Identifier: Apache-2.0
"""User namespaces under the sentry: ids inside are those of linux.uidMappings on the host's files; ordinary users."""
import json
import os
import pathlib
import shutil
import subprocess
import unittest

import moat

FIRST = 100000


class Base(unittest.TestCase):
    def setUp(self):
        self.before = moat.left_behind()
        self.dir = moat.folder("userns")
        os.chmod(self.dir, 0o755)
        self.bundle = self.dir + "/bundle"
        self.volume = pathlib.Path(self.dir, "volume")
        os.mkdir(self.bundle)
        self.volume.mkdir()

    def tearDown(self):
        shutil.rmtree(self.dir)
        self.assertEqual(moat.left_behind() - self.before, set())

    def write_config(self, script, user=(0, 0), **linux):
        path = pathlib.Path(self.bundle, "config.json")
        config = json.loads(path.read_text())
        config["process"].update({"args": ["sh", "-c", script], "terminal": False,
                                  "user": {"uid": user[0], "gid": user[1]}})
        config["process"]["capabilities"] = {k: ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETUID"]
                                             for k in ("bounding", "effective", "permitted")}
        config["mounts"].append({"destination": "/v", "source": str(self.volume), "options": ["rbind", "rw"]})
        config["linux"].update(linux)
        return path, config


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class Mapped(Base):
    def run_mapped(self, script, user=(0, 0), ok=True, **kw):
        moat.run(["spec", "--bundle", self.bundle])
        path, config = self.write_config(script, user, **kw)
        config["root"]["path"] = moat.rootfs()
        if not any(n["type"] == "user" for n in config["linux"]["namespaces"]):
            config["linux"]["namespaces"].append({"type": "user"})
        ids = [{"containerID": 0, "hostID": FIRST, "size": 65536}]
        config["linux"].update({"uidMappings": ids, "gidMappings": ids})
        path.write_text(json.dumps(config))
        r = moat.run(["--root", self.dir + "/state", "run", "--bundle", self.bundle, "c"])
        if ok:
            self.assertEqual(r.returncode, 0, r.stderr)
        return r.stdout

    def owner(self, name):
        st = os.lstat(self.volume / name)
        return st.st_uid - FIRST, st.st_gid - FIRST

    def test_files_get_the_mapped_ids(self):
        os.chown(self.volume, FIRST, FIRST)
        out = self.run_mapped("cd /v; id -u; touch a; mkdir d; ln -s a l; touch b; chown 5:6 b; stat -c %u:%g a b d")
        self.assertEqual(out, "0\n0:0\n5:6\n0:0\n")
        self.assertEqual([self.owner(n) for n in ("a", "b", "d", "l")], [(0, 0), (5, 6), (0, 0), (0, 0)])

    def test_files_show_the_mapped_ids(self):
        for name, uid in (("root", FIRST), ("seven", FIRST + 7), ("host", 0)):
            (self.volume / name).write_text(name)
            os.chown(self.volume / name, uid, uid)
        out = self.run_mapped("cd /v; stat -c %u:%g root seven host")
        self.assertEqual(out, "0:0\n7:7\n65534:65534\n")

    def test_root_inside_is_not_roots_equal(self):
        secret = self.volume / "secret"
        secret.write_text("of the host's root")
        secret.chmod(0o600)
        os.chown(self.volume, FIRST, FIRST)
        out = self.run_mapped("cd /v; cat secret 2>&1; chown 0 secret 2>&1; rm -f secret; touch mine; chown 70000 mine; "
                              "stat -c %u mine; chmod 4755 mine")
        self.assertNotIn("of the host's root", out)
        self.assertIn("ermission denied", out)
        self.assertFalse(secret.exists())  # its folder is the container's
        self.assertEqual(self.owner("mine"), (0, 0))

    def test_another_user_inside(self):
        os.chown(self.volume, FIRST + 1000, FIRST + 1000)
        out = self.run_mapped("cd /v; touch x && stat -c %u x; id -u", user=(1000, 1000))
        self.assertEqual(out, "1000\n1000\n")
        self.assertEqual(self.owner("x"), (1000, 1000))

    def test_namespace_by_path(self):
        holder = subprocess.Popen(["unshare", "--user", "sleep", "1000"])
        try:
            base = pathlib.Path(f"/proc/{holder.pid}")
            while os.readlink(base / "ns/user") == os.readlink("/proc/self/ns/user"):
                pass
            for name in ("uid_map", "gid_map"):
                (base / name).write_text(f"0 {FIRST + 500} 1000")
            os.chown(self.volume, FIRST + 500, FIRST + 500)
            moat.run(["spec", "--bundle", self.bundle])
            path, config = self.write_config("touch /v/x; stat -c %u /v/x")
            config["root"]["path"] = moat.rootfs()
            config["linux"]["namespaces"].append({"type": "user", "path": str(base / "ns/user")})
            path.write_text(json.dumps(config))
            r = moat.run(["--root", self.dir + "/state", "run", "--bundle", self.bundle, "c"])
            self.assertEqual((r.stdout, r.returncode), ("0\n", 0), r.stderr)
            self.assertEqual(self.owner("x"), (500, 500))
        finally:
            holder.kill()
            holder.wait()


@unittest.skipUnless(os.geteuid() == 0, "needs root to become someone else")
class Ordinary(Base):
    UID = 1234

    def as_user(self, *args, **kw):
        def become():
            os.setgroups([])
            os.setresgid(self.UID, self.UID, self.UID)
            os.setresuid(self.UID, self.UID, self.UID)
        kw.setdefault("stdin", subprocess.DEVNULL)
        env = {"PATH": os.environ["PATH"], "HOME": self.dir, "XDG_RUNTIME_DIR": self.dir + "/run"}
        return subprocess.run([self.moat, "--root", self.dir + "/state", *args], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60, preexec_fn=become, cwd=self.dir, env=env, **kw)

    def setUp(self):
        super().setUp()
        # The build folder may lie where only root can go.
        programs = pathlib.Path(self.dir, "bin")
        programs.mkdir()
        for name in ("moat", "moat-sentry", "moat-gofer"):
            shutil.copy2(moat.BUILD / name, programs / name)
        self.moat = str(programs / "moat")
        for p in (self.dir, self.bundle, self.volume):
            os.chown(p, self.UID, self.UID)
        r = self.as_user("spec", "--rootless", "--bundle", self.bundle)
        self.assertEqual(r.returncode, 0, r.stderr)

    def configure(self, script):
        path, config = self.write_config(script)
        config["root"] = {"path": "/", "readonly": True}
        path.write_text(json.dumps(config))

    def test_run(self):
        self.configure("id -u; touch /v/x; stat -c %u /v/x; exit 3")
        r = self.as_user("run", "--bundle", self.bundle, "c")
        self.assertEqual((r.stdout, r.returncode), ("0\n0\n", 3), r.stderr)
        self.assertEqual(os.stat(self.volume / "x").st_uid, self.UID)

    def test_life(self):
        self.configure("sleep 1000")
        with open(self.dir + "/out", "w+") as out:
            path = self.dir + "/pid"
            done = subprocess.run(
                ["setpriv", f"--reuid={self.UID}", f"--regid={self.UID}", "--clear-groups", self.moat, "--root",
                 self.dir + "/state", "create", "--bundle", self.bundle, "--pid-file", path, "c"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.dir, timeout=60)
            out.seek(0)
            self.assertEqual(done.returncode, 0, out.read())
        self.assertEqual(self.as_user("start", "c").returncode, 0)
        r = self.as_user("exec", "c", "sh", "-c", "id -u; exit 4")
        self.assertEqual((r.stdout, r.returncode), ("0\n", 4), r.stderr)
        self.assertIn("sleep 1000", self.as_user("ps", "c").stdout)
        # Nothing of it is more than the user himself.
        pid = int(pathlib.Path(path).read_text())
        self.assertEqual(os.stat(f"/proc/{pid}").st_uid, self.UID)
        self.assertEqual(self.as_user("kill", "c", "KILL").returncode, 0)
        self.assertEqual(self.as_user("wait", "c").returncode, 137)
        self.assertEqual(self.as_user("delete", "c").returncode, 0)

    def test_limits_out_of_reach_are_named(self):
        path, config = self.write_config("true", resources={"memory": {"limit": 64 << 20}, "pids": {"limit": 20}})
        config["root"] = {"path": "/", "readonly": True}
        path.write_text(json.dumps(config))
        r = self.as_user("run", "--bundle", self.bundle, "c")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("warning", r.stderr)


if __name__ == "__main__":
    unittest.main()
