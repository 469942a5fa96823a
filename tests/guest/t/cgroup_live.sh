# SPDX-License-Identifier: Apache-2.0
# host/cgroup.h on unified cgroup v2: the live test as it is.
# timeout: 60
exec "$MOAT_BUILD/tests/host/cgroup_live_test"
