"""Brings requests to their peers: once in each connection, until there is an outcome."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from snakemq.exceptions import SnakeMQException
from snakemq.message import Message
from snakemq.messaging import Messaging

from .._errors import CallError
from .._protocol import with_timeout
from ._call import Call, away, refused_silently
from ._outstanding import Outstanding
from ._peers import Peer
from ._trials import trials_of

TRIAL = 1.0
"""Seconds. A suspect is innocent if the connection survives it this long, see :class:`Peer`."""


class Courier:
    """Sends the requests of outstanding calls, and repeats them in each new connection.

    It calls ``fail(call, error)`` in the loop for a call that cannot be sent. For the loop only,
    except for :meth:`send`.
    """

    def __init__(
        self,
        messaging: Messaging,
        outstanding: Outstanding,
        fail: Callable[[Call, Exception], object],
    ) -> None:
        self._messaging = messaging
        self._link = messaging.packeter.link
        self._outstanding = outstanding
        self._fail = fail
        self._trials = trials_of(messaging)
        messaging.on_admitted.add_internal(self._on_connect)
        messaging.on_disconnect.add_internal(self._on_disconnect)
        messaging.on_message_drop.add_internal(self._on_message_drop)
        for ident in messaging.stats().peers:
            if messaging.is_connected(ident):
                outstanding.peer(ident).connect(messaging.announced_by(ident))

    def close(self) -> None:
        self._messaging.on_admitted.remove(self._on_connect)
        self._messaging.on_disconnect.remove(self._on_disconnect)
        self._messaging.on_message_drop.remove(self._on_message_drop)
        self._trials.forget(self)

    def send(self, call: Call, *, urgent: bool) -> None:
        """Send a new call, at once or as soon as its peer is connected. Thread-safe.

        Raises a :exc:`CallError` if the peer is away and the call does not wait for it.
        """
        peer = self._outstanding.add(call)
        if peer.sent is None:
            # If it connects just now, that sends the call. One that is known to messaging is about
            # to be connected here, or to be turned away, and then the loop ends the call.
            if call.may_wait or self._messaging.is_connected(call.ident):
                return
            if self._outstanding.take(call.req_id) is not None:
                raise away(call)
            return
        message = Message(call.data)
        # One that does not wait may have failed since, with an error that says it was not sent.
        if peer.claim(call, message) and (call.may_wait or call in self._outstanding):
            try:
                self._messaging.send_message(call.ident, message, urgent=urgent)
            except BaseException:
                self._outstanding.take(call.req_id)
                raise

    def try_next(self, ident: str, after: Call | None) -> None:
        """Send, alone, the next call that may be breaking the connections of this peer.

        ``after``: the suspect before it, which has ended or is innocent; ``None`` for the first.
        """
        peer = self._outstanding.peers.get(ident)
        if peer is None or not peer.ends_trial(after):
            return
        if after is not None:
            self._trials.leave(ident, self)
        if peer.has_suspects:
            self._trials.enter(ident, self, partial(self._try_one, ident, peer))

    def _try_one(self, ident: str, peer: Peer) -> None:
        call = peer.next_to_try()
        if call is not None:
            message = self._message_again(call, self._link.time())
            if peer.claim(call, message):
                self._link.call_later(TRIAL, partial(self._survived, call, message.uuid))
                self._send_again(call, message)
                return
        self._trials.leave(ident, self)

    def _on_connect(self, conn_id: str, ident: str) -> None:
        now = self._link.time()
        peer = self._outstanding.peer(ident)
        for call in peer.connect(self._messaging.announced_by(ident)):
            message = self._message_again(call, now)
            # See send() for one that does not wait.
            if peer.claim(call, message) and (call.may_wait or call in self._outstanding):
                self._send_again(call, message)
        self.try_next(ident, None)

    def _survived(self, call: Call, uuid: bytes) -> None:
        if call.sent_in == uuid:
            call.losses = 0
            self.try_next(call.ident, call)

    @staticmethod
    def _message_again(call: Call, now: float) -> Message:
        """Return a message for a call that was made some time ago."""
        remaining = call.remaining(now)
        if remaining is not None:
            call.data = with_timeout(call.data, remaining)
        return Message(call.data)

    def _send_again(self, call: Call, message: Message) -> None:
        try:
            self._messaging.send_message(call.ident, message)
        except SnakeMQException as exc:
            self._fail(call, exc)

    def _on_disconnect(self, conn_id: str, ident: str) -> None:
        for call in self._outstanding.disconnect(ident):
            if self._outstanding.take(call.req_id) is not None:
                call.fail(away(call))
        self._trials.disconnect(ident)

    def _on_message_drop(self, ident: str, uuid: bytes) -> None:
        peer = self._outstanding.peers.get(ident)
        if peer is None:
            return
        if not peer.connected:
            # It was lost with the connection, and will be sent again in the next one.
            lost = peer.lost(uuid)
            if lost is not None:
                self._fail(lost, refused_silently(lost))
            return
        for call in list(peer.calls.values()):
            if call.sent_in == uuid:  # it was too large for the peer
                text = f"messaging dropped the request of {len(call.data)} bytes, see its on_error"
                self._fail(call, CallError(text))
