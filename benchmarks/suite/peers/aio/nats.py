"""NATS: ``async for`` over a subscription. The rest is the same, as NATS has only asyncio."""

from __future__ import annotations

import uuid

import nats

from benchmarks.suite.harness.event_loop import play, stay
from benchmarks.suite.harness.role import Role
from benchmarks.suite.peers.nats import call, send, serve


def messages_receiver(role: Role) -> None:
    play(role, receive)


async def receive(role: Role) -> None:
    left, subject = role.count, uuid.uuid4().hex
    connection = await nats.connect(role.service)
    subscription = await connection.subscribe(subject)
    await connection.flush()
    role.ready(subject)
    role.meet()
    async for _ in subscription.messages:
        left -= 1
        if not left:
            break
    role.finish()
    await stay()


def messages_sender(role: Role) -> None:
    play(role, send)


def calls_server(role: Role) -> None:
    play(role, serve)


def calls_client(role: Role) -> None:
    play(role, call)
