"""Messages as packets: a whole batch at a time."""

from __future__ import annotations

from collections.abc import Sequence

from snakemq.message import Message
from snakemq.message._headers import NO_HEADERS

from .._wire import _frames as frames
from .._wire._headers import encode_headers
from ._lane import OutgoingLane

PACKET_OVERHEAD = frames.PACKET_SIZE_LENGTH + frames.MESSAGE_HEADER_SIZE
"""Bytes of a packet before the headers and the data of its message."""


def pack_batch(
    messages: Sequence[Message], now: float, lane: OutgoingLane
) -> tuple[list[bytes], list[int]]:
    """Return the packets of messages, head and data of each in turn, and the size of each packet.

    One struct for both headers, and one call for all packets, take a quarter of the time of a call
    of ``send_packet()`` for each message.
    """
    pack = frames.pack_message_packet
    acks, takes_headers = lane.conversation.acks, lane.conversation.takes_headers
    parts: list[bytes] = []
    sizes: list[int] = []
    for message in messages:
        data = message.data
        size = frames.MESSAGE_HEADER_SIZE + len(data)
        ttl = message.ttl
        if ttl is None:
            seconds = frames.INFINITE_TTL
        else:
            # copy of ttl_left(), whose call would take 5 % of sending a batch
            waited = now - message.queued_at
            seconds = int(ttl - int(waited))
            if seconds <= 0:
                seconds = frames.ttl_left(ttl, waited, acks)
        headers = message.fixed_headers
        if headers is NO_HEADERS or not takes_headers:
            head = pack(size, frames.FRAME_TYPE_MESSAGE, message.uuid, seconds, message.flags)
        else:
            head = pack_with_headers(message, seconds)
            size += headers.size
        parts.append(head)
        parts.append(data)
        sizes.append(size + frames.PACKET_SIZE_LENGTH)
    if not takes_headers:
        left_out = sum([message.fixed_headers is not NO_HEADERS for message in messages])
        lane.counters.headers_left_out += left_out
    return parts, sizes


def pack_with_headers(message: Message, seconds: int) -> bytes:
    """Return all of a packet that comes before the data of a message: its headers are the end."""
    headers = message.fixed_headers
    size = frames.MESSAGE_HEADER_SIZE + headers.size + len(message.data)
    head = frames.pack_message_packet(
        size, frames.FRAME_TYPE_MESSAGE_WITH_HEADERS, message.uuid, seconds, message.flags
    )
    return head + encode_headers(headers)
