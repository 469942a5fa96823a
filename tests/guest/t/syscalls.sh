# SPDX-License-Identifier: Apache-2.0
# Programs of the syscall suite in the sentry, under the hand-over that it chooses by itself on this kernel.  Left out are the
# programs that keep an emulated processor busy for long (epoll, futex, mmap_threads, stress, system, unix_rights) or count on its
# speed (timers), and some about files and names, which no hand-over changes (dir, link, locks, madvise, procperm, sysvipc, unix_stream).
# timeout: 170
exec python3 tests/run_syscall_tests.py --verbose --build "$MOAT_BUILD" --only \
    cred,device,eventfd,exec,fdflags,file,inet,inotify,memfd,mmap,mounts,mqueue,pipe,poll,process,procfs,pty,shm,signals,thread,unix_dgram \
    "$MOAT do --"
