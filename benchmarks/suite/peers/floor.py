"""What the machine and the interpreter allow: bare sockets and loops that do nothing else."""

from __future__ import annotations

import pickle
import socket
import struct
import threading
from collections.abc import Callable

from benchmarks.suite.role import Role, time_callers

BLOCK = 256 * 1024
SIZE = struct.Struct("!I")


def listen(role: Role) -> socket.socket:
    """Returns the connection of the other side."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        role.ready(listener.getsockname())
        connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def dial(role: Role) -> socket.socket:
    connection = socket.create_connection(tuple(role.address))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


# -- a bare loop that frames and joins, and one that parses


def packets_receiver(role: Role) -> None:
    connection = listen(role)
    unpack_from = SIZE.unpack_from
    role.meet()
    left, rest = role.count, b""
    while left:
        data = rest + connection.recv(BLOCK)
        at, end = 0, len(data)
        while end - at >= 4:
            (size,) = unpack_from(data, at)
            if at + 4 + size > end:
                break
            packet = data[at + 4 : at + 4 + size]
            assert packet is not None
            at += 4 + size
            left -= 1
        rest = data[at:]
    role.finish()
    role.stay()


def packets_sender(role: Role) -> None:
    connection = dial(role)
    packet, pack = role.payload, SIZE.pack
    role.meet()
    parts: list[bytes] = []
    add, size = parts.append, 0
    for _ in range(role.count):
        add(pack(len(packet)))
        add(packet)
        size += 4 + len(packet)
        if size >= BLOCK:
            connection.sendall(b"".join(parts))
            parts.clear()
            size = 0
    connection.sendall(b"".join(parts))
    role.stay()


messages_receiver, messages_sender = packets_receiver, packets_sender


# -- ping-pong


def calls_server(role: Role) -> None:
    """``method``: ``raw`` echoes the bytes; ``pickled`` does what a call needs at least."""
    role_method = role.method
    with socket.create_server(("127.0.0.1", 0)) as listener:
        role.ready(listener.getsockname())
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            arguments = (connection, role_method == "pickled")
            threading.Thread(target=answer, args=arguments, daemon=True).start()


def answer(connection: socket.socket, pickled: bool) -> None:
    while data := connection.recv(BLOCK):
        if pickled:
            a, b = pickle.loads(data)
            data = pickle.dumps(a + b)
        connection.sendall(data)


def calls_client(role: Role) -> None:
    pickled = role.method == "pickled"

    def new_call() -> Callable[[int, int], int]:
        connection = dial(role)

        def add(a: int, b: int) -> int:
            if not pickled:
                connection.sendall(b"\x01\x02")
                return sum(connection.recv(BLOCK))
            connection.sendall(pickle.dumps((a, b)))
            result: int = pickle.loads(connection.recv(BLOCK))
            return result

        return add

    time_callers(role, new_call)
    role.stay()
