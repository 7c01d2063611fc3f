"""NATS: published subjects for messages, requests for calls, JetStream for durable messages."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import nats

from benchmarks.suite.harness.event_loop import stay, time_awaited_calls
from benchmarks.suite.harness.role import Role


def messages_receiver(role: Role) -> None:
    asyncio.run(receive(role))


async def receive(role: Role) -> None:
    left, subject = role.count, uuid.uuid4().hex
    done = asyncio.Event()

    async def on_message(message: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    connection = await nats.connect(role.service)
    await connection.subscribe(subject, cb=on_message)
    await connection.flush()
    role.ready(subject)
    role.meet()
    await done.wait()
    role.finish()
    role.stay()


def messages_sender(role: Role) -> None:
    asyncio.run(send(role))


async def send(role: Role) -> None:
    connection = await nats.connect(role.service)
    data = role.payload
    role.meet()
    for _ in range(role.count):
        await connection.publish(role.address, data)
    await connection.flush()
    role.stay()


def calls_server(role: Role) -> None:
    asyncio.run(serve(role))


async def serve(role: Role) -> None:
    subject = uuid.uuid4().hex

    async def add(message: Any) -> None:
        a, b = message.data.split()
        await message.respond(b"%d" % (int(a) + int(b)))

    connection = await nats.connect(role.service)
    await connection.subscribe(subject, cb=add)
    await connection.flush()
    role.ready(subject)
    await stay()


def calls_client(role: Role) -> None:
    asyncio.run(call(role))


async def call(role: Role) -> None:
    """Callers are coroutines here."""
    connection = await nats.connect(role.service)

    async def add(a: int, b: int) -> int:
        return int((await connection.request(role.address, b"%d %d" % (a, b))).data)

    await time_awaited_calls(role, add)
    await stay()


def durable_receiver(role: Role) -> None:
    asyncio.run(receive_durable(role))


async def receive_durable(role: Role) -> None:
    subject, left = uuid.uuid4().hex, role.count
    done = asyncio.Event()

    async def on_message(message: Any) -> None:
        nonlocal left
        await message.ack()
        left -= 1
        if not left:
            done.set()

    connection = await nats.connect(role.service)
    stream = connection.jetstream()
    await stream.add_stream(name=subject, subjects=[subject])
    await stream.subscribe(subject, durable="receiver", cb=on_message, manual_ack=True)
    role.ready(subject)
    role.meet()
    await done.wait()
    role.finish()
    await stream.delete_stream(subject)
    role.stay()


def durable_sender(role: Role) -> None:
    asyncio.run(send_durable(role))


async def send_durable(role: Role) -> None:
    connection = await nats.connect(role.service)
    stream, data = connection.jetstream(), role.payload

    async def send(count: int) -> None:
        for _ in range(count):
            await stream.publish(role.address, data)

    role.meet()
    began = time.perf_counter()
    await asyncio.gather(*(send(role.count // role.in_flight) for _ in range(role.in_flight)))
    role.tell("accepted", time.perf_counter() - began)
    role.stay()
