"""snakeMQ 2 with asyncio. ``driver``: its link is a ``guest`` of the event loop, or it has a
``thread`` of its own; with ``callbacks``, the messages are received without asyncio."""

from __future__ import annotations

from urllib.parse import urlsplit

from benchmarks.suite.harness.event_loop import play, stay, time_awaited_calls
from benchmarks.suite.harness.role import Role
from benchmarks.suite.peers import snakemq2
from snakemq.aio import Peer


def new_peer(role: Role, ident: str) -> Peer:
    return Peer(ident, own_thread=role.driver == "thread")


def listen(peer: Peer) -> tuple[str | None, int | None]:
    """The address as a link takes it, for senders that do without a :class:`Peer`."""
    url = urlsplit(peer.listen("tcp://127.0.0.1:0"))
    return url.hostname, url.port


# -- messages


def messages_receiver(role: Role) -> None:
    if role.driver == "callbacks":
        snakemq2.messages_receiver(role)
    else:
        play(role, receive)


async def receive(role: Role) -> None:
    left = role.count
    async with new_peer(role, "receiver") as peer:
        role.ready(listen(peer))
        await peer.wait_for("sender")
        role.meet()
        async with peer.messages() as messages:
            async for _ in messages:
                left -= 1
                if not left:
                    role.finish()
                    break
        await stay()


def messages_sender(role: Role) -> None:
    """``way``: ``await`` each ``send``, or one of the ways without asyncio."""
    if role.way == "await":
        play(role, send)
    else:
        snakemq2.messages_sender(role)


async def send(role: Role) -> None:
    data = role.payload
    async with new_peer(role, "sender") as peer:
        peer.connect(tuple(role.address))
        await peer.wait_for("receiver")
        role.meet()
        for _ in range(role.count):
            await peer.send("receiver", data, ttl=snakemq2.TTL)
        await stay()


# -- calls


class Calculator:
    async def add(self, a: int, b: int) -> int:
        return a + b


def calls_server(role: Role) -> None:
    play(role, serve)


async def serve(role: Role) -> None:
    async with new_peer(role, "server") as peer:
        peer.serve("calculator", Calculator())
        role.ready(listen(peer))
        await stay()


def calls_client(role: Role) -> None:
    play(role, call)


async def call(role: Role) -> None:
    async with new_peer(role, "client") as peer:
        peer.connect(tuple(role.address))
        await time_awaited_calls(role, peer.remote("server", "calculator").add)
        await stay()
