"""Tracks the unanswered calls of a peer, and suspects those that may break its connections.

A server of this version answers a request that it refuses, and announces that when it introduces
itself (:data:`ANSWERS_REFUSED`). A server of 2.0.0, or another program, may just close the
connection. If each new connection repeated the call, neither it nor those behind it would ever end.
A bad network looks different: here connection after connection ends before the request was
acknowledged, even when no other suspect is under way. If the peer does not acknowledge, the two
cannot be told apart.
"""

from __future__ import annotations

from snakemq.message import Message

from .._protocol import ANSWERS_REFUSED, REQUEST_PREFIX
from .._salvage import find_req_id
from ._call import Call

_ACKNOWLEDGES = 0x1

SUSPECT = 2
"""After losing this many connections in a row, a call is only sent alone."""

MAX_LOSSES = 3
"""After losing this many connections in a row, a call has failed."""

MAX_LOSSES_WITHOUT_ID = 2
"""The limit for a call in which no server finds an id, so that none can answer it."""


class Peer:
    """Keeps the calls of one peer. For the loop only, except for methods that say otherwise."""

    __slots__ = ("_may_refuse_silently", "_trial", "_under_way", "_untried", "calls", "sent")

    def __init__(self) -> None:
        self.sent: dict[bytes, Message] | None = None
        """The messages that carry the unanswered calls in the present connection, by req_id;
        ``None`` without a connection. The loop replaces it, all threads change it."""
        self.calls: dict[bytes, Call] = {}
        """The unanswered calls by req_id, in the order in which they were made. All threads change
        it, so iterate only over copies."""
        self._untried: dict[bytes, Call] = {}
        self._under_way: dict[bytes, Call] = {}  # when the connection broke, by message uuid
        self._trial: Call | None = None  # the suspect that is under way
        self._may_refuse_silently = False

    @property
    def connected(self) -> bool:
        """Is there a connection? Thread-safe."""
        return self.sent is not None

    def claim(self, call: Call, message: Message) -> bool:
        """May this message be sent, as the only one with this call in the present connection?

        Thread-safe: the thread that makes a call and the loop that connects both try to send it.
        """
        sent = self.sent
        if sent is None or sent.setdefault(call.req_id, message) is not message:
            return False
        call.sent_before = call.sent_in
        call.sent_in = message.uuid
        return True

    def connect(self, announced: int) -> list[Call]:
        """Note that the peer is connected and announced these feature bits.

        Returns the calls to send at once, except for those that others :meth:`claim`.
        """
        self._may_refuse_silently = announced & (_ACKNOWLEDGES | ANSWERS_REFUSED) == _ACKNOWLEDGES
        for call in self._under_way.values():
            call.losses = 0  # messaging did not drop it, so it was acknowledged
        self._under_way = {}
        self._untried = {}
        # Set this before looking at the calls: a call that is just being made is sent by us, or by
        # its thread, which looks at this after it has added the call.
        self.sent = {}
        calls = list(self.calls.values())
        if not self._may_refuse_silently:
            return calls
        # The calls behind the guilty one are just as suspect. The last one is tried first.
        self._untried = {call.req_id: call for call in calls if call.losses >= SUSPECT}
        return [call for call in calls if call.req_id not in self._untried]

    def disconnect(self) -> None:
        self.sent = None
        self._trial = None
        if self._may_refuse_silently:
            self._under_way = {
                call.sent_in: call
                for call in list(self.calls.values())
                if call.sent_in is not None and call.req_id not in self._untried
            }

    def lost(self, uuid: bytes) -> Call | None:
        """Note that the connection ended before a message was acknowledged.

        Returns the call that has failed because of that, if any.
        """
        call = self._under_way.pop(uuid, None)
        if call is None or call.req_id not in self.calls:
            return None
        call.losses += 1
        if call.losses < MAX_LOSSES_WITHOUT_ID:
            return None
        if call.losses < MAX_LOSSES and find_req_id(call.data[len(REQUEST_PREFIX) :]) is not None:
            return None
        return call

    def broken_reply(self) -> list[Call]:
        """Note that a reply which names no call ended the connection.

        Returns the calls that have failed because of that: this is the second such reply since
        they were sent.
        """
        sent = [call for call in list(self.calls.values()) if call.sent_in is not None]
        failed = [call for call in sent if call.has_broken_reply]
        for call in sent:
            call.has_broken_reply = True
        return failed

    @property
    def has_suspects(self) -> bool:
        """Do calls wait to be sent alone?"""
        return bool(self._untried)

    def ends_trial(self, after: Call | None) -> bool:
        """End the trial of ``after``, if that is the suspect under way (``None``: there is none).

        Returns False if it is not, or if there is no connection.
        """
        if not self.connected or self._trial is not after:
            return False
        self._trial = None
        return True

    def next_to_try(self) -> Call | None:
        """Return the suspect to send next, alone."""
        while self._untried and self._trial is None:
            req_id, call = self._untried.popitem()
            if req_id in self.calls:
                self._trial = call
        return self._trial

    def sent_in(self, uuid: bytes) -> Call | None:
        """Return the call whose request was in this message.

        Looks at the last two messages of each call, which is repeated as soon as the peer is back.
        """
        for call in list(self.calls.values()):
            if uuid in (call.sent_in, call.sent_before):
                return call
        return None
