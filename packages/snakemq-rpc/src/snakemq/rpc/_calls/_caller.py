"""Makes calls for proxies, and ends each with what its reply says."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.link import Abilities
from snakemq.message import Message, new_uuid
from snakemq.messaging import Messaging

from .._errors import CallError, Error, RemoteError
from .._pickling._pickler import TRUSTING, Pickler, SafePickler, dumps_of
from .._protocol import REPLY_PREFIX, REQUEST_PREFIX, Request, kills_16, text_of, type_name
from ._call import Call, expired
from ._courier import Courier
from ._outcomes import read_reply
from ._outstanding import Outstanding
from ._waiters import BlockedThread, Sleepers, Waiter


class Settings(Protocol):
    """An ``RpcClient``, as far as its user can set something there at any time."""

    exception_handler: Callable[[Exception], object] | None
    log: logging.Logger
    pickler: Pickler
    timeout: float | None


class Caller:
    """Sends requests, and hands the outcome of each call to its waiter."""

    def __init__(self, messaging: Messaging, settings: Settings) -> None:
        self.is_closed: bool = False
        self.settings: Settings = settings
        self._messaging = messaging
        self._link = messaging.packeter.link
        self._wait_until = Abilities(self._link).wait_until
        pickler = settings.pickler
        self._dumps = dumps_of(pickler)
        # Then every current server finds the id of a request.
        self._writes_ids_first = type(pickler) is SafePickler or pickler is TRUSTING
        self._outstanding = Outstanding()
        # Calls of futures that still need a timer from the loop.
        self._untimed: deque[Call] = deque()
        self._sleepers = Sleepers()
        self._courier = Courier(messaging, self._outstanding, self._fail)
        messaging.on_disconnect.add_internal(self._on_disconnect)
        self._link.on_loop_pass.add_internal(self._on_loop_pass)

    def close(self) -> None:
        """Detach from messaging; calls without a reply fail as if they had timed out."""
        self.is_closed = True
        self._courier.close()
        self._messaging.on_disconnect.remove(self._on_disconnect)
        self._link.on_loop_pass.remove(self._on_loop_pass)
        for call in self._outstanding.take_all():
            call.waiter.fail(expired(call, "the client was closed"))
        self._sleepers.end()

    # For proxies, in any thread.

    def check_not_in_loop(self) -> None:
        """Raise :exc:`Error` in the thread of the loop, where a blocking call would never end."""
        if self._link.in_loop():
            raise Error(
                "a blocking call in the thread of the loop would wait for itself: "
                "call in another thread, or use RemoteMethod.future"
            )

    def signal(self, ident: str, request: Request, ttl: float) -> None:
        """Send a signal, which has no outcome."""
        self._messaging.send_message(ident, Message(self._encode(request), ttl))

    def call(
        self, ident: str, request: Request, timeout: float | None, may_wait: bool = True
    ) -> Any:
        """Call, and wait for the result. Raises what the call ends with."""
        waiter = BlockedThread(self._sleepers)
        call = self._new_call(ident, request, waiter, timeout, may_wait)
        try:
            self._start(call, urgent=True)
            if self._wait_until is None:
                in_time = waiter.wait(timeout)
            else:
                in_time = self._wait_until(waiter.is_woken, timeout)
        except BaseException:  # Ctrl-C, too
            self._forget(call)
            raise
        if not in_time:
            if self._forget(call):
                raise expired(call, f"no reply in {timeout:g} s")
            waiter.wait(None)  # the loop has taken it, and is about to hand over the outcome
        return waiter.outcome()

    def begin(
        self,
        ident: str,
        request: Request,
        waiter: Waiter,
        timeout: float | None,
        may_wait: bool = True,
    ) -> Callable[[], bool]:
        """Call, and return at once. The loop tells the waiter the outcome, unless the function that
        this returns forgets the call before; that returns False if the outcome was faster. A call
        that fails at once tells it before this returns."""
        call = self._new_call(ident, request, waiter, timeout, may_wait)
        try:
            self._start(call)
        except CallError as exc:
            waiter.fail(exc)
            return _nothing_to_forget
        if timeout is not None:
            self._untimed.append(call)
            if self._link.in_loop():
                self._time_futures()
            else:
                self._link.wakeup_poll()
        return partial(self._abandon, call)

    def _abandon(self, call: Call) -> bool:
        if not self._forget(call):
            return False
        call.data = b""  # a timer may hold the call for some time
        return True

    def _new_call(
        self, ident: str, request: Request, waiter: Waiter, timeout: float | None, may_wait: bool
    ) -> Call:
        req_id = new_uuid()
        if timeout is None:
            request = {"req_id": req_id, **request}
            return Call(ident, req_id, self._encode(request), waiter, None, may_wait)
        deadline = self._link.time() + timeout
        request = {"req_id": req_id, "timeout": float(timeout), **request}
        return Call(ident, req_id, self._encode(request), waiter, deadline, may_wait)

    def _encode(self, request: Request) -> bytes:
        data = self._dumps(request)
        if kills_16(data):
            raise Error("an argument is an object of snakemq itself, which not every peer knows")
        return REQUEST_PREFIX + data

    def _start(self, call: Call, *, urgent: bool = False) -> None:
        if not self.is_closed:
            self._courier.send(call, urgent=urgent)
            if not self.is_closed or not self._forget(call):
                return  # with its outcome, if close() was faster
        raise Error("the client is closed")

    def _forget(self, call: Call) -> bool:
        """Drop a call that nobody waits for any longer. False if the outcome was faster."""
        return self._outstanding.take(call.req_id) is not None

    # In the loop.

    def awaits(self, ident: str) -> bool:
        """Does a call wait for this peer?"""
        peer = self._outstanding.peers.get(ident)
        return peer is not None and bool(peer.calls)

    def on_reply(self, conn_id: str, ident: str, message: Message) -> None:
        """Handle a reply from the receive hook; it may answer a call of another client."""
        try:
            req_id, value, error = read_reply(
                self.settings.pickler, message.data[len(REPLY_PREFIX) :]
            )
        except SnakeMQBrokenMessage as exc:
            self._on_broken_reply(ident, exc)
            raise
        call = self._outstanding.take(req_id, ident)
        if call is None and error is not None and not self._writes_ids_first:
            call = self._outstanding.take_sent_in(ident, req_id)
        if call is None:
            self.settings.log.debug("reply of %r that nobody waits for: %r", ident, req_id)
            return
        if error is None:
            call.succeed(value)
        else:
            call.fail(error)
        if call.losses:
            self._courier.try_next(ident, call)

    def _on_broken_reply(self, ident: str, exc: SnakeMQBrokenMessage) -> None:
        peer = self._outstanding.peers.get(ident)
        for call in peer.broken_reply() if peer is not None else ():
            self._fail(call, RemoteError(type_name(exc), text_of(exc)))

    def _fail(self, call: Call, error: Exception) -> None:
        if self._forget(call):
            call.fail(error)

    def _on_disconnect(self, conn_id: str, ident: str) -> None:
        self._sleepers.wake()  # Ctrl-C may have interrupted the last pass

    def _on_loop_pass(self) -> None:
        self._sleepers.wake()
        if self._untimed:
            self._time_futures()
        if self._outstanding.idle:
            self._outstanding.forget_idle()

    def _time_futures(self) -> None:
        untimed = self._untimed
        with contextlib.suppress(IndexError):  # a future made in between may empty it
            while untimed:
                call = untimed.popleft()
                remaining = call.remaining(self._link.time())
                if remaining is not None and call in self._outstanding:
                    call.timer = self._link.call_later(remaining, partial(self._expire, call))

    def _expire(self, call: Call) -> None:
        self._fail(call, expired(call, "no reply in time"))


def _nothing_to_forget() -> bool:
    return False
