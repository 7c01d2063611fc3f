"""Which calls a peer has not answered, and which of them may be why its connections end.

A server of this version answers a request that it refuses, and says so when it introduces itself
(:data:`ANSWERS_REFUSED`). One of 2.0.0, or something else, may only close the connection; if the
call were repeated with each next one, neither it nor those behind it would ever end. A bad network
looks different: here connections end again and again before the request was acknowledged, also when
no other suspect is under way. With a peer that does not acknowledge the two cannot be told apart.
"""

from __future__ import annotations

from snakemq.message import Message

from .._protocol import ANSWERS_REFUSED, REQUEST_PREFIX
from .._salvage import find_req_id
from ._call import Call

_ACKNOWLEDGES = 0x1

SUSPECT = 2
"""After this many connections in a row that were lost with it, a call is only sent alone."""

MAX_LOSSES = 3
"""After this many connections in a row that were lost with it, a call has failed."""

MAX_LOSSES_WITHOUT_ID = 2
"""The limit for a call in which no server finds an id, so that none can answer it."""


class Peer:
    """Keeps the calls of one peer. For the loop, but for what is said to be thread-safe."""

    __slots__ = ("_may_refuse_silently", "_trial", "_under_way", "_untried", "calls", "sent")

    def __init__(self) -> None:
        self.sent: dict[bytes, Message] | None = None
        """The unanswered calls that are sent in the present connection, in these messages; ``None``
        if there is no connection. Replaced by the loop, changed by all threads."""
        self.calls: dict[bytes, Call] = {}
        """The unanswered ones by their req_id, in the order in which they were made. Changed by all
        threads, so that only copies can be iterated."""
        self._untried: dict[bytes, Call] = {}
        self._under_way: dict[bytes, Call] = {}  # when the connection broke, by message uuid
        self._trial: Call | None = None  # the suspect that is under way
        self._may_refuse_silently = False

    @property
    def connected(self) -> bool:
        """Is there a connection? Thread-safe."""
        return self.sent is not None

    def claim(self, call: Call, message: Message) -> bool:
        """May this message be sent, as the only one with the call in the present connection?

        Thread-safe: both the thread that makes a call, and the loop that connects, want to send it.
        """
        sent = self.sent
        if sent is None or sent.setdefault(call.req_id, message) is not message:
            return False
        call.sent_before = call.sent_in
        call.sent_in = message.uuid
        return True

    def connect(self, announced: int) -> list[Call]:
        """Note that the peer is connected, with these feature bits.

        Returns the calls to be sent at once, except for those that others :meth:`claim`.
        """
        self._may_refuse_silently = announced & (_ACKNOWLEDGES | ANSWERS_REFUSED) == _ACKNOWLEDGES
        for call in self._under_way.values():
            call.losses = 0  # messaging did not drop it, so it had been acknowledged
        self._under_way = {}
        self._untried = {}
        # First this, and then a look at the calls: one that is just being made is sent by us or by
        # its thread, which looks at this after it has added the call.
        self.sent = {}
        calls = list(self.calls.values())
        if not self._may_refuse_silently:
            return calls
        # Those behind the guilty one are as suspect as it. The last one comes first.
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
        """A message was not acknowledged before the connection ended. Returns the call that has
        failed by that, if one has."""
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
        """A reply came that cannot be decoded and names no call, so its connection ends.

        Returns the calls that have failed by that: they had been sent when such a reply came
        before, and this is the second one.
        """
        sent = [call for call in list(self.calls.values()) if call.sent_in is not None]
        failed = [call for call in sent if call.has_broken_reply]
        for call in sent:
            call.has_broken_reply = True
        return failed

    @property
    def has_suspects(self) -> bool:
        """Are there calls that are to be sent alone?"""
        return bool(self._untried)

    def ends_trial(self, after: Call | None) -> bool:
        """Is it clear now what becomes of the suspect that is under way, because that was
        ``after``? ``None``: none is."""
        if not self.connected or self._trial is not after:
            return False
        self._trial = None
        return True

    def next_to_try(self) -> Call | None:
        """Returns the suspect that is to be sent next, alone."""
        while self._untried and self._trial is None:
            req_id, call = self._untried.popitem()
            if req_id in self.calls:
                self._trial = call
        return self._trial

    def sent_in(self, uuid: bytes) -> Call | None:
        """Returns the call whose request was in that message. It may be the last but one of that
        call, which is repeated as soon as the peer is back."""
        for call in list(self.calls.values()):
            if uuid in (call.sent_in, call.sent_before):
                return call
        return None
