# SPDX-License-Identifier: Apache-2.0
# The platform's door on a kernel without same-CPU wake-up of notifications (Linux 6.6): the choice `auto` makes there.
# Left out: the tests that measure, and `deaf`, which gives the guest 20 ms to do something that takes longer here.
# timeout: 90
seam=$MOAT_BUILD/tests/seam/seam_test
bad=0
for name in filter smp calls orders 'orders refused' 'orders many' exceptions fork 'fork apart' threads 'threads fork' \
    'resume kick' 'plain orders' fpu vdso int80 waits destroy 'hostile stub' dead killed 'threads held' 'threads retired' \
    memory window files streams watch control time; do
    if "$seam" auto 1 "$name" >/run/seam.out 2>&1; then
        echo "ok $name"
    else
        echo "FAIL $name"
        cat /run/seam.out
        bad=1
    fi
done
exit $bad
