# SPDX-License-Identifier: Apache-2.0
"""The pages of docs/engines are followed word by word, in a box whose /usr/local and /etc are as on a fresh machine."""
import os
import re
import signal
import subprocess

import box
import engine
import images
import moat

# What a test cannot do, or has done already: packages, the init system, a cluster, a registry's larger images, a person at a terminal.
NOT_HERE = re.compile(r"apt-get|systemctl|journalctl|kubectl|make uninstall|images pull|run --rm -it|debian|nginx")


class Pages(engine.EngineTest):
    programs = ("dockerd", "podman", "containerd", "make")
    runtimes = ("sentry",)
    engine = "pages"

    def setUp(self):
        self.did = []
        # A fresh /usr/local, and nothing of an earlier page.
        self.sh("umount /usr/local 2>/dev/null; rm -rf /run/local /etc/docker/* /etc/containers/containers.conf.d; mkdir -p /run/local/u /run/local/w; "
                "mount -t overlay -o lowerdir=/usr/local,upperdir=/run/local/u,workdir=/run/local/w overlay /usr/local")

    def sh(self, line):
        r = self.box.run("sh", "-c", line, env={"PATH": "/usr/local/bin:" + box.PATH})
        self.assertEqual(r.returncode, 0, f"{line}\n{r.stdout}{r.stderr}")
        return r.stdout

    def follow(self, page, replace=()):
        """Runs the page's commands in order; {command: output}."""
        text = (moat.REPO / "docs/engines" / page).read_text()
        out = {}
        for block in re.findall(r"^```\n(.*?)^```", text, re.M | re.S):
            for line in block.splitlines():
                line = re.sub(r"\s{2,}#.*", "", line).strip()
                for old, new in ((" && systemctl restart containerd", ""), (" && systemctl reload docker", ""), *replace):
                    line = line.replace(old, new)
                if line and not NOT_HERE.search(line):
                    line = line.replace("make && make install", f"make -C {moat.REPO} -o all install BUILD={moat.BUILD}")
                    line = line.replace("moat check", "moat check || true")
                    out[line] = self.sh(line)
        return out

    def daemon(self, *args):
        log = open(self.box.dir / "daemon.log", "ab")
        self.addCleanup(log.close)
        # The page's /usr/local must be the daemon's too.
        p = self.box.popen(*args, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(p.wait)

        def end():
            for pid, text in self.box.processes().items():
                if os.path.basename(text.split(" ")[0]) == args[0]:
                    os.kill(pid, signal.SIGTERM)
        self.addCleanup(end)

    def test_docker(self):
        self.box.path("/etc/docker/daemon.json").write_text('{"cgroup-parent": "/%s"}' % self.box.cgroup)
        self.daemon("dockerd")
        box.wait_for("dockerd answers", lambda: self.box.run("docker", "version").returncode == 0)
        self.box.path("/run/image.tar").write_bytes(images.busybox_tar())
        self.sh("docker import /run/image.tar busybox")
        page = (moat.REPO / "docs/engines/docker.md").read_text()
        self.assertIn("systemctl reload docker", page)
        # `systemctl reload docker` is a SIGHUP.
        out = self.follow("docker.md", [("docker info", "kill -HUP $(cat /run/docker.pid); until docker info | grep -q moat; do sleep 0.05; done; docker info")])
        runtimes = next(v for k, v in out.items() if "docker info" in k)
        self.assertIn('"moat":{"path":"/usr/local/bin/moat"}', runtimes)
        host = os.uname().version
        self.assertNotIn(host, next(v for k, v in out.items() if "uname -a" in k))
        self.assertIn("uid=0", next(v for k, v in out.items() if "moat-native busybox id" in k))
        self.assertNotIn("moat", self.box.path("/etc/docker/daemon.json").read_text().replace(self.box.cgroup, ""))

    def test_podman(self):
        self.sh("mkdir -p /etc/containers/containers.conf.d; printf '[engine]\\ncgroup_manager = \"cgroupfs\"\\nevents_logger = \"file\"\\n' "
                ">/etc/containers/containers.conf.d/10-box.conf")
        images.oci_archive(self.box.path("/run/image.tar"), "docker.io/library/busybox:latest")
        self.sh("podman load -q -i /run/image.tar")
        parent = f"--cgroup-parent /{self.box.cgroup} "
        out = self.follow("podman.md", [(" run ", f" run {parent}"), ("pod create", f"pod create --infra-image docker.io/library/busybox --infra-command 'sleep 1000' {parent}"),
                                        ("podman --runtime /usr/local/bin/moat run ...", "true")])
        self.assertNotIn(os.uname().version, next(v for k, v in out.items() if "uname -a" in k))
        self.assertFalse(self.box.path("/etc/containers/containers.conf.d/50-moat.conf").exists())

    def test_containerd(self):
        self.daemon("containerd")
        box.wait_for("containerd answers", lambda: self.box.run("ctr", "version").returncode == 0)
        images.oci_archive(self.box.path("/run/image.tar"), "docker.io/library/busybox:latest")
        self.sh("ctr images import /run/image.tar")
        self.sh("cp /etc/containerd/config.toml /run/before 2>/dev/null || printf 'version = 2\\n' >/etc/containerd/config.toml; "
                "cp /etc/containerd/config.toml /run/before")
        # ctr loses output of a program that ends at once: see MOMENT in test_containerd.py.
        out = self.follow("containerd.md", [("uname -a", "sh -c 'uname -a; sleep 0.3'"), ("run --rm --runc", f"run --rm --cgroup /{self.box.cgroup}/one --runc"),
                                            ("run -d --runc", f"run -d --cgroup /{self.box.cgroup}/two --runc")])
        self.assertIn("/usr/local/bin/moat", next(v for k, v in out.items() if "config dump" in k))
        self.assertNotIn(os.uname().version, next(v for k, v in out.items() if "uname -a" in k))
        self.sh("cmp /run/before /etc/containerd/config.toml")


load_tests = engine.load_tests_of(Pages)
