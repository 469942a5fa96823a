# SPDX-License-Identifier: Apache-2.0
"""Network namespaces of a test's own, and what is in them."""
import json
import os
import shutil
import subprocess
import unittest

# A server and a client in one: `serve ADDRESS PORT` answers each connection by the digest of what it sends, and each datagram by
# its length; `answers ADDRESS PORT` tells whether there is one; `tcp ADDRESS PORT COUNT` and `udp ADDRESS PORT COUNT` check that; `fits ADDRESS COUNT` sends a datagram that must not be fragmented.
TALK = r"""
import hashlib, os, socket, sys, threading
what, address, *rest = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
def tcp(kind=socket.SOCK_STREAM):
    return socket.socket(family, kind)
def receive(s):
    digest = hashlib.sha256()
    while data := s.recv(65536):
        digest.update(data)
    return digest.hexdigest()
def answer(s):
    with s:
        s.sendall(receive(s).encode())
if what == "serve":
    port = int(rest[0])
    t, u = tcp(), tcp(socket.SOCK_DGRAM)
    t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    t.bind((address, port)); t.listen(16); u.bind((address, port))
    def datagrams():
        while True:
            data, peer = u.recvfrom(65536)
            u.sendto(str(len(data)).encode(), peer)
    threading.Thread(target=datagrams, daemon=True).start()
    print("serving", flush=True)
    while True:
        threading.Thread(target=answer, args=(t.accept()[0],), daemon=True).start()
elif what == "tcp":
    data = os.urandom(int(rest[1]))
    with socket.create_connection((address, int(rest[0])), timeout=60) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        got = s.recv(64, socket.MSG_WAITALL).decode()
    print("same" if got == hashlib.sha256(data).hexdigest() else "other " + got)
elif what == "answers":
    with tcp() as s:
        s.settimeout(5)
        print("yes" if s.connect_ex((address, int(rest[0]))) == 0 else "no")
elif what == "udp":
    with tcp(socket.SOCK_DGRAM) as s:
        s.settimeout(60)
        s.sendto(b"x" * int(rest[1]), (address, int(rest[0])))
        print(s.recv(100).decode())
elif what == "fits":
    with tcp(socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
        s.connect((address, 9))
        try:
            s.send(b"x" * int(rest[0]))
            print("fits")
        except OSError as e:
            print(e.strerror)
"""


def needs():
    """For setUpModule: what the tests call, or a skip."""
    for program in ("ip", "tc"):
        if shutil.which(program) is None:
            raise unittest.SkipTest(f"{program} (iproute2) is not installed")


def sh(*args):
    r = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert r.returncode == 0, f"{' '.join(args)}: {r.stderr}"
    return r.stdout


class Netns:
    """A network namespace with a name, as `ip netns` makes it."""
    count = 0

    def __init__(self, test):
        Netns.count += 1
        self.name = f"test-{os.getpid()}-{Netns.count}"
        self.path = f"/run/netns/{self.name}"
        sh("ip", "netns", "add", self.name)
        test.addCleanup(sh, "ip", "netns", "del", self.name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *args):
        return sh("ip", "-n", self.name, *args)

    def run(self, *args):
        return sh("ip", "netns", "exec", self.name, *args)

    def popen(self, *args, **kw):
        return subprocess.Popen(["ip", "netns", "exec", self.name, *args], stdin=subprocess.DEVNULL, text=True, **kw)

    def veth(self, name, peer, peer_name, mtu=1500):
        """A pair of interfaces, one here and one in `peer`, both up."""
        self.ip("link", "add", name, "mtu", str(mtu), "type", "veth", "peer", "name", peer_name, "mtu", str(mtu), "netns", peer.name)
        peer.ip("link", "set", peer_name, "up")
        self.ip("link", "set", name, "up")

    def traffic(self):
        """Taps, and queueing disciplines and filters for what arrives."""
        found = {link["ifname"] for link in json.loads(self.ip("-j", "link")) if link["ifname"].startswith("moat")}
        found.update(f"{q['dev']} {q['kind']}" for q in json.loads(sh("tc", "-j", "-n", self.name, "qdisc", "show"))
                     if q["kind"] in ("ingress", "clsact"))
        return found


def view(ip):
    """What a network consists of; `ip` runs ip(8) with these arguments there and returns what it writes."""
    seen = {}
    for link in json.loads(ip("-j", "addr")):
        if link["ifname"] != "lo" and not link["ifname"].startswith("moat"):
            seen["link " + link["ifname"]] = (link["mtu"], link["address"], link["txqlen"])
        keys = ("family", "local", "address", "prefixlen", "scope", "broadcast", "label", "noprefixroute", "metric", "valid_life_time")
        seen["addresses " + link["ifname"]] = sorted(str([a.get(k) for k in keys]) for a in link["addr_info"] if a.get("local"))
    for family in ("-4", "-6"):
        routes = [r for r in json.loads(ip("-j", family, "route", "show", "table", "all"))
                  if r.get("type", "unicast") not in ("local", "broadcast", "anycast", "multicast") and "moat" not in r.get("dev", "")]
        for r in routes:
            r.pop("flags", None) if r.get("flags") == [] else None
        seen["routes " + family] = sorted(json.dumps(r, sort_keys=True) for r in routes)
        seen["rules " + family] = sorted(json.dumps(r, sort_keys=True) for r in json.loads(ip("-j", family, "rule")))
    seen["neighbours"] = sorted(json.dumps(n, sort_keys=True) for n in json.loads(ip("-j", "neigh", "show", "nud", "permanent")))
    return seen
