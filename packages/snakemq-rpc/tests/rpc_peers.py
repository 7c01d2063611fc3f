"""Peers on a memory network: whole stacks, and ones that write RPC messages by hand."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import MAX_PACKET_SIZE, Packeter
from snakemq.rpc import RpcClient
from snakemq.rpc._protocol import REPLY_PREFIX, REQUEST_PREFIX

T = TypeVar("T")

PATIENCE = 60.0
"""Real seconds after which a thread that has not done its work will not do it any more."""


class Node:
    """A stack with a receive hook, and what its messaging reports."""

    def __init__(
        self,
        network: MemoryNetwork,
        ident: str,
        *,
        max_packet_size: int = MAX_PACKET_SIZE,
        **options: Any,
    ) -> None:
        """``options``: further ones of :class:`Messaging`."""
        self.network = network
        self.ident = ident
        self.link = network.link(ident)
        packeter = Packeter(self.link, max_packet_size=max_packet_size)
        self.messaging = Messaging(ident, "", packeter, **options)
        self.hook = ReceiveHook(self.messaging)
        self.errors: list[Exception] = []
        self.disconnected: list[str] = []
        self.messaging.on_error.add(lambda _conn_id, exc: self.errors.append(exc))
        self.messaging.on_disconnect.add(lambda _conn_id, ident: self.disconnected.append(ident))

    def connect(self, other: Node) -> str:
        """Connect, and let both sides introduce themselves."""
        conn_id, _ = self.network.connect(self.link, other.link)
        self.network.run_until_idle()
        return conn_id

    def until(self, predicate: Callable[[], object]) -> None:
        """Run the network, and wait for threads, until the predicate holds."""
        self.network.run_until(lambda: bool(predicate()), timeout=0.0, patience=PATIENCE)


class RawClient(Node):
    """Sends requests as it likes, and keeps the replies."""

    def __init__(self, network: MemoryNetwork, ident: str = "client", **options: Any) -> None:
        super().__init__(network, ident, **options)
        self.replies: list[Any] = []
        self.hook.register(REPLY_PREFIX, self._on_reply)

    def _on_reply(self, _conn_id: str, _ident: str, message: Message) -> None:
        self.replies.append(pickle.loads(message.data[len(REPLY_PREFIX) :]))

    def send(self, body: bytes, server: str = "server") -> None:
        self.messaging.send_message(server, Message(REQUEST_PREFIX + body, 60))

    def call(
        self, method: str, *args: Any, req_id: bytes = b"0123456789abcdef", **changes: Any
    ) -> None:
        """Send the request of a call. ``changes`` replaces fields, or leaves out those of None."""
        request: dict[str, Any] = {
            "command": "call",
            "object": "object",
            "method": method,
            "args": args,
            "kwargs": {},
            "req_id": req_id,
        }
        request.update(changes)
        self.send(pickle.dumps({k: v for k, v in request.items() if v is not None}, 3))

    def signal(self, method: str, *args: Any) -> None:
        """Send a signal as 1.6 does: without a req_id."""
        self.call(method, *args, command="signal", req_id=None)  # type: ignore[arg-type]

    def reply_of(self, method: str, *args: Any, **changes: Any) -> Any:
        """Call, and wait for the reply."""
        self.replies.clear()
        self.call(method, *args, **changes)
        self.until(lambda: self.replies)
        return self.replies[-1]


class RawServer(Node):
    """Keeps the requests, and sends replies as it likes."""

    def __init__(self, network: MemoryNetwork, ident: str = "server", **options: Any) -> None:
        super().__init__(network, ident, **options)
        self.requests: list[dict[str, Any]] = []
        self.raw_requests: list[bytes] = []
        self.hook.register(REQUEST_PREFIX, self._on_request)

    def _on_request(self, _conn_id: str, _ident: str, message: Message) -> None:
        self.raw_requests.append(message.data)
        self.requests.append(pickle.loads(message.data[len(REQUEST_PREFIX) :]))

    def send(self, body: bytes, client: str = "client") -> None:
        self.messaging.send_message(client, Message(REPLY_PREFIX + body, 60))
        self.network.run_until_idle()

    def reply(self, value: Any, number: int = -1) -> None:
        """Answer a request as 1.6 does."""
        req_id = self.requests[number]["req_id"]
        self.send(pickle.dumps({"ok": True, "return": value, "req_id": req_id}, 3))

    def fail(self, exc: BaseException, text: str = "remote traceback", **more: Any) -> None:
        """Answer the last request with an exception, as 1.6 does."""
        reply = {"req_id": self.requests[-1]["req_id"], "ok": False}
        reply |= {"exception": exc, "exception_format": text, **more}
        self.send(pickle.dumps(reply, 3))


def in_thread(func: Callable[[], T]) -> Future[T]:
    """Run something that blocks in a thread of its own."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(func())
        except BaseException as exc:
            future.set_exception(exc)

    threading.Thread(target=run, daemon=True).start()
    return future


def called(server: RawServer, func: Any, *args: Any, **kwargs: Any) -> Future[Any]:
    """A thread calls, and the request has arrived."""
    before = len(server.requests)
    future = in_thread(lambda: func(*args, **kwargs))
    server.until(lambda: len(server.requests) > before or future.done())
    return future


def result(future: Future[Any]) -> Any:
    return future.result(PATIENCE)


def outstanding(client: RpcClient) -> int:
    return sum(len(peer.calls) for peer in client._caller._outstanding.peers.values())


MakeNode = Callable[..., Node]
MakeRawClient = Callable[..., RawClient]
MakeRawServer = Callable[..., RawServer]
