"""zmq.asyncio: PUSH/PULL for messages; calls from a DEALER or a REQ to a ROUTER."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable

import zmq
import zmq.asyncio

from benchmarks.suite.harness.event_loop import play, stay, time_awaited_calls
from benchmarks.suite.harness.role import Role
from benchmarks.suite.peers import pyzmq


def new_socket(kind: int) -> zmq.asyncio.Socket:
    return zmq.asyncio.Context.instance().socket(kind)


def connected(role: Role, kind: int) -> zmq.asyncio.Socket:
    socket = new_socket(kind)
    socket.connect(role.address)
    return socket


# -- messages


def messages_receiver(role: Role) -> None:
    play(role, receive)


async def receive(role: Role) -> None:
    socket = new_socket(zmq.PULL)
    role.ready(pyzmq.bind(socket))
    await socket.recv()  # the sender is connected
    role.meet()
    for _ in range(role.count):
        await socket.recv()
    role.finish()
    await stay()


def messages_sender(role: Role) -> None:
    """``way``: ``await`` each ``send``, or without asyncio, which is faster."""
    if role.way == "await":
        play(role, send)
    else:
        pyzmq.packets_sender(role)


async def send(role: Role) -> None:
    socket = connected(role, zmq.PUSH)
    data = role.payload
    await socket.send(b"")
    role.meet()
    for _ in range(role.count):
        await socket.send(data)
    await stay()


# -- calls


def calls_server(role: Role) -> None:
    play(role, serve)


async def serve(role: Role) -> None:
    """Returns the envelope of each request, whatever the socket of the client has put there."""
    socket = new_socket(zmq.ROUTER)
    socket.set_hwm(0)  # it would drop replies
    role.ready(pyzmq.bind(socket))
    methods = {"add": lambda a, b: a + b}
    while True:
        *envelope, request = await socket.recv_multipart()
        name, arguments = pickle.loads(request)
        await socket.send_multipart([*envelope, pickle.dumps(methods[name](*arguments))])


def calls_client(role: Role) -> None:
    play(role, call)


async def call(role: Role) -> None:
    """``socket``: a ``DEALER`` that many tasks can share, or a ``REQ`` for one at a time."""
    if role.socket == "REQ":
        await time_awaited_calls(role, one_at_a_time(connected(role, zmq.REQ)))
    else:
        calls = Calls(connected(role, zmq.DEALER))
        reader = asyncio.create_task(calls.read())
        await time_awaited_calls(role, calls.add)
        await reader
    await stay()


def one_at_a_time(socket: zmq.asyncio.Socket) -> Callable[[int, int], Awaitable[int]]:
    async def add(a: int, b: int) -> int:
        await socket.send(pickle.dumps(("add", (a, b))))
        result: int = pickle.loads(await socket.recv())
        return result

    return add


class Calls:
    """Numbers the requests, because replies to several tasks arrive at one socket."""

    def __init__(self, socket: zmq.asyncio.Socket) -> None:
        self._socket = socket
        self._count = 0
        self._waiting: dict[bytes, asyncio.Future[int]] = {}

    async def add(self, a: int, b: int) -> int:
        self._count += 1
        number = self._count.to_bytes(4, "big")
        reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        await self._socket.send_multipart([number, pickle.dumps(("add", (a, b)))])
        return await reply

    async def read(self) -> None:
        while True:
            number, reply = await self._socket.recv_multipart()
            self._waiting.pop(number).set_result(pickle.loads(reply))
