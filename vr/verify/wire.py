"""Framed messages between the processes of this package: four bytes of length, then JSON.

Both ends are ours; a program under test never holds such a socket.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

HEADER = struct.Struct("!I")


def send_message(sock: socket.socket, message: Any) -> None:
    """Send one JSON value. Lone surrogates travel as escapes. Raises OSError where the peer is gone."""
    body = json.dumps(message).encode("ascii")
    sock.sendall(HEADER.pack(len(body)) + body)


def receive_exactly(sock: socket.socket, n_bytes: int) -> bytes:
    """Read n_bytes. Raises EOFError where the peer closed first."""
    buffer = bytearray(n_bytes)
    view, done = memoryview(buffer), 0
    while done < n_bytes:
        got = sock.recv_into(view[done:])
        if not got:
            raise EOFError
        done += got
    return bytes(buffer)


def receive_message(sock: socket.socket) -> Any:
    """Read one JSON value. Raises EOFError where the peer is gone."""
    (n_bytes,) = HEADER.unpack(receive_exactly(sock, HEADER.size))
    return json.loads(receive_exactly(sock, n_bytes))
