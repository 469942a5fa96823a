# SPDX-License-Identifier: Apache-2.0
# The probe finds by itself that this kernel cannot wake the Sentry on the stub's CPU, and takes the trap hand-over.
# as: root user
case $(uname -r) in 6.1.*) ;; *)
    echo "this kernel is $(uname -r), not 6.1"
    exit 77
    ;;
esac
log=$(mktemp)
"$MOAT" --debug --log "$log" do --rootfs "$ROOTFS" -- true || exit 1
cat "$log"
grep -q 'platform systrap (trap: .*no same-CPU wake-up' "$log"
