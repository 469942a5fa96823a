# SPDX-License-Identifier: Apache-2.0
"""A kubelet's side of the Container Runtime Interface, as small as it gets: unary gRPC calls over HTTP/2 on a unix socket.

Frames are RFC 9113's, header fields literals of RFC 7541, messages protobuf's wire format with the field numbers of cri-api's
runtime/v1 api.proto.  A call that fails has no message in its answer; why stands in the engine's log.
"""
import socket
import struct

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
NODE, CONTAINER = 2, 1  # NamespaceMode


# ---- protobuf

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def text(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def pair(field, key, value):
    return text(field, text(1, key) + text(2, value))


def parse(data):
    """{field: value} of numbers and bytes; of a field that comes twice the last."""
    found, at = {}, 0

    def read():
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n
    while at < len(data):
        key = read()
        if key & 7 == 2:
            length = read()
            found[key >> 3] = data[at:at + length]
            at += length
        elif key & 7 == 0:
            found[key >> 3] = read()
        else:
            raise ValueError(f"wire type {key & 7}")
    return found


# ---- gRPC

class CallFailed(Exception):
    pass


def _frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def _header(name, value):
    return b"\0" + varint(len(name)) + name.encode() + varint(len(value)) + value.encode()


def _read(s, size):
    out = b""
    while len(out) < size:
        more = s.recv(size - len(out))
        if not more:
            raise CallFailed("the engine closed the connection")
        out += more
    return out


def call(path, method, message, timeout=60):
    """One call of the service RuntimeService; its answer as `parse` gives it."""
    fields = {":method": "POST", ":scheme": "http", ":path": f"/runtime.v1.RuntimeService/{method}", ":authority": "localhost",
              "content-type": "application/grpc", "te": "trailers"}
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(path)
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, 0, b"") +
                  _frame(HEADERS, END_HEADERS, 1, b"".join(_header(*f) for f in fields.items())) +
                  _frame(DATA, END_STREAM, 1, b"\0" + struct.pack(">I", len(message)) + message))
        got, ended = b"", False
        while not ended:
            head = _read(s, 9)
            kind, flags = head[3], head[4]
            payload = _read(s, int.from_bytes(head[:3], "big"))
            if kind == SETTINGS and not flags & ACK:
                s.sendall(_frame(SETTINGS, ACK, 0, b""))
            elif kind == PING and not flags & ACK:
                s.sendall(_frame(PING, ACK, 0, payload))
            elif kind == DATA:
                got += payload
            ended = kind in (RST_STREAM, GOAWAY) or kind in (DATA, HEADERS) and flags & END_STREAM
    if len(got) < 5:
        raise CallFailed(f"{method} failed")
    return parse(got[5:])
