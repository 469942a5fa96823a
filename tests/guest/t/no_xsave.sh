# SPDX-License-Identifier: Apache-2.0
# The application kernel on a processor without XSAVE, whose signal frames are shorter: signals and floating point.
# machine: no-xsave
# timeout: 120
set -eu
fail() {
    echo "FAIL $*"
    exit 1
}
if grep -qw xsave /proc/cpuinfo; then
    fail 'the processor has XSAVE'
fi
in_sandbox() { "$MOAT" do --handover "$handover" --rootfs "$ROOTFS" -- "$@"; }
for handover in trap auto; do
    got=$(in_sandbox sh -c '/bin/true; echo one; trap "echo told" USR1; kill -USR1 $$; (exit 3); echo $?' | tr '\n' ' ')
    [ "$got" = "one told 3 " ] || fail "$handover: signals: $got"
    # A handler's own sums must not disturb those of what it interrupts.
    got=$(in_sandbox perl -e '$SIG{ALRM} = sub { $y = 1.5 * 1.5; $n++ }; use Time::HiRes qw(setitimer ITIMER_REAL); setitimer(ITIMER_REAL, 0.01, 0.01);
        while ($n < 20) { $x = 0; $x += 0.5 for 1 .. 1000; die "$x\n" if $x != 500 } setitimer(ITIMER_REAL, 0); print "sums\n"')
    [ "$got" = sums ] || fail "$handover: floating point: $got"
done
