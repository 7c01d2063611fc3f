"""pyzmq: PUSH/PULL for packets, DEALER/ROUTER for messages to names, REQ/REP for calls."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from typing import Any

import zmq

from benchmarks.suite.harness.role import Role, time_callers

LOCALHOST = "tcp://127.0.0.1"


def bind(socket: zmq.Socket[Any]) -> str:
    socket.setsockopt(zmq.LINGER, 0)
    return f"{LOCALHOST}:{socket.bind_to_random_port(LOCALHOST)}"


def connected(role: Role, kind: int, **options: bytes) -> zmq.Socket[bytes]:
    socket = zmq.Context.instance().socket(kind)
    for name, value in options.items():
        socket.setsockopt(getattr(zmq, name), value)
    socket.connect(role.address)
    return socket


def packets_receiver(role: Role) -> None:
    socket = zmq.Context.instance().socket(zmq.PULL)
    role.ready(bind(socket))
    socket.recv()  # the sender is connected
    role.meet()
    for _ in range(role.count):
        socket.recv()
    role.finish()
    role.stay()


def packets_sender(role: Role) -> None:
    socket = connected(role, zmq.PUSH)
    packet = role.payload
    socket.send(b"")
    role.meet()
    for _ in range(role.count):
        socket.send(packet)
    role.stay()


def messages_receiver(role: Role) -> None:
    """The ROUTER is asked for messages by a DEALER that has told its name."""
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.setsockopt(zmq.IDENTITY, b"receiver")
    role.ready(bind(socket))
    socket.recv()
    role.meet()
    for _ in range(role.count):
        socket.recv()
    role.finish()
    role.stay()


def messages_sender(role: Role) -> None:
    socket = connected(role, zmq.ROUTER)
    # Without these a ROUTER drops what it cannot send.
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    data = role.payload
    while True:
        try:
            socket.send_multipart([b"receiver", b""])
            break
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
    role.meet()
    for _ in range(role.count):
        socket.send_multipart([b"receiver", data])
    role.stay()


def calls_server(role: Role) -> None:
    socket = zmq.Context.instance().socket(zmq.REP)
    role.ready(bind(socket))
    methods = {"add": lambda a, b: a + b}
    while True:
        name, arguments = pickle.loads(socket.recv())
        socket.send(pickle.dumps(methods[name](*arguments)))


def calls_client(role: Role) -> None:
    def new_call() -> Callable[[int, int], int]:
        socket = connected(role, zmq.REQ)

        def add(a: int, b: int) -> int:
            socket.send(pickle.dumps(("add", (a, b))))
            result: int = pickle.loads(socket.recv())
            return result

        return add

    time_callers(role, new_call)
    role.stay()


def connections_receiver(role: Role) -> None:
    socket = zmq.Context.instance().socket(zmq.PULL)
    role.ready(bind(socket))
    for _ in range(role.connections):
        socket.recv()
    role.meet()
    for _ in range(role.count):
        socket.recv()
    role.finish()
    role.stay()


def connections_sender(role: Role) -> None:
    zmq.Context.instance().set(zmq.MAX_SOCKETS, role.connections + 100)
    sockets = [connected(role, zmq.PUSH) for _ in range(role.connections)]
    packet = role.payload
    for socket in sockets:
        socket.send(b"")
    role.meet()
    for socket in sockets:
        for _ in range(role.each):
            socket.send(packet)
    role.stay()


def idle_listener(role: Role) -> None:
    socket = zmq.Context.instance().socket(zmq.PULL)
    role.ready(bind(socket))
    socket.recv()
    role.meet()
    socket.recv()


def idle_dialler(role: Role) -> None:
    socket = connected(role, zmq.PUSH)
    socket.send(b"")
    role.meet()
    role.stay()


def reconnect_listener(role: Role) -> None:
    socket = zmq.Context.instance().socket(zmq.PULL)
    if address := role.settings.get("address"):
        socket.bind(address)
        role.ready(address)
    else:
        role.ready(bind(socket))
    socket.recv()
    role.finish()
    role.stay()


def reconnect_dialler(role: Role) -> None:
    socket = connected(role, zmq.PUSH)
    while True:  # what was handed to the connection that broke is lost
        socket.send(b"here again")
        time.sleep(0.001)
