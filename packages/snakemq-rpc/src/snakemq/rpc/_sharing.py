"""Lets several clients share one hook, and keeps a messaging from having two servers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol
from weakref import WeakKeyDictionary, WeakSet

from snakemq.callbacks import Callback
from snakemq.message import Message
from snakemq.messaging import Messaging, ReceiveHook

from ._acks import acknowledging
from ._errors import Error
from ._protocol import REPLY_PREFIX


class Client(Protocol):
    """What this module needs of an ``RpcClient``."""

    def on_reply(self, conn_id: str, ident: str, message: Message) -> None:
        """Take the reply if a call of this client waits for it. For the loop only."""

    def awaits(self, ident: str) -> bool:
        """Does a call wait for this peer?"""


class Server(Protocol):
    """What this module needs of an ``RpcServer``."""


# Weak, because clients and servers refer to their hook: an entry would keep itself alive. The
# callbacks of a messaging hold what is in use.
_clients: WeakKeyDictionary[ReceiveHook, WeakSet[Client]] = WeakKeyDictionary()
_servers: WeakKeyDictionary[Messaging, WeakSet[Server]] = WeakKeyDictionary()


def add_client(hook: ReceiveHook, client: Client) -> None:
    """Pass replies to this client, too."""
    clients = _clients.setdefault(hook, WeakSet())
    if clients:
        _unregister(hook)
    clients.add(client)
    _register(hook, list(clients))


def remove_client(hook: ReceiveHook, client: Client) -> None:
    """Stop passing replies to this client."""
    clients = _clients[hook]
    clients.discard(client)
    _unregister(hook)
    if clients:
        _register(hook, list(clients))


def _register(hook: ReceiveHook, clients: list[Client]) -> None:
    callback: Callable[[str, str, Message], None] = clients[0].on_reply
    if len(clients) > 1:
        # Ids of requests are unique, so at most one client waits for a reply.
        event: Callback[[str, str, Message]] = Callback()
        for client in clients:
            event.add(client.on_reply)
        callback = event
    on_reply = acknowledging(hook.messaging, callback)

    def claim(conn_id: str, ident: str, message: Message) -> bool:
        """Take a message of a peer that may not send any, if a call waits for its reply."""
        if not any(client.awaits(ident) for client in clients):
            return False
        on_reply(conn_id, ident, message)
        return True

    hook.register(REPLY_PREFIX, on_reply, claim=claim)


def _unregister(hook: ReceiveHook) -> None:
    with contextlib.suppress(KeyError):  # the application has cleared the hook
        hook.unregister(REPLY_PREFIX)


def add_server(messaging: Messaging, server: Server) -> None:
    """Record the server of a messaging. Raises :exc:`Error` if it has one already."""
    servers = _servers.setdefault(messaging, WeakSet())
    if servers:
        raise Error(
            f"the messaging of {messaging.identifier!r} has an RpcServer: register all objects"
            " with that one, or close it before you make another"
        )
    servers.add(server)


def remove_server(messaging: Messaging, server: Server) -> None:
    """Allow the messaging to have another server."""
    _servers[messaging].discard(server)
