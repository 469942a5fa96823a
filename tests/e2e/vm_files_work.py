# SPDX-License-Identifier: Apache-2.0
"""Work on files, the same each time: vm_files_work.py FOLDER.  Prints what each step gave, so that two runs can be compared;
test_vm_files.py runs it on the host and in virtual machines.  Errors are printed by name; numbers of inodes and times of
the clock are not printed."""
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import random
import socket
import sqlite3
import stat
import subprocess
import sys

USER = 1234


def show(*words):
    print(*words, flush=True)


def attempt(what, function, *args, **kw):
    """Runs it; prints and returns what it gave."""
    try:
        got = function(*args, **kw)
    except OSError as e:
        show(what, "fails:", errno.errorcode.get(e.errno, e.errno))
        return None
    if isinstance(got, bytes) and len(got) > 40:
        got = hashlib.sha256(got).hexdigest()
    if got is not None:
        show(what, got)
    return got


def facts(path):
    s = os.lstat(path)
    size = s.st_size if not stat.S_ISDIR(s.st_mode) else "-"
    links = s.st_nlink if not stat.S_ISDIR(s.st_mode) else "-"
    return f"{stat.filemode(s.st_mode)} {s.st_uid}:{s.st_gid} {links} {size}"


def as_user(function):
    """Runs it in a child that is an ordinary user."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(USER)
            os.setuid(USER)
            function()
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.waitpid(pid, 0)


def write_file(path, data, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o644):
    fd = os.open(path, flags, mode)
    try:
        return os.write(fd, data)
    finally:
        os.close(fd)


def read_file(path):
    with open(path, "rb") as f:
        return f.read()


class RandomWork:
    """Operations at random on a few names, in the manner of fsx and fsstress."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.fds = []

    def name(self):
        return self.r.choice(["a", "b", "c", "d/a", "d/b", "d/e/a", "d/e/b", "d/e", "x/y", "x/z"])

    def data(self):
        return bytes([self.r.randrange(1, 256)]) * self.r.choice([1, 100, 4096, 5000, 70000])

    def step(self, i):
        r, name, other = self.r, self.name(), self.name()
        at = r.randrange(0, 100000)
        steps = [
            lambda: write_file(name, self.data()),
            lambda: write_file(name, self.data(), os.O_WRONLY | os.O_CREAT | os.O_APPEND),
            lambda: write_file(name, self.data(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600),
            lambda: read_file(name),
            lambda: os.truncate(name, at),
            lambda: os.rename(name, other),
            lambda: os.link(name, other),
            lambda: os.symlink(other, name),
            lambda: os.readlink(name),
            lambda: os.unlink(name),
            lambda: os.mkdir(name),
            lambda: os.rmdir(name),
            lambda: sorted(os.listdir(name)),
            lambda: os.chmod(name, r.choice([0o600, 0o755, 0o644, 0o7755])),
            lambda: os.lchown(name, r.choice([0, USER]), r.choice([0, USER])),
            lambda: os.utime(name, ns=(at * 10**9 + 7, at * 10**9 + 9)),
            lambda: os.setxattr(name, "user.k", self.data()[:200]),
            lambda: os.getxattr(name, "user.k"),
            lambda: os.removexattr(name, "user.k"),
            lambda: sorted(n for n in os.listxattr(name) if n.startswith("user.")),
            lambda: facts(name),
            lambda: os.stat(name).st_mtime_ns if os.stat(name).st_mtime_ns % 10**9 == 9 else None,
            lambda: self.open(name),
            lambda: self.use(at),
            lambda: self.close(),
            lambda: os.access(name, os.X_OK),
        ]
        attempt(i, r.choice(steps[:5] * 2 + steps + steps[-4:-2] * 3))

    def open(self, name):
        if len(self.fds) < 10:
            self.fds.append(os.open(name, self.r.choice([os.O_RDWR, os.O_RDONLY, os.O_RDWR | os.O_APPEND])))

    def use(self, at):
        if not self.fds:
            return None
        fd, r = self.r.choice(self.fds), self.r
        return r.choice([
            lambda: os.pread(fd, 20000, at),
            lambda: os.pwrite(fd, self.data(), at),
            lambda: os.ftruncate(fd, at),
            lambda: os.posix_fallocate(fd, at, 5000),
            lambda: os.fsync(fd),
            lambda: os.fstat(fd).st_size,
            lambda: os.fstat(fd).st_nlink if stat.S_ISREG(os.fstat(fd).st_mode) else None,
            lambda: os.fchmod(fd, 0o640),
            lambda: os.lseek(fd, at, os.SEEK_DATA) if stat.S_ISREG(os.fstat(fd).st_mode) else None,
            lambda: os.lseek(fd, at, os.SEEK_HOLE) if stat.S_ISREG(os.fstat(fd).st_mode) else None,
            lambda: os.copy_file_range(fd, self.r.choice(self.fds), 3000, at, 0),
        ])()

    def close(self):
        if self.fds:
            os.close(self.fds.pop(self.r.randrange(len(self.fds))))


def random_work():
    for seed in range(2):
        os.mkdir(f"random{seed}")
        os.chdir(f"random{seed}")
        os.makedirs("d/e")
        os.mkdir("x")
        work = RandomWork(seed)
        for i in range(350):
            work.step(i)
        while work.fds:
            work.close()
        os.chdir("..")


def many_files():
    os.mkdir("many")
    for i in range(300):
        write_file(f"many/{i}", b"%d" % i)
    for i in range(0, 300, 3):
        os.rename(f"many/{i}", f"many/moved{i}")
    for i in range(1, 300, 3):
        os.unlink(f"many/{i}")
    names = sorted(os.listdir("many"))
    show("many", len(names), hashlib.sha256(" ".join(names).encode()).hexdigest())
    show("contents", hashlib.sha256(b"".join(read_file("many/" + n) for n in names)).hexdigest())
    show("scanned", sum(e.is_file() and e.stat().st_size for e in os.scandir("many")))


def big_file():
    digest = hashlib.sha256()
    with open("big", "wb") as f:
        for i in range(10):
            block = bytes([i]) * (1 << 20)
            digest.update(block)
            f.write(block)
    show("big", hashlib.sha256(read_file("big")).hexdigest() == digest.hexdigest(), facts("big"))
    with open("big", "r+b") as f:
        attempt("past", os.pwrite, f.fileno(), b"end", 1 << 40)
        show(os.fstat(f.fileno()).st_size, os.fstat(f.fileno()).st_blocks < 100000)
        attempt("too far", os.pwrite, f.fileno(), b"end", (1 << 63) - 2)
        libc = ctypes.CDLL(None, use_errno=True)
        libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
        show("punched", libc.fallocate(f.fileno(), 3, 1 << 20, 1 << 20), os.pread(f.fileno(), 4, (1 << 20) + 5))
        show("hole", os.lseek(f.fileno(), 0, os.SEEK_HOLE), os.lseek(f.fileno(), 1 << 20, os.SEEK_DATA))
    os.unlink("big")


def mappings():
    write_file("mapped", b"a" * 10000)
    fd = os.open("mapped", os.O_RDWR)
    shared = mmap.mmap(fd, 10000)
    private = mmap.mmap(fd, 10000, access=mmap.ACCESS_COPY)
    shared[5000:5003] = b"xyz"
    private[0:3] = b"pri"
    shared.flush()
    show("shared", read_file("mapped")[4999:5004], "private", private[0:4], read_file("mapped")[0:4])
    os.pwrite(fd, b"written", 100)
    show("seen by the mapping", shared[100:107])
    if os.fork() == 0:
        shared[200:205] = b"child"
        os._exit(0)
    os.wait()
    show("child's", shared[200:205])
    os.ftruncate(fd, 4096)
    show("cut", os.fstat(fd).st_size, shared[4000:4001])
    os.close(fd)


def without_names():
    fd = os.open("going", os.O_RDWR | os.O_CREAT, 0o600)
    os.write(fd, b"still here")
    os.unlink("going")
    show(os.fstat(fd).st_nlink, os.fstat(fd).st_size, os.pread(fd, 20, 0))
    attempt("ftruncate", os.ftruncate, fd, 5)
    attempt("fchmod", os.fchmod, fd, 0o644)
    show(stat.filemode(os.fstat(fd).st_mode), os.pread(fd, 20, 0))
    attempt("gone", os.stat, "going")
    os.close(fd)
    os.mkdir("dir")
    fd = os.open("dir", os.O_RDONLY)
    os.rmdir("dir")
    attempt("in a removed folder", os.open, "x", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    show(os.listdir(fd))
    os.close(fd)
    write_file("one", b"1")
    write_file("two", b"2")
    fd = os.open("two", os.O_RDONLY)
    os.rename("one", "two")
    show("replaced", os.pread(fd, 9, 0), read_file("two"), os.fstat(fd).st_nlink)
    os.close(fd)


def owners():
    os.mkdir("closed", 0o700)
    os.mkdir("theirs", 0o755)
    os.chown("theirs", USER, USER)
    os.mkdir("group")
    os.chown("group", 0, 4321)
    os.chmod("group", 0o2777)
    os.mkdir("sticky")
    os.chmod("sticky", 0o1777)
    write_file("sticky/root's", b"x")
    write_file("secret", b"x", mode=0o600)

    def user():
        attempt("closed", os.listdir, "closed")
        attempt("secret", read_file, "secret")
        attempt("not theirs", write_file, "new", b"x")
        attempt("theirs", write_file, "theirs/new", b"x")
        attempt("group", write_file, "group/new", b"x")
        attempt("folder", os.mkdir, "group/dir")
        attempt("sticky", os.unlink, "sticky/root's")
        attempt("chown", os.chown, "theirs/new", 0, 0)
        attempt("chmod", os.chmod, "secret", 0o644)
        attempt("link", os.symlink, "/etc/shadow", "theirs/link")
        attempt("hard link", os.link, "theirs/new", "theirs/other")
        attempt("setuid", os.chmod, "theirs/new", 0o6755)
        attempt("append to setuid", write_file, "theirs/new", b"y", os.O_WRONLY | os.O_APPEND)
        show(facts("theirs/new"))
    as_user(user)
    for path in ("theirs/new", "theirs/link", "theirs/other", "group/new", "group/dir"):
        show(path, facts(path))
    for mode, change in ((0o6755, lambda: write_file("theirs/new", b"z", os.O_WRONLY)),
                         (0o6755, lambda: os.truncate("theirs/new", 1)), (0o6755, lambda: os.chown("theirs/new", 0, 0)),
                         (0o2644, lambda: os.chown("theirs/new", USER, 0))):
        os.chmod("theirs/new", mode)
        change()
        show("setuid after root's change", facts("theirs/new"))
    os.chmod("theirs/new", 0o6777)
    as_user(lambda: attempt("written by another", write_file, "theirs/new", b"z", os.O_WRONLY))
    show(facts("theirs/new"))
    os.chmod("theirs/new", 0o6777)
    as_user(lambda: attempt("cut by another", os.truncate, "theirs/new", 0))
    show(facts("theirs/new"))


def special():
    attempt("fifo", os.mkfifo, "fifo", 0o640)
    show(facts("fifo"))
    if os.fork() == 0:
        write_file("fifo", b"through the fifo", os.O_WRONLY)
        os._exit(0)
    show(read_file("fifo"))
    os.wait()
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    server.listen(1)
    client = socket.socket(socket.AF_UNIX)
    attempt("connect", client.connect, "socket")
    peer, _ = server.accept()
    client.send(b"through the socket")
    show(peer.recv(100), facts("socket"))
    for s in (server, client, peer):
        s.close()
    attempt("long name", write_file, "n" * 255, b"x")
    attempt("too long", write_file, "n" * 256, b"x")
    attempt("any bytes", write_file, bytes(range(1, 47)) + bytes(range(48, 256)), b"x")
    attempt("through a file", write_file, "n" * 255 + "/x", b"x")
    attempt("folder", read_file, ".")
    attempt("capability", os.setxattr, "n" * 255, "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    attempt("capability", os.getxattr, "n" * 255, "security.capability")
    attempt("write takes it away", write_file, "n" * 255, b"y", os.O_WRONLY)
    attempt("capability", os.getxattr, "n" * 255, "security.capability")


def locks():
    write_file("lock", b"x")
    a, b = os.open("lock", os.O_RDWR), os.open("lock", os.O_RDWR)
    attempt("flock", fcntl.flock, a, fcntl.LOCK_EX)
    attempt("taken", fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    attempt("given back", fcntl.flock, a, fcntl.LOCK_UN)
    attempt("lockf", fcntl.lockf, a, fcntl.LOCK_EX, 10)
    sys.stdout.flush()
    if os.fork() == 0:
        attempt("a child's", fcntl.lockf, b, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 5)
        attempt("elsewhere", fcntl.lockf, b, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 50)
        sys.stdout.flush()
        os._exit(0)
    os.wait()
    os.close(a)
    os.close(b)


def programs():
    db = sqlite3.connect("db")
    db.execute("pragma journal_mode = wal")
    db.execute("create table t (k integer primary key, v text)")
    for i in range(100):
        db.execute("insert into t values (?, ?)", (i, "v" * i))
        if i % 50 == 0:
            db.commit()
    db.commit()
    show("sqlite", db.execute("select count(*), sum(length(v)) from t").fetchone(), db.execute("pragma integrity_check").fetchone())
    db.close()
    script = """set -e; export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' HOME=$PWD
    mkdir repo; cd repo; git init -q -b main; git config user.email a@b; git config user.name n
    for i in 1 2 3; do echo $i >f$i; git add .; git commit -qm "c$i"; done
    git checkout -qb side HEAD~1; echo s >s; git add s; git commit -qm side; git checkout -q main; git merge -q -m merged side
    git gc -q; git fsck 2>&1; git log --oneline | wc -l; git rev-parse HEAD; git status --short
    cd ..; cp -a many copy; tar cf t.tar copy repo; mkdir out; tar --warning=no-timestamp -xf t.tar -C out; diff -r copy out/copy && diff -r repo out/repo && echo same
    find out -type f | wc -l; rm -r out copy repo t.tar"""
    r = subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    show("programs", r.returncode, r.stdout)


def main():
    os.umask(0o022)
    os.chdir(sys.argv[1])
    for part in (random_work, many_files, big_file, mappings, without_names, owners, special, locks, programs):
        show("==", part.__name__)
        part()


main()
