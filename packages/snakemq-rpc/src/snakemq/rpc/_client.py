from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from snakemq.exceptions import SnakeMQBrokenMessage, SnakeMQException
from snakemq.message import Message
from snakemq.messaging import ReceiveHook

from ._calls import (
    BlockedThread,
    Call,
    CallFuture,
    ReqIds,
    Sleepers,
    Waiter,
    check_timeout,
    expired,
    refused_silently,
)
from ._errors import CallError, Error, RemoteError
from ._outcomes import read_reply
from ._peers import Peer
from ._pickler import TRUSTING, Pickler, SafePickler, dumps_of
from ._protocol import (
    REPLY_PREFIX,
    REQUEST_PREFIX,
    Request,
    kills_16,
    text_of,
    type_name,
    with_timeout,
)
from ._proxy import RpcInstProxy
from ._sharing import add_client, remove_client

_req_ids = ReqIds()


TRIAL = 1.0
"""Seconds. A suspect call that the connection survives this long is innocent, see :class:`Peer`."""


class RpcClient:
    """Calls methods of objects which peers have registered with their :class:`RpcServer`.

    ``receive_hook``: a :class:`~snakemq.messaging.ReceiveHook`. Several clients may share one.

    ``pickler``: see :class:`SafePickler`, the default. The module ``pickle`` trusts every peer
    with this process and all it may do.

    ``timeout``: the default of :meth:`RemoteMethod.set_timeout`, in seconds; None: forever.

    Proxies, and all that can be done with them, may be used by any number of threads at once. The
    client itself is made before the loop runs, or in the loop.
    """

    __module__ = "snakemq.rpc"

    exception_handler: Callable[[Exception], object] | None
    """If set, it is called with any exception of a blocking call or a signal which is not a
    :exc:`CallError`, and the call returns None."""

    def __init__(
        self,
        receive_hook: ReceiveHook,
        pickler: Pickler | None = None,
        *,
        timeout: float | None = None,
    ) -> None:
        self.log = logging.getLogger("snakemq.rpc.client")
        self.receive_hook = receive_hook
        self.pickler: Pickler = SafePickler() if pickler is None else pickler
        self.timeout = check_timeout(timeout)
        self.exception_handler = None
        self._dumps = dumps_of(self.pickler)
        # So that every server of today finds the id of a request.
        self._writes_ids_first = type(self.pickler) is SafePickler or self.pickler is TRUSTING
        self._messaging = messaging = receive_hook.messaging
        self._link = messaging.packeter.link
        self._lock = threading.Lock()  # of the next two; nothing is called while it is held
        self._peers: dict[str, Peer] = {}
        self._closed = False
        # Calls of futures whose time has to be taken by the loop.
        self._untimed: deque[Call] = deque()
        self._sleepers = Sleepers()
        add_client(receive_hook, self)
        messaging.on_admitted.add_internal(self._on_connect)
        messaging.on_disconnect.add_internal(self._on_disconnect)
        messaging.on_message_drop.add_internal(self._on_message_drop)
        self._link.on_loop_pass.add_internal(self._on_loop_pass)

    def get_proxy(self, remote_ident: str, name: str) -> RpcInstProxy:
        """A stand-in for the object that the peer has registered under this name."""
        return RpcInstProxy(self, remote_ident, name)

    def close(self) -> None:
        """Let go of messaging; calls without a reply fail as if their time was over. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            calls = [call for peer in self._peers.values() for call in peer.calls.values()]
            self._peers.clear()
        remove_client(self.receive_hook, self)
        self._messaging.on_admitted.remove(self._on_connect)
        self._messaging.on_disconnect.remove(self._on_disconnect)
        self._messaging.on_message_drop.remove(self._on_message_drop)
        self._link.on_loop_pass.remove(self._on_loop_pass)
        for call in calls:
            call.waiter.fail(expired(call, "the client was closed"))
        self._sleepers.end()

    # For proxies, in any thread.

    def _check_not_in_loop(self) -> None:
        if self._link.in_loop():
            raise Error(
                "a blocking call in the thread of the loop would wait for itself: "
                "call in another thread, or use RemoteMethod.future"
            )

    def _signal(self, ident: str, request: Request, ttl: float) -> None:
        self._messaging.send_message(ident, Message(self._encode(request), ttl))

    def _call(self, ident: str, request: Request, timeout: float | None) -> Any:
        waiter = BlockedThread(self._sleepers)
        call = self._new_call(ident, request, waiter, timeout)
        try:
            self._start(call, urgent=True)
            in_time = waiter.wait(timeout)
        except BaseException:  # Ctrl-C, too
            self._forget(call)
            raise
        if not in_time and self._forget(call):
            raise expired(call, f"no reply in {timeout:g} s")
        return waiter.outcome()

    def _future(self, ident: str, request: Request, timeout: float | None) -> CallFuture:
        def forget() -> None:
            if self._forget(call):
                call.data = b""  # a timer may hold the call for some time

        future = CallFuture(forget)
        call = self._new_call(ident, request, future, timeout)
        self._start(call)
        if timeout is not None:
            self._untimed.append(call)
            if self._link.in_loop():
                self._on_loop_pass()
            else:
                self._link.wakeup_poll()
        return future

    def _new_call(
        self, ident: str, request: Request, waiter: Waiter, timeout: float | None
    ) -> Call:
        req_id = _req_ids.next()
        if timeout is None:
            request = {"req_id": req_id, **request}
            return Call(ident, req_id, self._encode(request), waiter, None)
        deadline = self._link.time() + timeout
        request = {"req_id": req_id, "timeout": float(timeout), **request}
        return Call(ident, req_id, self._encode(request), waiter, deadline)

    def _encode(self, request: Request) -> bytes:
        data = self._dumps(request)
        if kills_16(data):
            raise Error("an argument is an object of snakemq itself, which not every peer knows")
        return REQUEST_PREFIX + data

    def _start(self, call: Call, *, urgent: bool = False) -> None:
        with self._lock:
            if self._closed:
                raise Error("the client is closed")
            peer = self._peers.get(call.ident)
            if peer is None:
                peer = self._peers[call.ident] = Peer()
                # it may have been connected before this client was made
                if self._messaging.is_connected(call.ident):
                    peer.connect(self._messaging.announced_by(call.ident))
            peer.calls[call.req_id] = call
            message = self._message(call) if peer.connected else None
        if message is not None:
            try:
                self._messaging.send_message(call.ident, message, urgent=urgent)
            except BaseException:
                self._forget(call)
                raise

    @staticmethod
    def _message(call: Call) -> Message:
        """The message to send at once. With the lock held: it is one for each connection."""
        message = Message(call.data)
        call.sent_before = call.sent_in
        call.sent_in = message.uuid
        return message

    def _message_again(self, call: Call, now: float) -> Message:
        """The message of a call that was made some time ago: less of its time-out is left."""
        if call.deadline is not None:
            call.data = with_timeout(call.data, max(0.0, call.deadline - now))
        return self._message(call)

    def _forget(self, call: Call) -> bool:
        """Nobody waits any longer. False if the outcome was faster."""
        return self._take(call.ident, call.req_id) is not None

    def _is_outstanding(self, call: Call) -> bool:
        with self._lock:
            peer = self._peers.get(call.ident)
            return peer is not None and call.req_id in peer.calls

    def _take(self, ident: str, req_id: bytes) -> Call | None:
        with self._lock:
            peer = self._peers.get(ident)
            if peer is None:
                return None
            call = peer.calls.pop(req_id, None)
            if not peer.calls and not peer.connected:
                del self._peers[ident]
            return call

    def _take_sent_in(self, ident: str, uuid: bytes) -> Call | None:
        """Take the call of a message: a server that finds no id in a request names the message."""
        with self._lock:
            peer = self._peers.get(ident)
            call = peer.sent_in(uuid) if peer is not None else None
        return call and self._take(ident, call.req_id)

    # In the loop.

    def _on_connect(self, conn_id: str, ident: str) -> None:
        now = self._link.time()
        with self._lock:
            peer = self._peers.get(ident)
            if peer is None:
                peer = self._peers[ident] = Peer()
            calls = peer.connect(self._messaging.announced_by(ident))
            messages = [(call, self._message_again(call, now)) for call in calls]
        for call, message in messages:
            self._send_again(call, message)
        self._try_next(ident, None)

    def _try_next(self, ident: str, after: Call | None) -> None:
        """Send the next call alone that may be why the connections of this peer end."""
        now = self._link.time()
        with self._lock:
            peer = self._peers.get(ident)
            call = peer.next_to_try(after) if peer is not None else None
            message = self._message_again(call, now) if call is not None else None
        if call is not None and message is not None:
            self._link.call_later(TRIAL, partial(self._survived, call, message.uuid))
            self._send_again(call, message)

    def _survived(self, call: Call, uuid: bytes) -> None:
        if call.sent_in == uuid:
            call.losses = 0
            self._try_next(call.ident, call)

    def _send_again(self, call: Call, message: Message) -> None:
        try:
            self._messaging.send_message(call.ident, message)
        except SnakeMQException as exc:
            self._finish(call, None, exc)

    def _on_disconnect(self, conn_id: str, ident: str) -> None:
        with self._lock:
            peer = self._peers.get(ident)
            if peer is not None:
                peer.disconnect()
                if not peer.calls:
                    del self._peers[ident]
        self._sleepers.wake()  # a pass that is interrupted by Ctrl-C may be the last one

    def _on_message_drop(self, ident: str, uuid: bytes) -> None:
        with self._lock:
            peer = self._peers.get(ident)
            if peer is None:
                return
            if not peer.connected:
                # It went with the connection, and will be sent again with the next one.
                lost = peer.lost(uuid)
                dropped = []
            else:
                lost = None
                dropped = [call for call in peer.calls.values() if call.sent_in == uuid]
        if lost is not None:
            self._finish(lost, None, refused_silently(lost))
        for call in dropped:  # it was too large for the peer
            text = f"messaging dropped the request of {len(call.data)} bytes, see its on_error"
            self._finish(call, None, CallError(text))

    def on_reply(self, conn_id: str, ident: str, message: Message) -> None:
        """Called by the receive hook: a reply came, maybe to a call of another client."""
        try:
            req_id, value, error = read_reply(self.pickler, message.data[len(REPLY_PREFIX) :])
        except SnakeMQBrokenMessage as exc:
            self._on_broken_reply(ident, exc)
            raise
        call = self._take(ident, req_id)
        if call is None and error is not None and not self._writes_ids_first:
            call = self._take_sent_in(ident, req_id)
        if call is None:
            self.log.debug("reply of %r that nobody waits for: %r", ident, req_id)
        else:
            self._tell(call, value, error)
            if call.losses:
                self._try_next(ident, call)

    def _on_broken_reply(self, ident: str, exc: SnakeMQBrokenMessage) -> None:
        with self._lock:
            peer = self._peers.get(ident)
            failed = peer.broken_reply() if peer is not None else []
        for call in failed:
            self._finish(call, None, RemoteError(type_name(exc), text_of(exc)))

    def _finish(self, call: Call, value: Any, error: Exception | None) -> None:
        if self._forget(call):
            self._tell(call, value, error)

    def _tell(self, call: Call, value: Any, error: Exception | None) -> None:
        if call.timer is not None:
            call.timer.cancel()
        if error is None:
            call.waiter.succeed(value)
        else:
            call.waiter.fail(error)

    def _on_loop_pass(self) -> None:
        self._sleepers.wake()
        while self._untimed:
            call = self._untimed.popleft()
            if call.deadline is not None and self._is_outstanding(call):
                delay = max(0.0, call.deadline - self._link.time())
                call.timer = self._link.call_later(delay, partial(self._expire, call))

    def _expire(self, call: Call) -> None:
        self._finish(call, None, expired(call, "no reply in time"))
