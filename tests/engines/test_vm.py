# SPDX-License-Identifier: Apache-2.0
"""Engines with isolation vm: a container's network reaches into its machine, whoever made it."""
import json

import box
import dockerd
import engine
import vm
from dockerd import IMAGE
from test_podman import PodmanTest

engine.RUNTIMES["vm"] = engine.Runtime("moat-vm", "moat-vm")


def setUpModule():
    vm.needs()


def prepare(where):
    """The program by its third name, and a guest image at its usual place."""
    where.path("/run/bin/moat-vm").symlink_to("moat")
    built = where.run("/run/bin/moat", "guest", "--kernel", vm.KERNEL / "vmlinuz", "--modules", vm.modules(), "build")
    if built.returncode:
        raise RuntimeError(built.stderr)


class Docker(dockerd.DockerTest):
    isolation = "vm"

    @classmethod
    def register(cls, *_):
        prepare(cls.box)
        path = cls.box.path("/etc/docker/daemon.json")
        config = json.loads(path.read_text())
        config["runtimes"] = {cls.runtime.name: {"path": cls.runtime_path}}
        path.write_text(json.dumps(config))

    def fetch(self, port):
        return self.box.run("busybox", "nc", "-w", "10", "127.0.0.1", str(port)).stdout

    def test_published_port(self):
        self.background("serve", "80", "hello", options=("-p", "8081:80", "--dns", "192.0.2.53"))
        box.wait_for("the published port answers", lambda: self.fetch(8081) == "hello\n", vm.TIMEOUT)
        network = self.inspect("test")["NetworkSettings"]
        got = self.out("exec", "test", "sh", "-c", "uname -r; ls /sys/class/net | tr '\\n' ' '; cat /sys/class/net/eth0/address /etc/resolv.conf; "
                       "ip -4 -o addr show dev eth0; ip route; grep test /etc/hosts || hostname -i")
        self.assertIn(vm.modules().name + "\neth0 lo " + network["MacAddress"] + "\nnameserver 192.0.2.53", got)
        self.assertIn(f" {network['IPAddress']}/{network['IPPrefixLen']} ", got)
        self.assertIn(f"default via {network['Gateway']} dev eth0", got)
        # From the machine to the host, and to another container.
        self.docker("run", "-d", "--name", "other", "--runtime", "runc", IMAGE, "serve", "80", "other")
        other = self.inspect("other")["NetworkSettings"]["IPAddress"]
        self.assertEqual(self.out("exec", "test", "nc", "-w", "10", other, "80"), "other")
        self.assertEqual(self.out("exec", "other", "nc", "-w", "10", network["IPAddress"], "80"), "hello")
        self.docker("restart", "-t", "0", "test")
        box.wait_for("the published port answers again", lambda: self.fetch(8081) == "hello\n", vm.TIMEOUT)

    def test_no_network_and_the_hosts(self):
        self.assertEqual(self.out("run", "--rm", "--network", "none", IMAGE, "ls", "/sys/class/net"), "lo")
        r = self.docker("run", "--rm", "--network", "host", IMAGE, "true", ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("cannot use the host's network", r.stderr)


class Podman(PodmanTest):
    isolation = "vm"

    @classmethod
    def register(cls, *_):
        prepare(cls.box)
        conf = cls.box.path("/etc/containers/containers.conf.d/91-vm.conf")
        conf.write_text(f'[engine.runtimes]\n{cls.runtime.name} = ["{cls.runtime_path}"]\n')

    def test_published_port(self):
        self.background("serve", "80", "hello", options=("-p", "8081:80"))
        box.wait_for("the published port answers", lambda: self.box.run("busybox", "nc", "-w", "10", "127.0.0.1", "8081").stdout == "hello\n",
                     vm.TIMEOUT)
        self.assertEqual(self.out("exec", "test", "uname", "-r"), vm.modules().name)


def load_tests(loader, _tests, _pattern):
    suite = engine.unittest.TestSuite()
    for case in (Docker, Podman):
        suite.addTests(loader.loadTestsFromTestCase(case))
    return suite
