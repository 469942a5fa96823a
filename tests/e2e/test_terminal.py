# SPDX-License-Identifier: Apache-2.0
"""A person at a terminal: moat do -t driven through a host pty."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
import unittest

import moat


class Session:
    """A command under `moat do -t` and what its terminal showed."""

    def __init__(self, *cmd, options=()):
        root = moat.rootfs()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(moat.MOAT, [moat.MOAT, "do", "-t", "--rootfs", root, "--env", "TERM=xterm", "--env", "PS1=$ ", *options, "--", *cmd])
        self.resize(24, 80)
        self.seen = ""

    def resize(self, rows, cols):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def send(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern, timeout=20):
        """Reads until the pattern shows; returns what came before and with it."""
        deadline = time.monotonic() + timeout
        while not (m := re.search(pattern, self.seen)):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no {pattern!r} within {timeout} s in {self.seen[-2000:]!r}")
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"the terminal closed before {pattern!r}: {self.seen[-2000:]!r}")
            self.seen += data.decode(errors="replace")
        got, self.seen = self.seen[:m.end()], self.seen[m.end():]
        return got

    def wait(self):
        try:
            while os.read(self.fd, 65536):
                pass
        except OSError:
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Terminal(unittest.TestCase):
    def setUp(self):
        self.before = moat.left_behind()

    def tearDown(self):
        self.assertEqual(moat.left_behind() - self.before, set())

    def bash(self):
        s = Session("bash", "--norc", "--noediting")
        s.expect(r"\$ ")
        return s

    def test_job_control(self):
        s = self.bash()
        s.send("tty; echo ok-$((40+2))\n")
        s.expect(r"/dev/pts/\d+\r\nok-42\r\n\$ ")
        s.send("cat\n")
        s.send("line\n")
        s.expect("line\r\nline\r\n")
        s.send("\x1a")
        s.expect(r"Stopped.*cat")
        s.send("jobs; fg\n")
        s.expect(r"Stopped.*cat[\s\S]*cat\r\n")
        s.send("again\n")
        s.expect("again\r\nagain\r\n")
        s.send("\x03")
        s.expect(r"\^C[\s\S]*\$ ")
        s.send("echo status $?\n")
        s.expect(r"status 130\r\n")
        s.send("sleep 100 & kill %1; wait; echo waited\n")
        s.expect(r"waited\r\n")
        s.send("exit 6\n")
        self.assertEqual(s.wait(), 6)

    def test_window_size(self):
        s = self.bash()
        s.send("trap 'stty size' WINCH; stty size\n")
        s.expect(r"24 80\r\n\$ ")  # the shell is in the foreground again
        s.resize(50, 132)
        for _ in range(100):  # the shell runs a trap when it has read a line
            s.send("\n")
            try:
                s.expect(r"50 132\r\n", timeout=0.2)
                break
            except AssertionError:
                pass
        else:
            self.fail(f"no new size in {s.seen!r}")
        s.send("exit\n")
        self.assertEqual(s.wait(), 0)

    def test_end_of_file_leaves(self):
        s = self.bash()
        s.send("\x04")
        self.assertEqual(s.wait(), 0)

    def test_vi(self):
        s = Session("vi", "-u", "NONE", "/tmp/text")
        s.expect("text")
        s.send("ihello from vi\x1b")
        s.send(":wq\r")
        self.assertEqual(s.wait(), 0)
        s = Session("sh", "-c", "printf 'one\\ntwo\\n' >/tmp/t; vi -u NONE /tmp/t; cat /tmp/t; echo end")
        s.expect("two")
        s.send("ddp:wq\r")
        s.expect(r"two\r\none\r\nend")
        self.assertEqual(s.wait(), 0)

    def test_less(self):
        s = Session("sh", "-c", "seq 1 1000 | less; echo left")
        s.expect(r"\b23\b")
        s.send("G")
        s.expect(r"\b1000\b")
        s.send("q")
        s.expect("left")
        self.assertEqual(s.wait(), 0)

    def test_hangup(self):
        s = self.bash()
        os.kill(s.pid, signal.SIGHUP)
        self.assertNotEqual(s.wait(), 0)

    def test_all_output_arrives(self):
        for _ in range(5):
            s = Session("seq", "1", "30000")
            s.expect(r"\b30000\r\n")
            self.assertEqual(s.wait(), 0)

    def test_terminal_in_terminal(self):
        s = Session("script", "-qc", "tty; stty size; exit 3", "/dev/null")
        s.expect(r"/dev/pts/1\r\n24 80\r\n")
        self.assertEqual(s.wait(), 0)

    def test_terminal_is_restored(self):
        pid, fd = pty.fork()
        if pid == 0:
            os.execv("/bin/sh", ["sh", "-c", f"stty -a; {moat.MOAT} do -t --rootfs {moat.rootfs()} -- true; stty -a"])
        text = b""
        try:
            while data := os.read(fd, 65536):
                text += data
        except OSError:
            pass
        os.close(fd)
        os.waitpid(pid, 0)
        half = len(text) // 2
        self.assertEqual(text[:half].strip(), text[half:].strip())


if __name__ == "__main__":
    unittest.main()
