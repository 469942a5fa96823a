/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether KVM runs a guest's kernel on hardware: see hypervisor.h.  A machine of one page executes
 * a counted loop at ring 0 and halts; the time tells.  Source: the kernel's
 * Documentation/virt/kvm/api.rst.
 */
#include "vm/hypervisor.h"

#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#define LOOPS    100000u
#define GOOD_NS  5000000ll /* 50 ns a turn: hardware takes about one */
#define LIMIT_NS 10000000l /* the loop is cut off here; either of this thread's processor time */
#define TRIES    3         /* the first one meets much of the host's kernel for the first time */
#define CODE     0x1000u

/* mov ecx, LOOPS; l: dec ecx; jnz l; hlt */
static const uint8_t g_code[] = {
    0xb9, LOOPS & 255, LOOPS >> 8 & 255, LOOPS >> 16 & 255, LOOPS >> 24, 0x49, 0x75, 0xfd, 0xf4};

static long long now_ns(void) {
    struct timespec ts;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts); /* cannot fail */
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

/* Flat 32-bit protected mode without paging, privilege level 0. */
static int set_registers(int vcpu) {
    struct kvm_sregs s;
    const struct kvm_regs r = {.rip = CODE, .rflags = 2};
    if (ioctl(vcpu, KVM_GET_SREGS, &s) != 0) {
        return -errno;
    }
    struct kvm_segment code = {
        .limit = ~0u, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1};
    struct kvm_segment data = code;
    data.selector = 16;
    data.type = 3;
    s.cs = code;
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.cr0 |= 1;
    return ioctl(vcpu, KVM_SET_SREGS, &s) == 0 && ioctl(vcpu, KVM_SET_REGS, &r) == 0 ? 0 : -errno;
}

static void on_alarm(int signo) {
    (void)signo;
}

/* A timer's signal makes KVM_RUN return, whatever the guest does. */
static bool run_limited(int vcpu, const struct kvm_run *run) {
    struct sigaction action = {.sa_handler = on_alarm}, old_action;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    const struct itimerspec when = {.it_value.tv_nsec = LIMIT_NS, .it_interval.tv_nsec = 1000000};
    sigset_t set, old_set;
    timer_t timer;
    (void)sigemptyset(&set); /* cannot fail, as the next */
    (void)sigaddset(&set, SIGALRM);
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) != 0) {
        return false;
    }
    (void)sigaction(SIGALRM, &action, &old_action);
    (void)sigprocmask(SIG_UNBLOCK, &set, &old_set);
    (void)timer_settime(timer, 0, &when, NULL); /* valid values */
    int n = ioctl(vcpu, KVM_RUN, 0);
    (void)timer_delete(timer);
    (void)sigprocmask(SIG_SETMASK, &old_set, NULL);
    (void)sigaction(SIGALRM, &old_action, NULL);
    return n == 0 && run->exit_reason == KVM_EXIT_HLT;
}

static bool loops_fast(int vcpu, const struct kvm_run *run) {
    for (int i = 0; i < TRIES; i++) {
        long long start = now_ns();
        if (set_registers(vcpu) == 0 && run_limited(vcpu, run) && now_ns() - start < GOOD_NS) {
            return true;
        }
    }
    return false;
}

static bool measure(int kvm, int vm, const char **out_why) {
    uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    cleanup_fd int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    struct kvm_run *run =
        vcpu >= 0 && run_size > 0
            ? mmap(NULL, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0)
            : MAP_FAILED;
    struct kvm_userspace_memory_region region = {
        .guest_phys_addr = CODE, .memory_size = 4096, .userspace_addr = (uintptr_t)page};
    bool ok = page != MAP_FAILED && run != MAP_FAILED &&
              ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0;
    *out_why = "KVM makes no virtual machines here";
    if (ok) {
        memcpy(page, g_code, sizeof(g_code));
        ok = loops_fast(vcpu, run);
        *out_why = ok ? "KVM runs guests on the processor"
                      : "KVM interprets the code of guest kernels here, which is slower than "
                        "emulating them";
    }
    if (run != MAP_FAILED) {
        (void)munmap(run, (size_t)run_size); /* as it was mapped */
    }
    if (page != MAP_FAILED) {
        (void)munmap(page, 4096); /* likewise */
    }
    return ok;
}

bool kvm_is_useful(const char **out_why) {
    cleanup_fd int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    *out_why = "there is no usable /dev/kvm";
    if (kvm < 0 || ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
        return false;
    }
    cleanup_fd int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    *out_why = "KVM makes no virtual machines here";
    return vm >= 0 && measure(kvm, vm, out_why);
}
