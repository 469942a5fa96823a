# SPDX-License-Identifier: Apache-2.0
"""The commands of the life cycle and their options, under every isolation."""
import concurrent.futures
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
import unittest

import moat
from bundle import BundleTest, each_isolation


def wait_readable(fd):
    assert select.select([fd], [], [], 60)[0], "nothing came"


def read_until(fd, text):
    seen = b""
    while text not in seen:
        wait_readable(fd)
        seen += os.read(fd, 4096)
    return seen


class Commands:
    def running(self, *args, **process):
        """A started container."""
        name = self.name()
        self.config(*(args or ("sleep", "1000")), **process)
        self.create(name)
        self.moat("start", name)
        return name

    def gone(self, name):
        self.moat("delete", "--force", name)

    def until_it_waits(self, pid):
        """`moat wait` holds a pidfd of the container's process: before, the status may be lost to its parent."""
        deadline = time.monotonic() + 60
        while not any("pidfd" in os.readlink(f"/proc/{pid}/fd/{f}") for f in os.listdir(f"/proc/{pid}/fd")):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def listen(self, path):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.bind(path)
        s.listen()
        s.settimeout(60)
        return s

    def received(self, listener):
        peer, _ = listener.accept()
        with peer:
            name, fds, _, _ = socket.recv_fds(peer, 100, 4)
        self.assertEqual(len(fds), 1)
        return name, fds[0]

    # ---- the life of a container ----

    def test_life(self):
        name = self.name()
        self.config("sh", "-c", "echo started; exec sleep 1000", change=lambda c: c.update(annotations={"k": "v"}))
        self.create(name)
        self.assertEqual(self.output(), "")
        state = json.loads(self.moat("state", name).stdout)
        self.assertEqual({k: state[k] for k in ("id", "status", "pid", "bundle", "rootfs", "annotations")},
                         {"id": name, "status": "created", "pid": self.pid(), "bundle": self.bundle, "rootfs": moat.rootfs(),
                          "annotations": {"k": "v"}})
        self.assertRegex(state["created"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")
        self.assertRegex(state["ociVersion"], r"^1\.\d+\.\d+$")
        os.kill(self.pid(), 0)
        self.moat("start", name)
        self.assertEqual(self.status(name), "running")
        self.assertIn("cannot start", self.moat("start", name, ok=False).stderr)
        r = self.moat("delete", name, ok=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn("not stopped", r.stderr)
        waiter = subprocess.Popen([moat.MOAT, "--root", self.state, "wait", name], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.until_it_waits(waiter.pid)
        while self.output() == "":  # a machine takes its time
            time.sleep(0.01)
        self.moat("kill", name, "KILL")
        said = waiter.communicate(timeout=60)[1]
        self.assertEqual(waiter.returncode, 137, said)
        self.assertEqual(self.moat("wait", name, ok=False).returncode, 137, "the first wait keeps it for others")
        self.assertEqual(self.status(name), "stopped")
        self.assertEqual(json.loads(self.moat("state", name).stdout)["pid"], 0)
        self.assertIn("container not running", self.moat("kill", name, ok=False).stderr)
        self.assertIn("process already finished", self.moat("kill", name, ok=False).stderr)
        self.assertIn("container not running", self.moat("exec", name, "true", ok=False).stderr)
        self.moat("delete", name)
        for command in (["state"], ["start"], ["kill"], ["delete"], ["ps"], ["wait"], ["exec", "--"], ["pause"]):
            r = self.moat(*command, name, *(["true"] if command[0] == "exec" else []), ok=False)
            self.assertNotEqual(r.returncode, 0)
            self.assertIn("container does not exist", r.stderr, command)
        self.moat("delete", "--force", name)
        self.assertEqual(self.output(), "started\n")
        self.assertEqual(os.listdir(self.state), [])

    def test_status_that_run_keeps(self):
        name = self.name()
        self.config("sh", "-c", "exit 9")
        self.assertEqual(self.run_it(name, "--keep", ok=False).returncode, 9)
        self.assertEqual(self.moat("wait", name, ok=False).returncode, 9)
        self.moat("delete", name)

    def test_status_of_who_is_not_reaped(self):
        """Its parent has not asked yet: the status is there for everybody, and afterwards for who waits later."""
        name = self.name()
        self.config("sh", "-c", "exit 11")
        # A subreaper as engines' shims are, which lets the container's process be until it is told.
        script = ("import ctypes, os, subprocess, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); subprocess.run(sys.argv[1:], check=True, "
                  "stdin=0, stdout=2); print('made', flush=True); input(); os.wait(); print('reaped', flush=True); input()")
        args = [moat.MOAT, "--root", self.state, "run", "-d", "--isolation", self.isolation, "--bundle", self.bundle, "--pid-file",
                self.dir + "/pid", name]
        with subprocess.Popen(["python3", "-c", script, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True) as shim:
            self.assertEqual(shim.stdout.readline(), "made\n")
            self.assertEqual(self.moat("wait", name, ok=False).returncode, 11)
            shim.stdin.write("\n")
            shim.stdin.flush()
            self.assertEqual(shim.stdout.readline(), "reaped\n")
            self.assertEqual(self.moat("wait", name, ok=False).returncode, 11)
            shim.communicate("\n", timeout=30)
        self.moat("delete", name)

    def test_end_by_itself(self):
        name = self.running("sh", "-c", "exit 7")
        self.moat("wait", name, ok=False)
        self.assertEqual(self.status(name), "stopped")
        self.moat("delete", name)

    def test_delete_created(self):
        name = self.name()
        self.config("true")
        self.create(name)
        self.moat("delete", name)

    def test_same_name_twice(self):
        name = self.name()
        self.config("true")
        self.create(name)
        r = self.create(name, ok=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn("already exists", self.output())
        self.assertEqual(self.status(name), "created")
        self.moat("delete", name)

    def test_bundle_may_go(self):
        """Later commands need nothing of the bundle's config.json."""
        name = self.running()
        os.unlink(self.bundle + "/config.json")
        self.assertEqual(self.moat("exec", name, "echo", "here").stdout, "here\n")
        self.gone(name)

    def test_program_missing(self):
        name = self.name()
        for program, text in (("nothing-here", "executable file not found in $PATH"), ("/no/such", "no such file or directory"),
                              ("/etc/passwd", "permission denied")):
            self.config(program)
            r = self.create(name, ok=False)
            if r.returncode == 0:  # runc tells at start
                r = self.moat("start", name, ok=False)
                self.gone(name)
                said = r.stderr
            else:
                said = self.output()
            self.assertEqual(r.returncode, 1)
            self.assertIn(program, said)
            self.assertIn(text, said)

    # ---- run ----

    def test_run_streams_and_status(self):
        self.config("sh", "-c", "cat; echo err >&2; exit 3")
        r = self.run_it(self.name(), ok=False, input="text", stdin=None)
        self.assertEqual((r.stdout, r.stderr, r.returncode), ("text", "err\n", 3))
        self.config("sh", "-c", "kill -9 $$; sleep 1000")
        name = self.name("killed")
        self.config("sh", "-c", "sh -c 'kill -9 $$'; exit $?")
        self.assertEqual(self.run_it(name, ok=False).returncode, 137)

    def test_run_detached(self):
        name = self.name()
        self.config("sleep", "1000")
        with open(self.dir + "/out", "wb") as out:
            r = subprocess.run([moat.MOAT, "--root", self.state, "run", "--isolation", self.isolation, "--bundle", self.bundle, "--detach",
                                "--pid-file", self.dir + "/pid", name], stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60)
        self.assertEqual(r.returncode, 0, self.output())
        self.assertEqual(self.status(name), "running")
        os.kill(self.pid(), 0)
        self.gone(name)

    def test_run_keep(self):
        name = self.name()
        self.config("true")
        self.run_it(name, "--keep", "--no-subreaper", "--no-new-keyring")
        self.assertEqual(self.status(name), "stopped")
        self.moat("delete", name)

    def test_run_forwards_signals(self):
        name = self.name()
        self.config("sh", "-c", "trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.05; done")
        p = subprocess.Popen([moat.MOAT, "--root", self.state, "run", "--isolation", self.isolation, "--bundle", self.bundle, name],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline(), "ready\n")
        p.send_signal(signal.SIGUSR1)
        self.assertEqual(p.communicate(timeout=60)[0], "got\n")
        self.assertEqual(p.returncode, 5)

    def on_terminal(self, *args):
        """`moat ARGS` on a terminal of 33 x 99: (pid, master)."""
        pid, fd = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
            os.execv(moat.MOAT, [moat.MOAT, "--root", self.state, *args])
        return pid, fd

    def check_terminal(self, pid, fd):
        """A shell that said "ready" is on it: size, change of size, ^C, raw input, exit status."""
        os.write(fd, b"stty size; tty\n")
        self.assertRegex(read_until(fd, b"/dev/"), rb"33 99")
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 88, 0, 0))
        os.kill(pid, signal.SIGWINCH)
        os.write(fd, b"trap 'echo win''ched' WINCH; until [ \"$(stty size)\" = '44 88' ]; do sleep 0.05; done; echo size''d\n")
        read_until(fd, b"sized")
        os.write(fd, b"sh -c 'echo \"in\"side; exec sleep 1000'\n")
        read_until(fd, b"inside")
        os.write(fd, b"\x03")
        os.write(fd, b"echo al''ive\n")
        read_until(fd, b"alive")
        os.write(fd, b"exit 9\n")
        try:
            while os.read(fd, 4096):
                pass
        except OSError:
            pass
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 9)
        os.close(fd)

    def test_run_on_a_terminal(self):
        name = self.name()
        self.config("bash", "--norc", "-i", terminal=True, env=["PATH=/usr/bin:/bin", "PS1=ready> ", "TERM=dumb"])
        pid, fd = self.on_terminal("run", "--isolation", self.isolation, "--bundle", self.bundle, name)
        read_until(fd, b"ready> ")
        self.check_terminal(pid, fd)

    def test_terminal_needs_a_place(self):
        self.config("true", terminal=True)
        name = self.name()
        self.assertEqual(self.create(name, ok=False).returncode, 1)
        self.assertIn("--console-socket", self.output())
        self.assertIn("terminal", self.run_it(name, ok=False).stderr)
        self.assertEqual(os.listdir(self.state) if os.path.isdir(self.state) else [], [])

    # ---- create's options ----

    def test_console_socket(self):
        name = self.name()
        self.config("sh", "-c", "tty; stty size; exec sleep 1000", terminal=True, consoleSize={"height": 12, "width": 34})
        with self.listen(self.dir + "/console.sock") as s:
            self.create(name, "--console-socket", self.dir + "/console.sock")
            text, fd = self.received(s)
        self.assertTrue(text.startswith(b"/dev/"), text)
        self.moat("start", name)
        self.assertIn(b"/dev/", read_until(fd, b"12 34"))
        self.gone(name)
        os.close(fd)

    def test_pidfd_socket(self):
        name = self.name()
        self.config("sleep", "1000")
        with self.listen(self.dir + "/pidfd.sock") as s:
            self.create(name, "--pidfd-socket", self.dir + "/pidfd.sock")
            _, fd = self.received(s)
        self.assertIn(f"Pid:\t{self.pid()}\n", pathlib.Path(f"/proc/self/fdinfo/{fd}").read_text())
        self.gone(name)
        wait_readable(fd)
        os.close(fd)

    def test_preserved_descriptors(self):
        self.config("sh", "-c", "cat <&3; cat <&4; ls /proc/self/fd | wc -l; echo ${LISTEN_FDS-unset} ${LISTEN_PID-unset}")
        files = []
        for i in range(2):
            f = os.open(f"{self.dir}/f{i}", os.O_RDWR | os.O_CREAT)
            os.pwrite(f, b"file %d\n" % i, 0)
            files.append(f)

        def run(*options, shell=""):
            script = f'{shell} exec "$0" --root {self.state} run --isolation {self.isolation} --bundle {self.bundle} "$@" {self.name()}'
            for f in files:
                os.lseek(f, 0, os.SEEK_SET)
            return subprocess.run(["bash", "-c", f"exec 3<&{files[0]} 4<&{files[1]}; {script}", moat.MOAT, *options], pass_fds=files,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)

        r = run("--preserve-fds", "2")
        self.assertEqual((r.stdout, r.returncode), ("file 0\nfile 1\n6\nunset unset\n", 0), r.stderr)
        r = run("--preserve-fds", "1", shell="export LISTEN_FDS=1 LISTEN_PID=$$;")
        self.assertEqual((r.stdout, r.returncode), ("file 0\nfile 1\n6\n1 1\n", 0), r.stderr)
        # Another program's descriptors are not passed on.
        self.assertEqual(run("--preserve-fds", "2", shell="export LISTEN_FDS=1 LISTEN_PID=1;").stdout, "file 0\nfile 1\n6\nunset unset\n")
        r = run("--preserve-fds", "900")
        self.assertEqual(r.returncode, 1)
        self.assertIn("not open", r.stderr)
        for f in files:
            os.close(f)

    def test_notify_socket(self):
        """sd_notify(3) from inside, where host sockets can be reached at all."""
        code = "import os, socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])"
        self.config("python3", "-c", code, change=lambda c: c["mounts"].append(
            {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]}))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(self.dir + "/notify.sock")
            r = self.run_it(self.name(), ok=False, env={**os.environ, "NOTIFY_SOCKET": self.dir + "/notify.sock"})
            if self.isolation == "native":
                self.assertEqual(r.returncode, 0, r.stderr)
                s.settimeout(60)
                self.assertEqual(s.recv(100), b"READY=1")
            else:
                self.assertIn("warning: NOTIFY_SOCKET is not passed on", r.stderr)

    def test_pid_file_is_whole_or_not_there(self):
        name = self.name()
        self.config("true")
        r = moat.run(["--root", self.state, "create", "--isolation", self.isolation, "--bundle", self.bundle, "--pid-file",
                      self.dir + "/none/pid", name])
        self.assertEqual(r.returncode, 1)
        self.assertIn("pid file", r.stderr)
        self.assertEqual(os.listdir(self.state), [])
        self.create(name)
        self.assertEqual([f for f in os.listdir(self.dir) if "pid" in f], ["pid"])
        self.moat("delete", name)

    # ---- exec ----

    def test_exec_takes_after_the_container(self):
        name = self.running("sleep", "1000", env=["PATH=/usr/bin:/bin", "OWN=1"], cwd="/usr", user={"uid": 1000, "gid": 1001})
        r = self.moat("exec", "--env", "A=b", "-e", "C=d", name, "sh", "-c", "echo $OWN $A $C; pwd; id -u; id -g; exit 5", ok=False)
        self.assertEqual((r.stdout, r.returncode), ("1 b d\n/usr\n1000\n1001\n", 5), r.stderr)
        r = self.moat("exec", "--cwd", "/etc", "--user", "7:8", "--additional-gids", "77", "-g", "78", name, "sh", "-c", "pwd; id -u; id -G")
        self.assertEqual(r.stdout.split(), ["/etc", "7", "8", "77", "78"])
        self.gone(name)

    def test_exec_privileges(self):
        def caps(c):
            c["process"]["capabilities"] = {k: ["CAP_KILL"] for k in ("bounding", "effective", "permitted")}
            c["process"]["noNewPrivileges"] = False
        name = self.name()
        self.config("sleep", "1000", change=caps)
        self.create(name)
        self.moat("start", name)
        show = [name, "grep", "-E", "CapEff|NoNewPrivs", "/proc/self/status"]
        self.assertEqual(self.moat("exec", *show).stdout.split(), ["CapEff:", "0000000000000020", "NoNewPrivs:", "0"])
        self.assertEqual(self.moat("exec", "--cap", "CAP_CHOWN", "--no-new-privs", *show).stdout.split(),
                         ["CapEff:", "0000000000000021", "NoNewPrivs:", "1"])
        self.assertIn("CAP_MAGIC", self.moat("exec", "--cap", "CAP_MAGIC", *show, ok=False).stderr)
        self.gone(name)

    def test_exec_streams_and_signals(self):
        name = self.running()
        r = self.moat("exec", name, "sh", "-c", "cat; echo e >&2", input="through\n", stdin=None)
        self.assertEqual((r.stdout, r.stderr), ("through\n", "e\n"))
        p = subprocess.Popen([moat.MOAT, "--root", self.state, "exec", name, "sh", "-c",
                              "trap 'echo got; exit 6' TERM; echo ready; while :; do sleep 0.05; done"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline(), "ready\n")
        p.terminate()
        self.assertEqual((p.communicate(timeout=60)[0], p.returncode), ("got\n", 6))
        self.gone(name)

    def test_exec_failures(self):
        name = self.running()
        for command, text in (("nothing-here", "executable file not found in $PATH"), ("/no/such", "no such file or directory"),
                              ("/etc/passwd", "permission denied")):
            r = self.moat("exec", name, command, ok=False)
            self.assertEqual(r.returncode, 255)
            self.assertIn("exec failed:", r.stderr)
            self.assertIn(command, r.stderr)
            self.assertIn(text, r.stderr)
        self.assertEqual(self.moat("exec", name, ok=False).returncode, 2)
        self.assertEqual(self.moat("exec", "--env", "NOVALUE", name, "true", ok=False).returncode, 2)
        self.gone(name)

    def test_exec_process_file_detached(self):
        name = self.running()
        process = {"args": ["sh", "-c", "echo $X >/proc/1/fd/1; exec sleep 1000"], "env": ["PATH=/bin:/usr/bin", "X=from-file"], "cwd": "/",
                   "user": {"uid": 0, "gid": 0}}
        pathlib.Path(self.dir, "process.json").write_text(json.dumps(process))
        with open(self.dir + "/exec-out", "wb") as out:
            subprocess.run([moat.MOAT, "--root", self.state, "exec", "--process", self.dir + "/process.json", "--detach", "--pid-file",
                            self.dir + "/exec.pid", name], check=True, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60)
        pid = int(pathlib.Path(self.dir, "exec.pid").read_text())
        self.assertNotEqual(pid, self.pid())
        self.assertIn(pid, json.loads(self.moat("ps", "--format", "json", name).stdout))
        pidfd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
        wait_readable(pidfd)
        os.close(pidfd)
        self.gone(name)

    def test_exec_on_a_terminal(self):
        name = self.running("sleep", "1000", env=["PATH=/usr/bin:/bin", "PS1=ready> ", "TERM=dumb"])
        pid, fd = self.on_terminal("exec", "--tty", name, "bash", "--norc", "-i")
        read_until(fd, b"ready> ")
        self.check_terminal(pid, fd)
        self.gone(name)

    def test_exec_console_socket(self):
        name = self.running()
        with self.listen(self.dir + "/console.sock") as s:
            with open(self.dir + "/exec-out", "wb") as out:
                subprocess.run([moat.MOAT, "--root", self.state, "exec", "--tty", "--detach", "--console-socket", self.dir + "/console.sock",
                                "--pid-file", self.dir + "/exec.pid", name, "sh", "-c", "echo on; tty; read x"], check=True,
                               stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60)
            _, fd = self.received(s)
        self.assertIn(b"on\r\n", read_until(fd, b"/dev/"))
        os.close(fd)
        r = self.moat("exec", "--tty", "--detach", name, "true", ok=False)
        self.assertIn("--console-socket", r.stderr)
        self.gone(name)

    def test_exec_in_a_paused_container(self):
        name = self.running()
        self.moat("pause", name)
        self.assertEqual(self.status(name), "paused")
        r = self.moat("exec", name, "true", ok=False)
        self.assertEqual(r.returncode, 255)
        self.assertIn("paused", r.stderr)
        self.moat("resume", name)
        self.moat("exec", name, "true")
        self.gone(name)

    def test_exec_in_a_group_below(self):
        name = self.running()
        groups = {g["controller"]: g["dir"] for g in json.loads(pathlib.Path(self.state, name, "state.json").read_text())["cgroup"]["groups"]}
        if "pids" not in groups:
            self.skipTest("cgroup v1 is needed")
        os.mkdir(groups["pids"] + "/below")
        with open(self.dir + "/exec-out", "wb") as out:
            subprocess.run([moat.MOAT, "--root", self.state, "exec", "--cgroup", "pids:below", "--detach", "--pid-file",
                            self.dir + "/exec.pid", name, "sleep", "1000"], check=True, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                           timeout=60)
        pid = pathlib.Path(self.dir, "exec.pid").read_text()
        self.assertRegex(pathlib.Path(f"/proc/{pid}/cgroup").read_text(), r":pids:.*/below\n")
        self.assertIn("..", self.moat("exec", "--cgroup", "../x", name, "true", ok=False).stderr)
        self.gone(name)

    # ---- kill, ps, list ----

    def test_kill(self):
        name = self.running("sh", "-c", "trap 'echo one' USR1; trap 'echo two' USR2; echo ready; while :; do sleep 0.05; done")
        out = self.dir + "/out"

        def until(text):
            deadline = time.monotonic() + 60
            while text not in self.output():
                self.assertLess(time.monotonic(), deadline, self.output())
                time.sleep(0.01)

        self.assertTrue(os.path.exists(out))
        until("ready")
        self.moat("kill", name, "SIGUSR1")
        until("one")
        self.moat("kill", name, str(int(signal.SIGUSR2)))
        until("two")
        self.moat("kill", name, "0")
        r = self.moat("kill", name, "NOSUCH", ok=False)
        self.assertEqual(r.returncode, 2)
        self.assertIn("NOSUCH", r.stderr)
        self.moat("kill", "--all", name, "KILL")
        self.moat("wait", name, ok=False)
        self.moat("delete", name)

    def test_kill_created(self):
        name = self.name()
        self.config("true")
        self.create(name)
        self.moat("kill", name, "KILL")
        self.moat("wait", name, ok=False)
        self.assertEqual(self.status(name), "stopped")
        self.moat("delete", name)

    def test_ps(self):
        name = self.running("sh", "-c", "sleep 1001 & sleep 1002; :")
        pids = json.loads(self.moat("ps", "--format", "json", name).stdout)
        self.assertIn(self.pid(), pids)
        table = self.moat("ps", name).stdout
        self.assertIn("PID", table.splitlines()[0])
        deadline = time.monotonic() + 60
        while "sleep 1001" not in table or "sleep 1002" not in table:
            self.assertLess(time.monotonic(), deadline, table)
            table = self.moat("ps", name).stdout
        own = self.moat("ps", name, "-o", "pid,comm").stdout.splitlines()
        self.assertEqual(own[0].split(), ["PID", "COMMAND"])
        self.assertIn(str(self.pid()), [line.split()[0] for line in own[1:]])
        self.gone(name)

    def test_list(self):
        self.assertEqual(json.loads(self.moat("list", "--format", "json").stdout), [])
        name = self.running()
        self.assertEqual(self.moat("list", "--quiet").stdout, name + "\n")
        row = json.loads(self.moat("list", "-f", "json").stdout)[0]
        self.assertEqual((row["id"], row["pid"], row["status"], row["owner"]), (name, self.pid(), "running", "root"))
        heading, line = self.moat("list").stdout.splitlines()
        self.assertEqual(heading.split(), ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"])
        self.assertEqual(line.split()[:4], [name, str(self.pid()), "running", self.bundle])
        self.gone(name)

    def test_checkpoint_is_made_or_refused(self):
        name = self.running()
        r = self.moat("checkpoint", "--image-path", self.dir + "/image", name, ok=False)
        if r.returncode != 0:
            self.assertIn("checkpoint", r.stderr)
            self.assertEqual(self.status(name), "running")
        self.gone(name)

    # ---- many at once ----

    def test_at_once(self):
        names = [self.name(f"n{i}") for i in range(6)]
        self.config("sleep", "1000")

        def call(*args):
            return subprocess.run([moat.MOAT, "--root", self.state, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, timeout=120)

        def life(name):
            for _ in range(2):
                with open(self.dir + "/out-" + name, "wb") as out:
                    r = subprocess.run([moat.MOAT, "--root", self.state, "create", "--isolation", self.isolation, "--bundle", self.bundle, name],
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=120)
                self.assertEqual(r.returncode, 0, pathlib.Path(self.dir + "/out-" + name).read_text())
                for step in (["start", name], ["state", name], ["exec", name, "true"], ["kill", name, "KILL"], ["delete", "--force", name]):
                    r = call(*step)
                    self.assertEqual(r.returncode, 0, f"{step}: {r.stderr}")

        def look():
            while not done.is_set():
                r = call("list")
                self.assertEqual((r.returncode, r.stderr), (0, ""))

        done = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            looker = pool.submit(look)
            lives = [pool.submit(life, n) for n in names]
            concurrent.futures.wait(lives)
            done.set()
            for f in (*lives, looker):
                f.result()

    def test_one_winner(self):
        """Of many creates of one name, and of many starts and deletes, one wins and the others say why not."""
        name = self.name()
        self.config("sleep", "1000")

        def all_at_once(*args):
            ps = [subprocess.Popen([moat.MOAT, "--root", self.state, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=open(f"{self.dir}/err{i}", "wb")) for i in range(5)]
            return sorted(p.wait(timeout=120) for p in ps), [pathlib.Path(f"{self.dir}/err{i}").read_text() for i in range(5)]

        codes, said = all_at_once("create", "--isolation", self.isolation, "--bundle", self.bundle, name)
        self.assertEqual(codes, [0, 1, 1, 1, 1], said)
        self.assertEqual(sum("already exists" in s for s in said), 4, said)
        codes, said = all_at_once("start", name)
        self.assertEqual(codes, [0, 1, 1, 1, 1], said)
        self.assertEqual(self.status(name), "running")
        codes, said = all_at_once("delete", "--force", name)
        self.assertEqual(codes, [0] * 5, said)
        self.assertEqual(os.listdir(self.state), [])


each_isolation(globals(), Commands)


class Errors(BundleTest):
    """What does not depend on the isolation."""

    def test_json_log(self):
        log = self.dir + "/log"
        r = moat.run(["--root", self.state, "--log", log, "--log-format", "json", "state", "ghost"])
        self.assertEqual(r.returncode, 1)
        line = json.loads(pathlib.Path(log).read_text().splitlines()[-1])
        self.assertEqual(line["level"], "error")
        self.assertIn("container does not exist", line["msg"])
        self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

    def test_ids(self):
        self.config("true")
        for name in ("../x", "", ".x", "a/b", "x" * 200):
            r = self.moat("create", "--bundle", self.bundle, name, ok=False)
            self.assertEqual(r.returncode, 1)
            self.assertIn("container id", r.stderr)

    def test_usage(self):
        for args in (["create"], ["start", "a", "b"], ["nothing"], ["run", "--no-such", "x"], ["--rootless", "perhaps", "list"],
                     ["create", "--preserve-fds", "many", "x"], ["list", "--format", "xml"]):
            r = self.moat(*args, ok=False)
            self.assertEqual((r.returncode, len(r.stderr.splitlines())), (2, 1), f"{args}: {r.stderr}")

    def test_globals(self):
        for args in (["--rootless", "true"], ["--rootless=auto"], ["--criu", "/usr/sbin/criu"], ["--systemd-cgroup"], ["--debug"]):
            self.assertEqual(self.moat(*args, "list", "--quiet").stdout, "")
        self.assertRegex(moat.run(["--version"]).stdout, re.compile(r"^moat version .*\nspec: 1\.\d\.\d\n"))


if __name__ == "__main__":
    unittest.main()
