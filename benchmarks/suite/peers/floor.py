"""What the machine and the interpreter allow: bare sockets and loops that do nothing else."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import sqlite3
import struct
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from benchmarks.suite.harness.role import Role, time_callers

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
    if role.size > BLOCK:
        receive_large(role, connection)
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


def receive_large(role: Role, connection: socket.socket) -> NoReturn:
    """Each into a buffer of its own: what joins blocks would copy a packet again and again."""
    role.meet()
    for _ in range(role.count):
        (size,) = SIZE.unpack(connection.recv(4, socket.MSG_WAITALL))
        connection.recv_into(bytearray(size), size, socket.MSG_WAITALL)
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


def messages_receiver(role: Role) -> None:
    """``raw``: nobody asks where a message begins."""
    if not role.settings.get("raw"):
        packets_receiver(role)
    connection = listen(role)
    buffer = bytearray(1 << 20)
    left = role.count * role.size
    role.meet()
    while left:
        left -= connection.recv_into(buffer)
    role.finish()
    role.stay()


def messages_sender(role: Role) -> None:
    if not role.settings.get("raw"):
        packets_sender(role)
    connection, data = dial(role), role.payload
    role.meet()
    for _ in range(role.count):
        connection.sendall(data)
    role.stay()


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


# -- the disk


def durable_appends(role: Role) -> None:
    data = role.payload * role.batch
    with open(f"{role.folder}/log", "wb", buffering=0) as log:
        role.meet()
        for _ in range(role.count // role.batch):
            log.write(data)
            os.fdatasync(log.fileno())
        role.finish()
    role.stay()


def durable_inserts(role: Role) -> None:
    connection = sqlite3.connect(f"{role.folder}/queue.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, data BLOB)")
    rows = [(role.payload,)] * role.batch
    role.meet()
    for _ in range(role.count // role.batch):
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO items (data) VALUES (?)", rows)
        connection.execute("COMMIT")
    role.finish()
    role.stay()


# -- many connections


def connections_receiver(role: Role) -> None:
    asyncio.run(receive_streams(role))


async def receive_streams(role: Role) -> None:
    left, missing = role.count, role.connections

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left, missing
        missing -= 1
        if not missing:
            role.meet()
        while True:
            (size,) = SIZE.unpack(await reader.readexactly(4))
            await reader.readexactly(size)
            left -= 1
            if not left:
                role.finish()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    role.ready(server.sockets[0].getsockname())
    await server.serve_forever()


def connections_sender(role: Role) -> None:
    """Writes packets into many connections, for all peers that have this format.

    ``messages``: each introduces itself as a peer of version 1, and the packets are messages.
    """
    messages = role.settings.get("messages")
    connections = []
    for number in range(role.connections):
        # From many source addresses, so that no system runs out of ports.
        source = (f"127.0.0.{1 + number // 2000}", 0)
        connection = socket.create_connection(tuple(role.address), source_address=source)
        if messages:
            version, ident = b"\0\0\0\0\1", b"\2" + str(number).encode()
            connection.sendall(framed(version) + framed(ident))
        connections.append(connection)
        time.sleep(role.settings.get("pause", 0))
    block = framed(b"\3" + bytes(24) + role.payload if messages else role.payload) * role.each
    role.meet()
    for connection in connections:
        connection.sendall(block)
    role.stay()


def framed(packet: bytes) -> bytes:
    return SIZE.pack(len(packet)) + packet


# -- presence


def idle_listener(role: Role) -> None:
    asyncio.run(listen_idly(role))


async def listen_idly(role: Role) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        role.meet()
        await reader.read()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    role.ready(server.sockets[0].getsockname())
    await server.serve_forever()


def idle_dialler(role: Role) -> None:
    asyncio.run(dial_idly(role))


async def dial_idly(role: Role) -> None:
    reader, _ = await asyncio.open_connection(*role.address)
    role.meet()
    await reader.read()
