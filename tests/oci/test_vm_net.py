# SPDX-License-Identifier: Apache-2.0
"""The network of isolation vm: what a network namespace has is there in the machine, and works."""
import json
import os
import pathlib
import signal
import subprocess
import time

import moat
import netns
import vm
from bundle import BundleTest
from netns import TALK, Netns

HOST_IP = ("/mnt/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "--library-path", "/mnt/lib/x86_64-linux-gnu", "/mnt/bin/ip")


def setUpModule():
    netns.needs()
    vm.set_up()


def tearDownModule():
    vm.tear_down()


class Network(BundleTest):
    isolation = "vm"
    timeout = vm.TIMEOUT
    ONE = {"moat0", "moat1", "moat2", "moat0 ingress", "eth0 ingress"}  # of a machine with one interface, and two devices to spare

    def configure(self, *args, path=None, hooks=None):
        def change(config):
            for n in config["linux"]["namespaces"]:
                if n["type"] == "network" and path is not None:
                    n["path"] = path
            config["mounts"].append({"destination": "/mnt", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]})
            config["hooks"] = hooks or {}
        self.config(*args, change=change)

    def start(self, *args, name="c", **kw):
        """A container that runs; its id."""
        name = self.name(name)
        self.configure(*args, **kw)
        self.create(name)
        self.moat("start", name)
        return name

    def exec(self, name, *cmd):
        r = self.moat("exec", name, *cmd, ok=False, timeout=vm.TIMEOUT)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        return r.stdout

    def wait_for(self, what, condition):
        end = time.monotonic() + vm.TIMEOUT
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.02)

    def serve(self, where, address):
        """A server in a namespace of the host, until the test's end."""
        p = where.popen("python3", "-c", TALK, "serve", address, "7000", stdout=subprocess.PIPE)

        def end():
            p.kill()
            p.communicate()
        self.addCleanup(end)
        self.assertEqual(p.stdout.readline(), "serving\n")

    def talk(self, where, what, *args):
        return where.run("python3", "-c", TALK, what, *map(str, args)).strip()

    def end(self, name):
        self.moat("delete", "--force", name)

    def two_interfaces(self):
        """A namespace with much in it, and its neighbour."""
        ns, peer = Netns(self), Netns(self)
        # In the machine the first device is eth0 by nature.
        ns.veth("eth1", peer, "right", mtu=1400)
        ns.veth("eth0", peer, "left", mtu=9000)
        for dev, other, net in (("eth0", "left", 1), ("eth1", "right", 2)):
            ns.ip("addr", "add", f"10.77.{net}.2/24", "brd", "+", "dev", dev)
            ns.ip("addr", "add", f"fd77:{net}::2/64", "dev", dev, "nodad")
            peer.ip("addr", "add", f"10.77.{net}.1/24", "dev", other)
            peer.ip("addr", "add", f"fd77:{net}::1/64", "dev", other, "nodad")
        ns.ip("addr", "add", "10.77.3.2/32", "dev", "eth1", "label", "eth1:x")
        ns.ip("addr", "add", "10.77.4.4", "peer", "10.77.4.5/32", "dev", "eth1")
        ns.ip("addr", "add", "10.77.9.9/32", "dev", "lo")
        for route in ("default via 10.77.1.1", "10.8.0.0/16 via 10.77.99.1 dev eth1 onlink mtu 1300 advmss 1200", "10.9.0.0/16 dev eth1 scope link metric 7",
                      "10.10.0.0/16 nexthop via 10.77.1.1 weight 3 nexthop via 10.77.2.1", "blackhole 10.11.0.0/16", "unreachable 10.12.0.0/16 metric 9",
                      "default via 10.77.2.1 table 100", "10.13.0.0/16 via inet6 fd77:2::1 dev eth1", "10.14.0.0/16 dev eth0 src 10.77.1.2 proto static"):
            ns.ip("route", "add", *route.split())
        for route in ("default via fd77:1::1", "fd78::/64 via fd77:2::1 metric 77 mtu 1350", "fd79::/64 dev eth1", "blackhole fd7a::/64",
                      "fd7b::/64 nexthop via fd77:1::1 nexthop via fd77:2::1", "default via fd77:2::1 table 100 pref high"):
            ns.ip("-6", "route", "add", *route.split())
        ns.ip("rule", "add", "from", "10.77.2.2", "table", "100", "priority", "500")
        ns.ip("rule", "add", "fwmark", "0x5/0xf", "iif", "eth0", "lookup", "100", "suppress_prefixlength", "0", "priority", "501")
        ns.ip("-6", "rule", "add", "to", "fd7c::/64", "table", "100", "priority", "502")
        ns.ip("neigh", "add", "10.77.1.77", "lladdr", "02:11:22:33:44:55", "dev", "eth0", "nud", "permanent")
        ns.ip("-6", "neigh", "add", "fd77:2::77", "lladdr", "02:11:22:33:44:66", "dev", "eth1", "nud", "permanent")

        def settled():
            return all(a.count("fe80") == 1 and "tentative" not in a for a in (ns.ip("-6", "addr", "show", "dev", d) for d in ("eth0", "eth1")))
        self.wait_for("the host's own addresses", settled)
        return ns, peer

    def test_all_of_a_namespace(self):
        ns, peer = self.two_interfaces()
        before = netns.view(ns.ip)
        name = self.start("python3", "-c", TALK, "serve", "::", "7000", path=ns.path)
        self.assertEqual(ns.traffic(), {"moat0", "moat1", "moat2", "moat3", "moat0 ingress", "moat1 ingress", "eth0 ingress", "eth1 ingress"})
        inside = netns.view(lambda *args: self.exec(name, *HOST_IP, *args))
        self.maxDiff = None
        self.assertEqual(inside, before)
        self.wait_for("the server in the machine", lambda: self.output() == "serving\n")

        for address in ("10.77.1.2", "10.77.2.2", "fd77:1::2", "fd77:2::2"):
            self.assertEqual(self.talk(peer, "tcp", address, 7000, 200000), "same", address)
            self.assertEqual(self.talk(peer, "udp", address, 7000, 20000), "20000", address)
        self.serve(peer, "::")
        for address in ("10.77.1.1", "10.77.2.1", "fd77:1::1", "fd77:2::1"):
            self.assertEqual(self.exec(name, "python3", "-c", TALK, "tcp", address, "7000", "200000"), "same\n", address)
        # Frames of the whole MTU go either way, no more.
        for net, mtu in ((1, 9000), (2, 1400)):
            for count, want in ((mtu - 28, "fits\n"), (mtu - 27, "Message too long\n")):
                self.assertEqual(self.exec(name, "python3", "-c", TALK, "fits", f"10.77.{net}.1", str(count)), want)
        self.assertEqual(self.talk(peer, "udp", "10.77.1.2", 7000, 8972), "8972")

        # The hypervisor's end is that of the network, and the namespace is as it was.
        hypervisor = [q for q in vm.processes(self.pid()) if "qemu" in os.readlink(f"/proc/{q}/exe")]
        self.assertEqual(len(hypervisor), 1)
        self.assertNotIn(os.readlink(f"/proc/{hypervisor[0]}/ns/net"), (os.readlink("/proc/self/ns/net"), os.readlink(f"/proc/{self.pid()}/ns/net")))
        os.kill(hypervisor[0], signal.SIGKILL)
        self.wait_for("the end of the container", lambda: self.status(name) == "stopped")
        self.wait_for("the namespace as it was", lambda: not ns.traffic())
        self.end(name)
        self.assertEqual(netns.view(ns.ip), before)
        self.assertEqual(self.talk(ns, "tcp", "10.77.1.1", 7000, 1000), "same")

    def test_a_killed_monitor(self):
        """What it leaves is the next machine's, or taken away by delete; but never taken from a machine that lives."""
        ns, peer = Netns(self), Netns(self)
        ns.veth("eth0", peer, "left")
        first = self.start("sleep", "1000", path=ns.path)
        os.kill(self.pid(), signal.SIGKILL)
        self.wait_for("the end of the tap", lambda: ns.traffic() == {"eth0 ingress"})
        second = self.start("sleep", "1000", name="second", path=ns.path)
        self.assertEqual(ns.traffic(), self.ONE)
        third = self.name("third")
        r = self.create(third, ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("eth0 belongs to another machine", self.output())
        self.end(first)
        self.assertEqual(ns.traffic(), self.ONE)
        os.kill(self.pid_of(second), signal.SIGKILL)
        self.wait_for("the end of the tap", lambda: ns.traffic() == {"eth0 ingress"})
        self.end(second)
        self.assertEqual(ns.traffic(), set())

    def pid_of(self, name):
        return json.loads(self.moat("state", name).stdout)["pid"]

    def test_interfaces_of_a_hook(self):
        """As Docker does it: the namespace is the container's own, and a hook moves the interface there."""
        peer = Netns(self)
        script = pathlib.Path(self.dir, "hook")
        script.write_text(f"""#!/bin/sh -e
pid=$(sed 's/.*"pid": *\\([0-9]*\\).*/\\1/')
ip -n {peer.name} link add outer type veth peer name eth7 netns $pid
ip -n {peer.name} addr add 10.77.5.1/24 dev outer
ip -n {peer.name} link set outer up
nsenter -t $pid -n ip addr add 10.77.5.2/24 dev eth7
nsenter -t $pid -n ip link set eth7 address 02:42:0a:4d:05:02 up
""")
        script.chmod(0o755)
        name = self.start("python3", "-c", TALK, "serve", "0.0.0.0", "7000", hooks={"prestart": [{"path": str(script)}]})
        self.wait_for("the server in the machine", lambda: self.output() == "serving\n")
        self.assertEqual(self.talk(peer, "tcp", "10.77.5.2", 7000, 100000), "same")
        self.assertEqual(self.exec(name, "cat", "/sys/class/net/eth7/address"), "02:42:0a:4d:05:02\n")
        self.end(name)

    def test_interfaces_that_come_later(self):
        """After create, as newer Docker does it, and while the container runs; and one that goes."""
        ns, peer = Netns(self), Netns(self)
        name = self.name()
        self.configure("python3", "-c", TALK, "serve", "::", "7000", path=ns.path)
        self.create(name)
        self.assertEqual(ns.traffic(), {"moat0", "moat1"})
        self.join(ns, peer, 1)
        self.moat("start", name)  # from here on it is there
        self.assertEqual(self.exec(name, "sh", "-c", "cd /sys/class/net; echo *"), "eth1 lo\n")
        self.wait_for("the server in the machine", lambda: self.output() == "serving\n")
        self.assertEqual(self.talk(peer, "tcp", "10.77.1.2", 7000, 100000), "same")

        def interfaces(want):
            self.wait_for(want, lambda: self.exec(name, "sh", "-c", "cd /sys/class/net; echo *").strip() == want)
        self.join(ns, peer, 2)
        interfaces("eth1 eth2 lo")
        ns.ip("link", "del", "eth1")
        interfaces("eth2 lo")
        self.join(ns, peer, 3)
        self.join(ns, peer, 4)  # there is no device for it
        interfaces("eth2 eth3 lo")
        for address in ("10.77.2.2", "10.77.3.2"):
            self.wait_for(address, lambda: self.talk(peer, "answers", address, 7000) == "yes")
            self.assertEqual(self.talk(peer, "tcp", address, 7000, 100000), "same")
        ns.ip("link", "set", "eth2", "mtu", "1300")
        self.wait_for("the new MTU", lambda: self.exec(name, "cat", "/sys/class/net/eth2/mtu") == "1300\n")
        self.assertEqual(ns.traffic(), {"moat0", "moat1", "moat0 ingress", "moat1 ingress", "eth2 ingress", "eth3 ingress"})
        self.end(name)
        self.assertEqual(ns.traffic(), set())

    def join(self, ns, peer, net):
        ns.veth(f"eth{net}", peer, f"left{net}")
        ns.ip("addr", "add", f"10.77.{net}.2/24", "dev", f"eth{net}")
        peer.ip("addr", "add", f"10.77.{net}.1/24", "dev", f"left{net}")

    def test_no_interfaces(self):
        """A machine without a network has no device and no driver."""
        name = self.start("sleep", "1000")
        self.assertEqual(self.exec(name, "ls", "/sys/class/net"), "lo\n")
        self.assertNotIn("virtio_net", self.exec(name, "cat", "/proc/modules"))
        self.end(name)

    def test_the_hosts_network_is_refused(self):
        def without(config):
            config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "network"]
        self.configure("true", path="/proc/self/ns/net")
        self.assertNotEqual(self.create(self.name("path"), ok=False).returncode, 0)
        self.assertIn("cannot use the host's network", self.output())
        self.config("true", change=without)
        self.assertNotEqual(self.create(self.name(), ok=False).returncode, 0)
        self.assertIn("cannot use the host's network", self.output())
        r = moat.do("true", options=["--isolation", "vm", "--network", "host"])
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("--network host", r.stderr)
