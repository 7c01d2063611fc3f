from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.message import Message
from snakemq.messaging import ReceiveHook

from .._errors import Error, RemoteError
from .._pickling._pickler import TRUSTING, Pickler, SafePickler, dumps_of
from .._protocol import (
    REPLY_PREFIX,
    REQUEST_PREFIX,
    Request,
    kills_16,
    text_of,
    type_name,
)
from .._sharing import add_client, remove_client
from ._calls import (
    BlockedThread,
    Call,
    CallFuture,
    ReqIds,
    Sleepers,
    Waiter,
    check_timeout,
    expired,
)
from ._courier import Courier
from ._outcomes import read_reply
from ._outstanding import Outstanding
from ._proxy import RpcInstProxy

_req_ids = ReqIds()


class RpcClient:
    """Calls methods of objects which peers have registered with their :class:`RpcServer`.

    ``receive_hook``: a :class:`~snakemq.messaging.ReceiveHook`. Several clients may share one.

    ``pickler``: see :class:`SafePickler`, the default. The module ``pickle`` trusts every peer
    with this process and all it may do.

    ``timeout``: the default of :meth:`RemoteMethod.set_timeout`, in seconds; None: forever.

    Proxies, and all that can be done with them, may be used by any number of threads at once. The
    client itself is made before the loop runs, or in the loop.
    """

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
        self._closed = False
        self._outstanding = Outstanding()
        # Calls of futures whose time has to be taken by the loop.
        self._untimed: deque[Call] = deque()
        self._sleepers = Sleepers()
        add_client(receive_hook, self)
        self._courier = Courier(messaging, self._outstanding, self._fail)
        messaging.on_disconnect.add_internal(self._on_disconnect)
        self._link.on_loop_pass.add_internal(self._on_loop_pass)

    def get_proxy(self, remote_ident: str, name: str) -> RpcInstProxy:
        """A stand-in for the object that the peer has registered under this name."""
        return RpcInstProxy(self, remote_ident, name)

    def close(self) -> None:
        """Let go of messaging; calls without a reply fail as if their time was over. Idempotent."""
        if self._closed:
            return
        self._closed = True
        remove_client(self.receive_hook, self)
        self._courier.close()
        self._messaging.on_disconnect.remove(self._on_disconnect)
        self._link.on_loop_pass.remove(self._on_loop_pass)
        for call in self._outstanding.take_all():
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
        if not in_time:
            if self._forget(call):
                raise expired(call, f"no reply in {timeout:g} s")
            waiter.wait(None)  # the loop has taken it, and is about to hand over the outcome
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
                self._time_futures()
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
        if not self._closed:
            self._courier.send(call, urgent=urgent)
            if not self._closed or not self._forget(call):
                return  # with its outcome, if close() was faster
        raise Error("the client is closed")

    def _forget(self, call: Call) -> bool:
        """Nobody waits any longer. False if the outcome was faster."""
        return self._outstanding.take(call.req_id) is not None

    # In the loop.

    def _on_disconnect(self, conn_id: str, ident: str) -> None:
        self._sleepers.wake()  # a pass that is interrupted by Ctrl-C may be the last one

    def on_reply(self, conn_id: str, ident: str, message: Message) -> None:
        """Called by the receive hook: a reply came, maybe to a call of another client."""
        try:
            req_id, value, error = read_reply(self.pickler, message.data[len(REPLY_PREFIX) :])
        except SnakeMQBrokenMessage as exc:
            self._on_broken_reply(ident, exc)
            raise
        call = self._outstanding.take(req_id, ident)
        if call is None and error is not None and not self._writes_ids_first:
            call = self._outstanding.take_sent_in(ident, req_id)
        if call is None:
            self.log.debug("reply of %r that nobody waits for: %r", ident, req_id)
        else:
            self._tell(call, value, error)
            if call.losses:
                self._courier.try_next(ident, call)

    def _on_broken_reply(self, ident: str, exc: SnakeMQBrokenMessage) -> None:
        peer = self._outstanding.peers.get(ident)
        for call in peer.broken_reply() if peer is not None else ():
            self._fail(call, RemoteError(type_name(exc), text_of(exc)))

    def _fail(self, call: Call, error: Exception) -> None:
        if self._forget(call):
            self._tell(call, None, error)

    def _tell(self, call: Call, value: Any, error: Exception | None) -> None:
        if call.timer is not None:
            call.timer.cancel()
        if error is None:
            call.waiter.succeed(value)
        else:
            call.waiter.fail(error)

    def _on_loop_pass(self) -> None:
        self._sleepers.wake()
        if self._untimed:
            self._time_futures()
        if self._outstanding.idle:
            self._outstanding.forget_idle()

    def _time_futures(self) -> None:
        untimed = self._untimed
        with contextlib.suppress(IndexError):  # a future that is made in between may empty it
            while untimed:
                call = untimed.popleft()
                if call.deadline is not None and call in self._outstanding:
                    delay = max(0.0, call.deadline - self._link.time())
                    call.timer = self._link.call_later(delay, partial(self._expire, call))

    def _expire(self, call: Call) -> None:
        self._fail(call, expired(call, "no reply in time"))
