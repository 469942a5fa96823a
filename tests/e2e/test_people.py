# SPDX-License-Identifier: Apache-2.0
"""What moat offers people: help, the manual page, completion in real shells, check, make install and uninstall."""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time
import unittest

import moat


def out(*args, **kw):
    r = moat.run(list(args), **kw)
    assert r.returncode == 0, f"moat {args}: {r.stderr}"
    return r.stdout


def commands():
    text = out("help").split("Commands:\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in text.splitlines()]


class Help(unittest.TestCase):
    def test_each_command(self):
        names = commands()
        self.assertGreater(len(names), 15)
        for name in names:
            text = out("help", name)
            self.assertEqual(text, out(name, "--help"))
            self.assertTrue(text.startswith(f"moat {name} - "), text)
            self.assertLess(max(map(len, text.split("Options:")[0].splitlines())), 120)
        self.assertEqual(out("help"), out("--help"))
        r = moat.run(["help", "nothing"])
        self.assertEqual(r.returncode, 2)
        self.assertIn("nothing", r.stderr)

    def test_manual_page(self):
        page = out("help", "--man")
        for name in commands():
            self.assertRegex(page, rf'\.SS "moat {name}\b')
        if not shutil.which("man"):
            self.skipTest("no man(1) here")
        r = subprocess.run(["man", "--warnings", "-l", "-"], input=page, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"}, timeout=60)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertIn("moat exec [options] ID CMD", r.stdout)
        self.assertIn("--console-socket", r.stdout)


class Completion(unittest.TestCase):
    def bash(self, *words):
        script = ('source <("$0" completion bash); moat() { "$MOAT" "$@"; }; COMP_WORDS=(moat "$@"); COMP_CWORD=$#; _moat; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        env = {**os.environ, "PATH": f"{moat.BUILD}:{os.environ['PATH']}"}
        r = subprocess.run(["bash", "--norc", "-c", script, moat.MOAT, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           env=env, timeout=60)
        self.assertEqual(r.stderr, "")
        return r.stdout.split()

    def test_words(self):
        self.assertEqual(self.bash("cre"), ["create"])
        self.assertEqual(sorted(self.bash("")), sorted(commands()))
        self.assertEqual(self.bash("create", "--console"), ["--console-socket"])
        self.assertEqual(self.bash("list", "--format", ""), ["table", "json"])
        self.assertEqual(self.bash("list", "--format", "=", "j"), ["json"])
        self.assertEqual(self.bash("--log-format", "text", "comp"), ["completion"])
        self.assertEqual(self.bash("completion", "z"), ["zsh"])
        self.assertIn("--root", self.bash("--ro"))

    def test_every_option(self):
        for name in commands():
            listed = set(re.findall(r"^ .*?(--[a-z0-9-]+)", out("help", name), re.M))
            self.assertEqual(set(self.bash(name, "--")), listed, name)

    def test_folders_and_containers(self):
        with tempfile.TemporaryDirectory() as d:
            os.makedirs(d + "/bundle-dir/rootfs")
            pathlib.Path(d, "bundle-file").write_text("")
            self.assertEqual(self.bash("run", "--bundle", d + "/bun"), [d + "/bundle-dir"])
            config = json.loads((out("spec", "--bundle", d + "/bundle-dir"), pathlib.Path(d, "bundle-dir/config.json").read_text())[1])
            config["root"]["path"] = moat.rootfs()
            config["process"].update(args=["true"], terminal=False)
            pathlib.Path(d, "bundle-dir/config.json").write_text(json.dumps(config))
            state, name = d + "/state", "shipwright-" + os.path.basename(d)
            subprocess.run([moat.MOAT, "--root", state, "create", "--bundle", d + "/bundle-dir", name], check=True, timeout=60,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                self.assertEqual(self.bash("--root", state, "start", "ship"), [name])
                self.assertEqual(self.bash("--root", state, "delete", "--force", "x", "ship"), [name])
            finally:
                out("--root", state, "delete", "--force", name)

    def test_at_a_prompt(self):
        """Bash with a terminal, its TAB key and nobody's rc files."""
        pid, fd = pty.fork()
        if pid == 0:
            os.environ.update(PS1="> ", PATH=f"{moat.BUILD}:{os.environ['PATH']}", TERM="dumb", INPUTRC="/dev/null")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        seen = b""

        def until(text):
            nonlocal seen
            deadline = time.monotonic() + 60
            while text not in seen:
                self.assertTrue(select.select([fd], [], [], max(0, deadline - time.monotonic()))[0], seen)
                seen += os.read(fd, 4096)
            seen = seen[seen.index(text) + len(text):]

        try:
            os.write(fd, b"source <(moat completion bash); echo load''ed\n")
            until(b"loaded")
            os.write(fd, b"moat feat\t--sysc\t >/dev/null && echo comp''leted\n")
            until(b"features --syscalls")
            until(b"completed")
        finally:
            os.write(fd, b"\x03\nexit\n")
            os.close(fd)
            os.waitpid(pid, 0)

    def test_other_shells_take_it(self):
        for shell in ("zsh", "fish"):
            with self.subTest(shell):
                if not shutil.which(shell):
                    self.skipTest(f"no {shell} here")
                with tempfile.NamedTemporaryFile("w", suffix="." + shell) as f:
                    f.write(out("completion", shell))
                    f.flush()
                    r = subprocess.run([shell, "-n", f.name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       text=True, timeout=60)
                    self.assertEqual((r.returncode, r.stdout), (0, ""))
        if shutil.which("fish"):
            env = {**os.environ, "PATH": f"{moat.BUILD}:{os.environ['PATH']}", "HOME": "/nonexistent"}
            r = subprocess.run(["fish", "--no-config", "-c", "moat completion fish | source; complete -C 'moat list --format '"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, timeout=60)
            self.assertEqual(sorted(line.split("\t")[0] for line in r.stdout.splitlines()), ["json", "table"], r.stderr)

    def test_wrong_shell(self):
        r = moat.run(["completion", "csh"])
        self.assertEqual(r.returncode, 2)
        self.assertIn("bash, zsh, fish", r.stderr)


class Check(unittest.TestCase):
    def test_text_and_json(self):
        text = out("check")
        self.assertIn("sentry: runs here\n", text)
        found = {c["isolation"]: c for c in json.loads(out("check", "--format", "json"))}
        self.assertTrue(found["sentry"]["runs"])
        for isolation in found.values():
            for c in isolation["checks"]:
                self.assertIn(c["state"], ("ok", "limited", "missing"))
                if c["state"] == "ok":
                    self.assertNotIn("mend", c)

    def test_missing_program(self):
        with tempfile.TemporaryDirectory() as d:
            shutil.copy(moat.MOAT, d + "/moat")
            r = subprocess.run([d + "/moat", "check"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               timeout=60)
        self.assertEqual(r.returncode, 1)
        self.assertRegex(r.stdout, r"missing +moat-sentry: .*\n +mend: make install")


class Install(unittest.TestCase):
    def files(self, top):
        return sorted(str(p.relative_to(top)) for p in pathlib.Path(top).rglob("*") if not p.is_dir())

    def test_install_runs_and_uninstall_leaves_nothing(self):
        with tempfile.TemporaryDirectory() as d:
            os.chmod(d, 0o755)
            make = ["make", "-C", str(moat.REPO), f"BUILD={moat.BUILD}", "PREFIX=/opt/m", f"DESTDIR={d}"]
            subprocess.run([*make, "install"], check=True, stdout=subprocess.DEVNULL, timeout=600)
            there = self.files(d)
            for f in ("bin/moat", "bin/moat-native", "bin/moat-vm", "libexec/moat/moat-sentry", "libexec/moat/moat-gofer",
                      "libexec/moat/moat-agent", "share/man/man8/moat.8",
                      "share/bash-completion/completions/moat", "share/zsh/site-functions/_moat",
                      "share/fish/vendor_completions.d/moat.fish"):
                self.assertIn("opt/m/" + f, there)
            r = subprocess.run([d + "/opt/m/bin/moat", "do", "--", "/bin/echo", "installed"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True, timeout=60)
            self.assertEqual(r.stdout, "installed\n")
            subprocess.run([*make, "uninstall"], check=True, stdout=subprocess.DEVNULL, timeout=60)
            self.assertEqual(self.files(d), [])
            self.assertFalse(os.path.exists(d + "/opt/m/libexec/moat"))


if __name__ == "__main__":
    unittest.main()
