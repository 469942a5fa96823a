# SPDX-License-Identifier: Apache-2.0
"""Debian's Docker Engine in a box, and a test case over it."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess

import box
import engine
import images

IMAGE = "busybox"


class Api(http.client.HTTPConnection):
    """The engine's own interface over its socket: quicker than a client program where a test polls."""

    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class DockerTest(engine.EngineTest):
    engine = "docker"
    programs = ("dockerd", "docker", "containerd", "iptables", "ip")
    live_restore = False

    @classmethod
    def start_engine(cls):
        cls.log = cls.box.dir / "dockerd.log"
        cls.daemon = None
        cls.box.path("/etc/docker/daemon.json").write_text(json.dumps({
            "debug": True, "cgroup-parent": "/" + cls.box.cgroup, "init-path": "/usr/bin/tini-static", "live-restore": cls.live_restore,
            "default-runtime": cls.runtime.name}))
        cls.register("--docker")
        cls.start_daemon()
        cls.box.path("/run/image.tar").write_bytes(images.busybox_tar())
        made = cls.box.run("docker", "import", "--change", "CMD /bin/sh", "/run/image.tar", IMAGE)
        if made.returncode:
            raise RuntimeError(made.stderr)

    @classmethod
    def start_daemon(cls):
        with open(cls.log, "ab") as log:
            cls.daemon = cls.box.popen("dockerd", stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def up():
            if cls.daemon.poll() is not None:
                raise RuntimeError("dockerd did not start:\n" + cls.log.read_text()[-3000:])
            try:
                return cls.api("/_ping", text=True) == "OK"
            except OSError:
                return False
        box.wait_for("dockerd answers", up)

    @classmethod
    def daemon_pids(cls, *names):
        """Host pids of the engine's own programs in the box."""
        return [pid for pid, text in cls.box.processes().items() if os.path.basename(text.split(" ")[0]) in names]

    @classmethod
    def kill_daemon(cls):
        for pid in cls.daemon_pids("dockerd"):
            os.kill(pid, signal.SIGKILL)
        cls.daemon.wait()

    @classmethod
    def close_box(cls):
        if cls.daemon is not None and cls.daemon.poll() is None:
            pids = cls.daemon_pids("dockerd")
            for pid in pids:
                os.kill(pid, signal.SIGTERM)
            try:
                cls.daemon.wait(timeout=30)
            except subprocess.TimeoutExpired:
                cls.daemon.kill()
                cls.daemon.wait()
        # Everything but a containerd that is still on its way out must be gone.
        left = [t for t in cls.box.processes().values() if os.path.basename(t.split(" ")[0]) not in ("containerd", "dockerd")]
        super().close_box()
        if left:
            raise AssertionError(f"processes left behind by {cls.__name__}: {left}")

    @classmethod
    def api(cls, path, method="GET", text=False):
        connection = Api(cls.box.path("/run/docker.sock"))
        try:
            connection.request(method, path)
            data = connection.getresponse().read()
        finally:
            connection.close()
        return data.decode() if text else json.loads(data) if data else None

    def docker(self, *args, ok=True, **kw):
        r = self.box.run("docker", *args, **kw)
        if ok:
            self.assertEqual(r.returncode, 0, f"docker {' '.join(map(str, args))}: {r.stdout}{r.stderr}")
        return r

    def out(self, *args, **kw):
        """Standard output of `docker ARGS`, without the last new line."""
        return self.docker(*args, **kw).stdout.rstrip("\n")

    def inspect(self, name):
        return self.api(f"/containers/{name}/json")

    def state(self, name):
        return self.inspect(name)["State"]

    def wait_state(self, name, status, timeout=30):
        return box.wait_for(f"{name} is {status}", lambda: (s := self.state(name))["Status"] == status and s, timeout)

    def background(self, *args, options=(), name="test"):
        """A container in the background; its id."""
        return self.out("run", "-d", "--name", name, *options, IMAGE, *args)

    def wait_log(self, name, text, timeout=30):
        box.wait_for(f"{name} writes {text!r}", lambda: text in self.docker("logs", name).stdout, timeout)

    def terminal(self, *args):
        t = engine.Terminal(self.box, "docker", *args)
        self.addCleanup(lambda: t.process.poll() is None and t.process.kill())
        return t

    def log_mark(self):
        return self.log.stat().st_size

    def story(self, began):
        with open(self.log, errors="replace") as f:
            f.seek(began)
            lines = f.read().splitlines()
        dull = re.compile(r'Calling (GET|HEAD|POST)|loading plugin|"/events"')
        told = "\n".join(line[:400] for line in [x for x in lines if not dull.search(x)][-40:])
        return f"\n=== dockerd's log\n{told}\n=== the runtime's logs\n{self.runtime_logs()}"

    def sweep(self):
        for c in self.api("/containers/json?all=1") or []:
            self.api(f"/containers/{c['Id']}?force=1&v=1", "DELETE")
