"""Messages as packets: a whole batch at a time."""

from __future__ import annotations

from collections.abc import Iterable

from snakemq.message import Message

from .._wire import _frames as frames

PACKET_OVERHEAD = frames.PACKET_SIZE_LENGTH + frames.MESSAGE_HEADER_SIZE
"""Bytes of a packet before the data of its message."""


def pack_batch(
    messages: Iterable[Message], now: float, acks: bool
) -> tuple[list[bytes], list[int]]:
    """Return the packets of messages, header and data of each in turn, and the size of each packet.

    ``acks``: does the peer acknowledge, see :func:`frames.ttl_left`?

    One struct for both headers, and one call for all packets, take a quarter of the time of a call
    of ``send_packet()`` for each message.
    """
    pack = frames.pack_message_packet
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
        parts.append(pack(size, frames.FRAME_TYPE_MESSAGE, message.uuid, seconds, message.flags))
        parts.append(data)
        sizes.append(size + frames.PACKET_SIZE_LENGTH)
    return parts, sizes
