# python3: threading, subprocess, multiprocessing, asyncio, sqlite3, socketpair, mmap, signal.
cd "$(mktemp -d)" && cat >t.py <<'END'
import asyncio, mmap, multiprocessing, os, queue, select, signal, socket, sqlite3, subprocess, sys, tempfile, threading, time

def square(x):
    return x * x

def threads():
    q, out, lock = queue.Queue(), [], threading.Lock()
    def work():
        while (n := q.get()) is not None:
            with lock:
                out.append(n * 2)
    ts = [threading.Thread(target=work) for _ in range(8)]
    [t.start() for t in ts]; [q.put(i) for i in range(1000)]; [q.put(None) for _ in ts]; [t.join() for t in ts]
    print("threads", sum(out), len(out))
    e = threading.Event(); t = threading.Timer(0.02, e.set); t.start(); print("event", e.wait(5))

def processes():
    print("subprocess", subprocess.run(["sh", "-c", "cat; exit 4"], input=b"in", capture_output=True).stdout)
    p = subprocess.Popen(["sleep", "100"]); p.terminate(); print("terminated", p.wait())
    with multiprocessing.Pool(3) as pool:
        print("pool", sum(pool.map(square, range(200))))
    a, b = multiprocessing.Pipe(); w = multiprocessing.Process(target=lambda: b.send({"k": [1, 2]})); w.start(); print("pipe", a.recv()); w.join(); print(w.exitcode)
    r, w = os.pipe(); pid = os.fork()
    if pid == 0:
        os.write(w, b"from child"); os._exit(9)
    print("fork", os.read(r, 100), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

async def tcp_like():
    a, b = socket.socketpair(); ra, wa = await asyncio.open_connection(sock=a); rb, wb = await asyncio.open_connection(sock=b)
    wa.write(b"ping\n"); print("asyncio", await rb.readline()); wb.write(b"x" * 200000); wb.write_eof(); print(len(await ra.read()))
    p = await asyncio.create_subprocess_exec("echo", "sub", stdout=asyncio.subprocess.PIPE); print((await p.communicate())[0], p.returncode)
    print("gather", await asyncio.gather(*(asyncio.sleep(0.01 * i, i) for i in range(4))))

def files():
    db = sqlite3.connect("t.db"); db.execute("create table t(a, b)"); db.executemany("insert into t values(?, ?)", [(i, str(i)) for i in range(2000)]); db.commit()
    print("sqlite", db.execute("select count(*), sum(a) from t").fetchone()); db.close()
    db = sqlite3.connect("t.db"); db.execute("pragma journal_mode=wal").fetchone(); db.execute("delete from t where a % 2"); db.commit(); print(db.execute("select count(*) from t").fetchone())
    with open("m", "w+b") as f:
        f.truncate(8192); m = mmap.mmap(f.fileno(), 8192); m[4096:4100] = b"abcd"; m.flush(); f.seek(4096); print("mmap", f.read(4)); m.close()
    m = mmap.mmap(-1, 4096); pid = os.fork()
    if pid == 0:
        m[:3] = b"kid"; os._exit(0)
    os.waitpid(pid, 0); print("shared", m[:3])
    with tempfile.TemporaryDirectory() as d:
        for i in range(300):
            open(f"{d}/{i}", "w").write("x" * i)
        print("files", sum(e.stat().st_size for e in os.scandir(d)))

def signals():
    seen = []
    signal.signal(signal.SIGUSR1, lambda s, f: seen.append(s)); os.kill(os.getpid(), signal.SIGUSR1); print("signal", seen)
    signal.setitimer(signal.ITIMER_REAL, 0.02); signal.signal(signal.SIGALRM, lambda s, f: seen.append(s)); time.sleep(0.1); print(len(seen))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]); os.kill(os.getpid(), signal.SIGUSR2); print(signal.sigwait([signal.SIGUSR2]))
    ep = select.epoll(); a, b = socket.socketpair(); ep.register(a, select.EPOLLIN); b.send(b"1"); print("epoll", ep.poll(1)[0][1] == select.EPOLLIN)

if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    threads(); processes(); asyncio.run(tcp_like()); files(); signals()
    print(sys.version_info[:2], len(os.listdir("/usr/lib/python3")) > 0, time.monotonic() > 0)
END
python3 t.py
