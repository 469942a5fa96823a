# Building a package and installing it into the overlay with dpkg; then apt-get from a local file.
# needs: root
set -e
cd "$(mktemp -d)"
mkdir -p pkg/DEBIAN pkg/usr/bin pkg/etc/moat-demo
cat >pkg/DEBIAN/control <<'END'
Package: moat-demo
Version: 1.0
Architecture: all
Maintainer: Tester <tester@example.org>
Description: a package for a test
END
printf '#!/bin/sh\necho configured\n' >pkg/DEBIAN/postinst && chmod 755 pkg/DEBIAN/postinst
printf '#!/bin/sh\necho installed program\n' >pkg/usr/bin/moat-demo && chmod 755 pkg/usr/bin/moat-demo
echo setting >pkg/etc/moat-demo/conf && echo /etc/moat-demo/conf >pkg/DEBIAN/conffiles
dpkg-deb --root-owner-group -b pkg demo.deb >/dev/null
dpkg -i demo.deb 2>&1 | grep -v 'Reading database'
moat-demo && dpkg -s moat-demo | grep -E '^(Status|Version)'
dpkg -L moat-demo | sort && dpkg -r moat-demo 2>&1 | grep -v 'Reading database' && test ! -e /usr/bin/moat-demo && echo gone
apt-get install -y --no-install-recommends -o APT::Sandbox::User=root ./demo.deb >apt.log 2>&1 || { cat apt.log; exit 1; }
moat-demo && dpkg -l moat-demo | tail -n 1 | tr -s ' '
