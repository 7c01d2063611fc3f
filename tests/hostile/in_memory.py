"""A stack of ours and an attacker on links in memory: fast, and the same each time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from snakemq.link.testing import MemoryLink, MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.rpc import RpcClient, RpcServer

from .stranger import VERSION, identification, message, packets, split_packets


class Echo:
    def echo(self, *args: object, **kwargs: object) -> object:
        return args, kwargs


class MemoryStack:
    """The whole stack, RPC methods inline, on a link in memory."""

    def __init__(self, network: MemoryNetwork, ident: str, **options: Any) -> None:
        self.link = network.link(ident)
        self.packeter = Packeter(self.link)
        self.messaging = Messaging(ident, "", self.packeter, **options)
        self.hook = ReceiveHook(self.messaging)
        self.server = RpcServer(self.hook, threads=0)
        self.server.register_object(Echo(), "service")
        self.client = RpcClient(self.hook)
        self.connected: list[str] = []
        self.disconnected: list[str] = []
        self.received: list[tuple[str, Message]] = []
        self.errors: list[Exception] = []
        self.messaging.on_connect.add(lambda _, ident: self.connected.append(ident))
        self.messaging.on_disconnect.add(lambda _, ident: self.disconnected.append(ident))
        self.messaging.on_message_recv.add(lambda _, ident, it: self.received.append((ident, it)))
        self.messaging.on_error.add(lambda _, error: self.errors.append(error))


class Attacker:
    """A connection to a stack, of a link without anything on it."""

    def __init__(self, network: MemoryNetwork, victim: MemoryStack, name: str = "attacker") -> None:
        self.network = network
        self.link: MemoryLink = network.link(name)
        self.heard = b""
        self._unsent = b""
        self.closed = False
        self.link.on_recv.add(self._on_recv)
        self.link.on_ready_to_send.add(self._on_ready_to_send)
        self.link.on_disconnect.add(self._on_disconnect)
        self.conn_id, self.conn_id_of_victim = network.connect(self.link, victim.link)
        network.run_until_idle()

    def send(self, data: bytes) -> None:
        """Say this, and let everything happen that follows from it."""
        if not self.closed and data:
            idle = not self._unsent
            self._unsent += data
            if idle:
                self.link.send(self.conn_id, self._unsent)
        self.network.run_until_idle()

    def say(self, *frames: bytes) -> None:
        self.send(packets(*frames))

    def introduce(self, ident: str = "attacker", *features: bytes) -> None:
        self.say(VERSION, *features, identification(ident))

    def frames(self) -> list[bytes]:
        return list(split_packets(self.heard))

    def _on_recv(self, conn_id: str, data: bytes) -> None:
        self.heard += data

    def _on_ready_to_send(self, conn_id: str, sent: int) -> None:
        self._unsent = self._unsent[sent:]
        if self._unsent:
            self.link.send(conn_id, self._unsent)

    def _on_disconnect(self, conn_id: str) -> None:
        self.closed = True


def assert_serving(network: MemoryNetwork, victim: MemoryStack) -> None:
    """Check that the next peer that comes is served."""
    guest = Attacker(network, victim, "guest")
    guest.introduce("guest")
    guest.say(message(b"hello"))
    assert ("guest", b"hello") in [(ident, it.data) for ident, it in victim.received]
    assert not guest.closed
    network.crash(guest.link)
    network.run_until_idle()


def quiet_log() -> Iterator[None]:
    """Turn off the log: thousands of refusals need not be written down."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
