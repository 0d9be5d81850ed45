"""Framed messages between the processes of this package: four bytes of length, then JSON.

A leaf: the pool and the server inside the sandbox both import it. Both ends of a socket are this package's own; a
program under test never holds one.
"""

import json
import socket
import struct
from typing import Any

_HEADER = struct.Struct("!I")


def send_message(sock: socket.socket, message: Any) -> None:
    """Send one JSON value; a lone surrogate is sent as an escape.

    Raises:
        OSError: the peer is gone.
    """
    body = json.dumps(message).encode("ascii")
    sock.sendall(_HEADER.pack(len(body)) + body)


def receive_message(sock: socket.socket) -> Any:
    """Read one JSON value.

    Raises:
        EOFError: the peer closed the socket.
        OSError: the peer is gone.
    """
    (n_bytes,) = _HEADER.unpack(_receive_exactly(sock, _HEADER.size))
    return json.loads(_receive_exactly(sock, n_bytes))


def _receive_exactly(sock: socket.socket, n_bytes: int) -> bytes:
    buffer = bytearray(n_bytes)
    view, n_read = memoryview(buffer), 0
    while n_read < n_bytes:
        n_got = sock.recv_into(view[n_read:])
        if not n_got:
            raise EOFError
        n_read += n_got
    return bytes(buffer)
