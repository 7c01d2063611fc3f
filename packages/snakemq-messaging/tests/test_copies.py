"""Where speed needs a rule twice, the copy says what the rule says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from snakemq.message import Message
from snakemq.messaging._outgoing._lane import OutgoingLane
from snakemq.messaging._outgoing._queue._expiry import is_expired
from snakemq.messaging._outgoing._queue._queue import OutgoingQueue
from snakemq.messaging._wire._conversation import Conversation

NOW = 1000.0

ttls = st.none() | st.sampled_from([0, 0.1, 0.3, 1, 7]) | st.floats(0, 100)
waits = st.sampled_from([0, 0.1, 0.3, 1, 7]) | st.floats(0, 100)


def queued(ttl: float | None, waited: float, position: int | None) -> Message:
    message = Message(b"", ttl)
    message.queued_at = NOW - waited
    message.position = position
    return message


@given(ttl=ttls, waited=waits)
def test_the_queue_takes_what_has_not_expired(ttl: float | None, waited: float) -> None:
    queue = OutgoingQueue("bob")
    message = queued(ttl, waited, None)
    queue.incoming.append(message)
    expired: list[Message] = []
    queue.take(NOW, 1, 1, expired)
    assert (message in expired) == is_expired(message, NOW)


@given(ttl=ttls, waited=waits, is_stored=st.booleans())
def test_the_queue_takes_what_has_waited_and_not_expired(
    ttl: float | None, waited: float, is_stored: bool
) -> None:
    queue = OutgoingQueue("bob")
    queue.has_stored = is_stored
    queue.lane = OutgoingLane(Conversation("", NOW))  # or a message with ttl 0 could not wait
    message = queued(ttl, waited, 1 if is_stored else None)
    queue.incoming.append(message)
    queue.absorb()
    expired: list[Message] = []
    queue.take(NOW, 1, 1, expired)
    assert (message in expired) == is_expired(message, NOW)
