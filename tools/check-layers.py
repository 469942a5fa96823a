#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks who includes whom (docs/architecture.md, "Layers"): only downwards, the kernel without libc."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ABI = ["moat/"]
# Folder below src/ -> what its files may include, as prefixes of the text between quotes.
KERNEL = ["base/", "kernel/", "mm/", "fs/", "net/", "ipc/", "syscall/", "loader/", "arch/", "boot/", "hal.h", "platform.h"] + ABI
HOSTED = ["base/", "host/", "oci/"] + ABI
RULES = {
    "base": ["base/"],
    "sentry": KERNEL,
    "platform": ["base/", "host/", "platform/", "hal.h", "platform.h", "sentry/arch/x86_64/syscalls.def"] + ABI,
    "host": ["base/", "host/"] + ABI,
    "oci": HOSTED,
    "agent": HOSTED + ["agent/", "native/", "sandbox/", "sentry/kernel/control_msg.h"],
    "gofer": HOSTED + ["gofer/"],
    "sandbox": HOSTED + ["sandbox/"],
    "native": HOSTED + ["native/"],
    "vm": HOSTED + ["vm/", "sandbox/"],
    "runtime": HOSTED + ["runtime/"],
    "install": HOSTED + ["install/"],
    "cli": HOSTED + ["cli/", "install/", "runtime/", "sandbox/", "native/", "vm/", "sentry/arch/x86_64/syscalls.def"],
}
FREESTANDING = {"stdint.h", "stddef.h", "stdbool.h", "stdarg.h", "limits.h", "cpuid.h"}
GENERATED = {"seccomp_filters.h", "sentry_filter.h"}
UAPI = ("linux/", "asm/", "asm-generic/")
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)


def check(path, rules, freestanding):
    bad = []
    for kind, name in INCLUDE.findall(path.read_text()):
        if kind == '"':
            local = (path.parent / name).exists() and "/" not in name
            if not local and name not in GENERATED and not any(name.startswith(r) for r in rules):
                bad.append(f'{path.relative_to(ROOT)} may not include "{name}"')
        elif freestanding and name not in FREESTANDING and not name.startswith(UAPI):
            bad.append(f"{path.relative_to(ROOT)} is freestanding and may not include <{name}>")
    return bad


def main():
    bad = []
    for folder, rules in RULES.items():
        for path in sorted((ROOT / "src" / folder).rglob("*.[chS]")):
            bad += check(path, rules, folder in ("base", "sentry"))
    for path in sorted((ROOT / "include").rglob("*.h")):
        bad += check(path, ABI, True)
    for line in bad:
        print(line, file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
