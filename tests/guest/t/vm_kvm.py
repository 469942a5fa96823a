# SPDX-License-Identifier: Apache-2.0
# Isolation vm with a KVM that works, and the agent's connection by vsock, which the development machines do not have.
# machine: kvm
# timeout: 400
import pathlib
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path[:0] = ["tests/lib", "tests/guest", "tests/oci"]
import moat  # noqa: E402
import report  # noqa: E402
import test_vm  # noqa: E402
import vm  # noqa: E402

VMADDR_CID_LOCAL = 1  # linux/vm_sockets.h


def why_not():
    for module in ("irqbypass", "kvm-amd", "vhost_vsock", "vsock_loopback", "tun"):
        got = subprocess.run(["modprobe", module], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if got.returncode:
            return f"no module {module}: {got.stdout.strip()}"
    return None


def hypervisors():
    """The arguments of the hypervisors that run."""
    found = []
    for pid in vm.processes():
        try:
            arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except OSError:
            continue
        if "-accel" in arguments:
            found.append(arguments)
    return found


class Life(test_vm.Life):
    """The life of tests/oci, with a stranger at the machine's port while the machine starts."""

    def stranger(self, turned_away):
        """Connects to the machine's port from elsewhere, and says what the agent would not."""
        end, found = time.monotonic() + vm.TIMEOUT, []
        while not found and time.monotonic() < end:
            time.sleep(0.05)
            found = hypervisors()
        arguments = found[0]
        device = next(a for a in arguments if a.startswith("vhost-vsock-device"))
        port = int(device.split("guest-cid=")[1].split(",")[0])
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as s:
            s.settimeout(vm.TIMEOUT)
            s.connect((VMADDR_CID_LOCAL, port))
            try:
                s.sendall(b"\xff" * 64)
                turned_away.append(s.recv(1) == b"")
            except (ConnectionResetError, BrokenPipeError):
                turned_away.append(True)
        turned_away.append(arguments[arguments.index("-accel") + 1])

    test_fields = None  # the same as without KVM

    def test_life(self):
        seen = []
        thread = threading.Thread(target=self.stranger, args=(seen,))
        thread.start()
        super().test_life()
        thread.join()
        self.assertEqual(seen, [True, "kvm"])


class Do(unittest.TestCase):
    def test_check(self):
        self.assertIn("KVM runs guests on the processor", moat.run(["check"]).stdout)

    def test_serial_port(self):
        command = [moat.MOAT, "do", "--isolation", "vm", "--rootfs", moat.rootfs("small"), "--", "sh", "-c", "ls /sys/bus/virtio/drivers; exit 3"]
        conf = pathlib.Path("/etc/moat/moat.conf")  # of this guest alone
        conf.parent.mkdir(exist_ok=True)
        conf.write_text("vm.vsock = off\n")
        self.addCleanup(conf.unlink)
        r = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=vm.TIMEOUT)
        self.assertEqual(r.returncode, 3, r.stderr)
        self.assertIn("virtio_console", r.stdout)
        self.assertNotIn("vsock", r.stdout)


skip = why_not()
setUpModule, tearDownModule = vm.set_up, vm.tear_down
report.main(skip)
