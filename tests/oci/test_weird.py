# SPDX-License-Identifier: Apache-2.0
"""Commands under conditions that nobody wishes for: few descriptors, no standard streams, a full or read-only state folder, odd files
for config.json, every byte in an id, two commands on one container at once.  What fails says so in one line and leaves nothing."""
import json
import os
import pathlib
import resource
import socket
import subprocess
import unittest

import moat
from bundle import BundleTest, each_isolation


class Weird:
    def setUp(self):
        super().setUp()
        self.config("sleep", "1000")

    def create_args(self, name):
        return ["create", "--isolation", self.isolation, "--bundle", self.bundle, name]

    def call(self, *args, **kw):
        """A command whose output is a file: exit status and output."""
        with open(self.dir + "/out", "wb") as out:
            code = subprocess.run([moat.MOAT, "--root", self.state, *args], **{"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out,
                                                                             "timeout": 60, **kw}).returncode
        return code, pathlib.Path(self.dir, "out").read_text(encoding="utf-8")

    def refused(self, result, word=""):
        code, text = result
        self.assertEqual((code, len(text.splitlines())), (1, 1), text)
        self.assertIn(word, text)

    def test_few_descriptors(self):
        made = 0
        for count in (3, 4, 5, 6, 8, 10, 13, 16, 20, 30, 50, 128):
            name = self.name(f"n{count}")
            code, text = self.call(*self.create_args(name), preexec_fn=lambda n=count: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n)))
            if code == 0:
                made += 1
                self.moat("delete", "--force", name)
                continue
            self.assertEqual(len(text.splitlines()), 1, text)
            self.assertRegex(text.lower(), "too many open files")
            self.moat("delete", "--force", name)  # with so few, taking it back may fail too
        self.assertGreater(made, 0)

    def test_without_standard_streams(self):
        name = self.name()

        def closed():
            for fd in range(3):
                os.close(fd)
        self.assertEqual(self.call(*self.create_args(name), preexec_fn=closed), (0, ""))
        for args in (["start", name], ["exec", name, "true"], ["ps", name], ["list"], ["pause", name], ["resume", name], ["kill", name, "KILL"],
                     ["delete", "--force", name]):
            self.assertEqual(self.call(*args, preexec_fn=closed), (0, ""), args)

    def test_output_that_cannot_be_written(self):
        name = self.name()
        self.create(name)
        for args in (["state", name], ["list"], ["list", "--format", "json"], ["ps", name], ["features"], ["spec", "--bundle", self.dir]):
            with open("/dev/full", "wb") as full:
                r = subprocess.run([moat.MOAT, "--root", self.state, *args], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE,
                                   text=True, timeout=60)
            if args[0] == "spec":
                self.assertEqual(r.returncode, 0)  # has nothing to say
            else:
                self.assertEqual((r.returncode, r.stderr.count("\n")), (1, 1), args)
                self.assertIn("standard output", r.stderr)
        self.moat("delete", "--force", name)

    def test_log_that_cannot_be_opened(self):
        r = moat.run(["--root", self.state, "--log", self.dir + "/nowhere/log", "list"])
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertIn("cannot open the log", r.stderr)

    def small_root(self, size):
        """Commands on a state folder in a small file system; a mount namespace of its own takes it away."""
        script = "mkdir -p \"$1\" && mount -t tmpfs -o size=$0,mode=711 t \"$1\" && shift && exec sh -c \"$@\""
        return ["unshare", "--mount", "sh", "-c", script, size, self.state]

    @unittest.skipUnless(os.geteuid() == 0, "mounts a file system")
    def test_full_state_folder(self):
        name = self.name()
        script = ('"$0" --root "$1" create --isolation "$2" --bundle "$3" "$4" >"$5" 2>&1 </dev/null; echo $?; ls "$1" | wc -l; '
                  '"$0" --root "$1" delete --force "$4" && ls "$1" | wc -l')
        for size, full in (("4k", True), ("8k", True), ("64k", False)):
            r = subprocess.run([*self.small_root(size), script, moat.MOAT, self.state, self.isolation, self.bundle, name, self.dir + "/out"],
                               stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
            self.assertEqual(r.stdout.split(), ["1", "0", "0"] if full else ["0", "1", "0"], r.stderr + self.output())
            if full:
                self.assertIn("No space left", self.output())

    @unittest.skipUnless(os.geteuid() == 0, "mounts a file system")
    def test_read_only_state_folder(self):
        """What exists can be looked at and be killed; nothing is made, started or deleted."""
        name = self.name()
        script = ('m() { "$0" --root "$root" "$@"; echo "$1 $?"; }; root=$1; m create --isolation "$2" --bundle "$3" "$4" >"$5" 2>&1 </dev/null; '
                  'mount -o remount,ro "$1" "$1" 2>/dev/null || mount --bind -o ro "$1" "$1" || exit 9; '
                  'for c in state ps start delete; do m $c "$4" 2>&1; done | grep " [0-9]$" | grep "^[a-z]* [01]$"; '
                  'm create --isolation "$2" --bundle "$3" other 2>&1; m list -q; m kill "$4" KILL; m wait "$4"')
        script += '; mount -o remount,rw "$1" 2>/dev/null || umount "$1"; m delete --force "$4"'
        r = subprocess.run([*self.small_root("1m"), script, moat.MOAT, self.state, self.isolation, self.bundle, name, self.dir + "/out"],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertIn("create 1", r.stdout, r.stderr)
        self.assertIn("Read-only file system", r.stdout)
        for said in ("state 0", "ps 0", "start 1", "delete 1", "list 0", "kill 0", "wait 137", "delete 0"):
            self.assertIn(said + "\n", r.stdout, r.stdout + r.stderr)

    def test_what_config_json_may_be(self):
        path = pathlib.Path(self.bundle, "config.json")
        good = path.read_text()

        def replaced(make, word):
            with self.subTest(word=word, make=make):
                path.unlink()
                make()
                self.refused(self.call(*self.create_args("odd")), word)
                self.assertFalse(os.path.exists(self.state + "/odd"))
                os.rmdir(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                path.write_text(good)
        replaced(lambda: os.mkfifo(path), "not a regular file")
        replaced(lambda: path.symlink_to("/dev/zero"), "not a regular file")
        replaced(lambda: path.symlink_to("nowhere"), "No such file")
        replaced(path.mkdir, "not a regular file")
        replaced(lambda: path.write_text(good + " " * (5 << 20)), "larger than")
        replaced(lambda: path.write_text("[" * 1000000), "nesting")
        replaced(lambda: path.write_text(good[:50] + "\0" + good[50:]), "JSON")
        replaced(lambda: path.write_text(""), "JSON")
        with socket.socket(socket.AF_UNIX) as s:
            replaced(lambda: s.bind(str(path)), "config.json")
        path.rename(self.dir + "/real.json")
        path.symlink_to(self.dir + "/real.json")  # an administrator may
        self.create(self.name())
        self.moat("delete", "--force", self.ids[-1])

    def test_two_creates_of_one_id(self):
        for _ in range(4):
            name = self.name("twice")
            with open(self.dir + "/out", "wb") as out:
                both = [subprocess.Popen([moat.MOAT, "--root", self.state, *self.create_args(name)], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
                        for _ in range(3)]
                self.assertEqual(sorted(p.wait(timeout=60) for p in both), [0, 1, 1], self.output())
            self.assertEqual(self.output().count("already exists"), 2)
            self.assertEqual(self.status(name), "created")
            self.moat("delete", "--force", name)

    def test_delete_during_create(self):
        """Delete comes at any moment of a create: it waits for it, or there is nothing yet.  Afterwards the name is free."""
        for _ in range(6):
            name = self.name("race")
            with open(self.dir + "/out", "wb") as out:
                maker = subprocess.Popen([moat.MOAT, "--root", self.state, *self.create_args(name)], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
                while maker.poll() is None:
                    self.assertEqual(moat.run(["--root", self.state, "delete", "--force", name]).returncode, 0)
            self.assertIn(maker.returncode, (0, 1), self.output())
            self.moat("delete", "--force", name)
            self.create(name)
            self.moat("delete", "--force", name)

    def test_state_is_plain_json(self):
        """As runc prints it: a line a member, no escaped slashes, no empty annotations."""
        name = self.name()
        self.create(name)
        text = self.moat("state", name).stdout
        self.assertIn(f'\n  "bundle": "{self.bundle}",\n', text)
        self.assertEqual((json.loads(text)["owner"], "annotations" in json.loads(text)), ("root" if os.geteuid() == 0 else json.loads(text)["owner"], False))
        self.assertIn(f'"bundle":"{self.bundle}"', self.moat("list", "--format", "json").stdout)
        heading, row = self.moat("list").stdout.splitlines()
        self.assertEqual([row[heading.index(w):].split()[0] for w in heading.split()][:4], [name, str(self.pid()), "created", self.bundle])
        self.moat("start", name)
        self.assertIn("cannot start an already running container", self.moat("start", name, ok=False).stderr)
        self.moat("delete", "--force", name)


each_isolation(globals(), Weird)


class Ids(BundleTest):
    """What comes before any isolation."""
    call = Weird.call

    def test_every_byte_in_an_id(self):
        for byte in range(1, 256):
            char = bytes([byte])
            for name in (b"a" + char + b"b", char):
                code, text = self.call("create", "--bundle", "/nowhere", "--", name)
                self.assertEqual((code, len(text.splitlines())), (1, 1), name)
                self.assertTrue(all(c.isprintable() for c in text.strip()), name)
                fine = char.decode("latin1") in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-" and name != b"."
                self.assertIn("/nowhere" if fine else "container id", text, name)
        self.assertFalse(os.path.exists(self.state))

if __name__ == "__main__":
    unittest.main()
