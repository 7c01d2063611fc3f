"""Several clients on one hook, and never several servers on one messaging."""

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
    """An ``RpcClient``, as far as it is needed here."""

    def on_reply(self, conn_id: str, ident: str, message: Message) -> None:
        """Takes the reply if it waits for it. In the loop."""


class Server(Protocol):
    """An ``RpcServer``, as far as it is needed here."""


# Weak, because clients and servers know their hook: an entry would keep itself alive. What is in
# use is held by the callbacks of its messaging.
_clients: WeakKeyDictionary[ReceiveHook, WeakSet[Client]] = WeakKeyDictionary()
_servers: WeakKeyDictionary[Messaging, WeakSet[Server]] = WeakKeyDictionary()


def add_client(hook: ReceiveHook, client: Client) -> None:
    """Give replies to this client, too."""
    clients = _clients.setdefault(hook, WeakSet())
    if clients:
        _unregister(hook)
    clients.add(client)
    _register(hook, list(clients))


def remove_client(hook: ReceiveHook, client: Client) -> None:
    """Give replies to the other clients only."""
    clients = _clients[hook]
    clients.discard(client)
    _unregister(hook)
    if clients:
        _register(hook, list(clients))


def _register(hook: ReceiveHook, clients: list[Client]) -> None:
    callback: Callable[[str, str, Message], None] = clients[0].on_reply
    if len(clients) > 1:
        # Ids of requests are unique, so at most one of them waits for a reply.
        event: Callback[[str, str, Message]] = Callback()
        for client in clients:
            event.add(client.on_reply)
        callback = event
    hook.register(REPLY_PREFIX, acknowledging(hook.messaging, callback))


def _unregister(hook: ReceiveHook) -> None:
    with contextlib.suppress(KeyError):  # the application has cleared the hook
        hook.unregister(REPLY_PREFIX)


def add_server(messaging: Messaging, server: Server) -> None:
    """Note that the messaging has a server. Raises :exc:`Error` if it has one already."""
    servers = _servers.setdefault(messaging, WeakSet())
    if servers:
        raise Error(
            f"the messaging of {messaging.identifier!r} has an RpcServer: register all objects"
            " with that one, or close it before another one is made"
        )
    servers.add(server)


def remove_server(messaging: Messaging, server: Server) -> None:
    """Let another server follow."""
    _servers[messaging].discard(server)
