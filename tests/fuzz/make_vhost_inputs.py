# SPDX-License-Identifier: Apache-2.0
"""Inputs for fuzz_vhost to begin with: make_vhost_inputs.py FILE...  Each is the memory of a machine with some FUSE requests."""
import struct
import sys

PHYS, NEXT, WRITE, INDIRECT = 0x1000, 1, 2, 4


def request(opcode, node, body):
    return struct.pack("<IIQQIIII", 40 + len(body), opcode, 7, node, 0, 0, 0, 0) + body


def memory(requests, indirect):
    data, descriptors, available = bytearray(0x400), [], []
    for body in requests:
        at = len(data)
        data += body
        room = len(data)
        data += bytes(256)
        pair = [(PHYS + at, len(body), NEXT, 1), (PHYS + room, 256, WRITE, 0)]
        head = len(descriptors)
        available.append(head)
        if indirect:
            data += bytes(-len(data) % 16)
            descriptors.append((PHYS + len(data), 32, INDIRECT, 0))
            data += b"".join(struct.pack("<QIHH", *d) for d in pair)
        else:
            descriptors += [(*pair[0][:3], head + 1), pair[1]]
    data[0:4 + 2 * len(available)] = struct.pack(f"<HH{len(available)}H", 0, len(available), *available)
    packed = b"".join(struct.pack("<QIHH", *d) for d in descriptors)
    data[0x200:0x200 + len(packed)] = packed
    return bytes(data)


def name(text):
    return text.encode() + b"\0"


ROOT = 2
SETS = [
    [request(26, 0, struct.pack("<IIII", 7, 38, 131072, 0xffffffff) + bytes(48)), request(1, 1, name("0")), request(1, ROOT, name("d")),
     request(3, ROOT, bytes(16)), request(27, ROOT, bytes(8)), request(28, ROOT, struct.pack("<QQIIQII", 1, 0, 200, 0, 0, 0, 0))],
    [request(35, ROOT, struct.pack("<IIII", 0o102, 0o644, 0, 0) + name("f")), request(16, 1025, struct.pack("<QQIIQII", 1, 0, 5, 0, 0, 0, 0) + b"hello"),
     request(15, 1025, struct.pack("<QQIIQII", 1, 0, 240, 0, 0, 0, 0)), request(14, 1025, struct.pack("<II", 2, 0)),
     request(4, 1025, struct.pack("<II", 8, 0) + bytes(80)), request(46, 1025, struct.pack("<QQII", 1, 0, 3, 0))],
    [request(9, ROOT, struct.pack("<II", 0o755, 0) + name("e")), request(6, ROOT, name("s") + name("/etc/shadow")),
     request(8, ROOT, struct.pack("<IIII", 0o010644, 0, 0, 0) + name("p")), request(45, ROOT, struct.pack("<QII", ROOT, 0, 0) + name("e") + name("g")),
     request(13, ROOT, struct.pack("<Q", 1025) + name("h")), request(10, ROOT, name("f")), request(11, ROOT, name("g")), request(5, 1025, b"")],
    [request(21, ROOT, struct.pack("<II", 1, 0) + name("user.a") + b"v"), request(22, ROOT, struct.pack("<II", 100, 0) + name("user.a")),
     request(23, ROOT, struct.pack("<II", 200, 0)), request(24, ROOT, name("user.a")), request(17, ROOT, b""),
     request(2, ROOT, struct.pack("<Q", 1)), request(42, 0, struct.pack("<IIQQ", 1, 0, 1025, 1))],
]
for i, path in enumerate(sys.argv[1:]):
    with open(path, "wb") as f:
        f.write(memory(SETS[i // 2], i % 2 == 1))
