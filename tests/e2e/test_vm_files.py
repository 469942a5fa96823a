# SPDX-License-Identifier: Apache-2.0
"""Files of a virtual machine, by each of its file servers (moat.conf, vm.files): the same work gives the same as on the host,
and nothing leads out of what is shared."""
import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import threading
import unittest

import moat
import vm

setUpModule, tearDownModule = vm.set_up, vm.tear_down

SERVERS = ("virtiofsd", "gofer")
WORK = pathlib.Path(__file__).with_name("vm_files_work.py")


def describe(top):
    """What lies below a folder, times and inodes apart."""
    found = {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            s = os.lstat(path)
            facts = [stat.filemode(s.st_mode), s.st_uid, s.st_gid]
            if stat.S_ISREG(s.st_mode):
                facts += [s.st_nlink, s.st_size, hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()]
                facts += [(k, os.getxattr(path, k)) for k in sorted(os.listxattr(path))]
            if stat.S_ISLNK(s.st_mode):
                facts.append(os.readlink(path))
            found[os.path.relpath(path, top)] = facts
    return found


class Files(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(moat.folder("files"))
        self.dir.chmod(0o755)  # an ordinary user works in it
        self.addCleanup(shutil.rmtree, self.dir)

    def do(self, server, *cmd, volumes=()):
        """Runs it in a machine whose files come from this server."""
        return vm.with_conf(f"vm.files = {server}\n", moat.MOAT, "do", "--isolation", "vm", "--rootfs",
                            moat.rootfs(), *(f"--volume={v}" for v in volumes), "--", *cmd)

    def test_equal_to_the_host(self):
        shutil.copy(WORK, self.dir / "work.py")
        (self.dir / "host").mkdir()
        host = subprocess.run([sys.executable, self.dir / "work.py", self.dir / "host"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True)
        self.assertEqual((host.returncode, host.stderr), (0, ""))
        want = describe(self.dir / "host")
        self.assertGreater(len(want), 200)
        for server in SERVERS:
            with self.subTest(server):
                (self.dir / server).mkdir()
                r = self.do(server, "python3", "/work.py", "/v", volumes=(f"{self.dir}/{server}:/v", f"{self.dir}/work.py:/work.py:ro"))
                self.assertEqual((r.returncode, r.stderr), (0, ""))
                self.assertEqual(r.stdout.splitlines(), host.stdout.splitlines())
                self.assertEqual(describe(self.dir / server), want)

    # As root of the machine.  Each line is answered by what is below, whatever the server.
    ATTACK = r"""cd /v
    mknod made b 7 0 2>/dev/null; echo device $?
    mknod made c 1 3 2>/dev/null; echo device $?
    ln -s /etc/shadow shadow; ln -s ../../../../../../etc/shadow far; ln -s /proc/1/root root
    cat shadow far 2>/dev/null | sha256sum | cut -c1-64
    ls root/marker 2>/dev/null; echo outside $?
    cat null </dev/null >/dev/null 2>&1; echo host device $?
    timeout 2 cat fifo >/dev/null 2>&1; echo host fifo $?
    cat absolute 2>/dev/null; echo link $?
    cat ../r/../../outside/secret /v/../outside/secret 2>/dev/null; echo outside $?
    echo x >/r/new 2>/dev/null; echo read-only $?
    mv file /r/file 2>/dev/null; echo read-only $?
    mount -t tmpfs none /v 2>/dev/null; echo still here; echo done >said"""

    def test_nothing_leads_out(self):
        shadow = pathlib.Path(moat.rootfs(), "etc/shadow").read_bytes()
        for server in SERVERS:
            with self.subTest(server):
                top = self.dir / server
                for sub in ("v", "r", "outside"):
                    (top / sub).mkdir(parents=True)
                (top / "outside/secret").write_text("the secret outside\n")
                (top / "v/file").write_text("x")
                os.symlink(top / "outside/secret", top / "v/absolute")
                os.mkfifo(top / "v/fifo")
                os.mknod(top / "v/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
                opened, over = [], threading.Event()
                watcher = threading.Thread(target=self.watch, args=(top / "v/fifo", over, opened))
                watcher.start()
                try:
                    r = self.do(server, "sh", "-c", self.ATTACK, volumes=(f"{top}/v:/v", f"{top}/r:/r:ro"))
                finally:
                    over.set()
                    watcher.join()
                self.assertEqual(r.stdout.splitlines(), [
                    "device 1", "device 1", hashlib.sha256(shadow * 2).hexdigest(), "outside 2", "host device 1", "host fifo 124",
                    "link 1", "outside 1", "read-only 2", "read-only 1", "still here"], r.stderr)
                self.assertEqual(opened, [], "the file server opened the host's FIFO")
                self.assertEqual((top / "v/said").read_text(), "done\n")
                self.assertEqual(os.listdir(top / "r"), [])
                self.assertEqual((top / "outside/secret").read_text(), "the secret outside\n")
                self.assertFalse(os.path.lexists(top / "v/made"))

    @staticmethod
    def watch(fifo, over, opened):
        """Notes when the host's FIFO has a reader."""
        while not over.wait(0.02):
            try:
                os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
                opened.append(True)
            except OSError:
                pass  # ENXIO: nobody reads


if __name__ == "__main__":
    unittest.main()
