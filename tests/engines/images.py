# SPDX-License-Identifier: Apache-2.0
"""Images made on this machine, for no registry is needed: busybox-static as a root file system, as a tar archive and as an OCI layout."""
import functools
import hashlib
import io
import json
import pathlib
import subprocess
import tarfile

import moat

BUSYBOX = pathlib.Path("/bin/busybox")
PASSWD = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n"
GROUP = "root:x:0:\ntty:x:5:\nuser:x:1000:\nextra:x:2000:user\n"
# `serve PORT TEXT`: answers every connection with TEXT.  `stubborn`: says it is ready and ignores SIGTERM.
SCRIPTS = {
    "serve": '#!/bin/sh\nexec nc -ll -p "$1" -e echo "$2"\n',
    "stubborn": '#!/bin/sh\ntrap "" TERM\necho ready\nwhile :; do sleep 1; done\n',
    "polite": '#!/bin/sh\ntrap "echo terminated; exit 7" TERM\necho ready\nwhile :; do sleep 0.1; done\n',
}


def _add(tar, name, data=None, mode=0o755, link=None, uid=0):
    info = tarfile.TarInfo(name)
    info.mode = mode
    info.uid = info.gid = uid
    if link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, link
    elif data is None:
        info.type = tarfile.DIRTYPE
    else:
        info.size = len(data)
    tar.addfile(info, io.BytesIO(data) if data is not None and link is None else None)


@functools.cache
def busybox_tar():
    """The bytes of a tar archive of a small root file system."""
    applets = subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for d in ("bin", "etc", "dev", "proc", "sys", "root", "run", "home", "opt", "usr", "usr/bin"):
            _add(tar, d)
        _add(tar, "tmp", mode=0o1777)
        _add(tar, "home/user", uid=1000)
        _add(tar, "bin/busybox", BUSYBOX.read_bytes())
        for applet in sorted(set(applets) - {"busybox"}):
            _add(tar, f"bin/{applet}", link="busybox")
        _add(tar, "etc/passwd", PASSWD.encode(), 0o644)
        _add(tar, "etc/group", GROUP.encode(), 0o644)
        for name, text in SCRIPTS.items():
            _add(tar, f"bin/{name}", text.encode())
        _add(tar, "opt/data", b"no program\n", 0o644)
    return out.getvalue()


def oci_archive(path, name="localhost/busybox:latest", command=("/bin/sh",)):
    """Writes an OCI image layout as a tar archive, which every engine can load (OCI image-spec, image-layout.md)."""
    layer = busybox_tar()
    blobs = {}

    def blob(data, media):
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": list(command), "Env": ["PATH=/bin:/usr/bin"]},
              "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
              "history": [{"created_by": "tests/engines/images.py"}]}
    kind = "application/vnd.oci.image"
    manifest = {"schemaVersion": 2, "mediaType": kind + ".manifest.v1+json",
                "config": blob(json.dumps(config).encode(), kind + ".config.v1+json"),
                "layers": [blob(layer, kind + ".layer.v1.tar")]}
    entry = blob(json.dumps(manifest).encode(), kind + ".manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
    with tarfile.open(path, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}', 0o644)
        _add(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(), 0o644)
        for digest, data in blobs.items():
            _add(tar, f"blobs/sha256/{digest}", data, 0o644)


def debian_tar(path):
    """Writes the small Debian root file system as a tar archive."""
    subprocess.run(["tar", "-C", moat.rootfs("small"), "--exclude=./dev/*", "-cf", path, "."], check=True)
