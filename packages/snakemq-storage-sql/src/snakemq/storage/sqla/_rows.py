"""Turning rows into messages, without trusting the rows."""

from __future__ import annotations

import math
from typing import NamedTuple

import sqlalchemy as sa

from snakemq.message import Message
from snakemq.queues import StoredMessage
from snakemq.queues.parts import UnreadableItem, read_headers, read_v16_message, ttl_left

from ._schema import LONGEST_NAME


class Row(NamedTuple):
    """The columns of a message in the order of the table."""

    seq: int
    queue_name: bytes
    uuid: bytes
    ttl: float | None
    stored_at: float
    flags: int
    data: bytes
    headers: bytes | None = None


def encoded(queue_name: str) -> bytes:
    """Return the name of a queue as it is stored. Raises ``ValueError`` if it is too long."""
    name = queue_name.encode()
    if len(name) > LONGEST_NAME:
        raise ValueError(f"a queue name has at most {LONGEST_NAME} bytes, not {len(name)}")
    return name


def read_queue_name(value: bytes) -> str:
    """Return the name of a queue. Raises :exc:`UnreadableItem`."""
    try:
        return bytes(value).decode()
    except UnicodeDecodeError as error:
        raise UnreadableItem(f"queue_name is not UTF-8: {error}") from None


def read_message(now: float, row: sa.RowMapping) -> StoredMessage:
    """Return the message in a row, with what is left of its ttl at ``now``.

    Raises :exc:`UnreadableItem`.
    """
    ttl, stored_at = row["ttl"], row["stored_at"]
    if not math.isfinite(stored_at) or (ttl is not None and not math.isfinite(ttl)):
        raise UnreadableItem(f"ttl {ttl} or stored_at {stored_at} is not a number of seconds")
    try:
        left = ttl_left(ttl, stored_at, now)
        headers = read_headers(row["headers"])
        message = Message(bytes(row["data"]), left, row["flags"], bytes(row["uuid"]), headers)
    except (TypeError, ValueError) as error:
        raise UnreadableItem(str(error)) from None
    return StoredMessage(row["seq"], message)


def read_v16_row(row: sa.RowMapping) -> tuple[bytes, Message]:
    """Return the queue's name and the message in a row of 1.6. Raises :exc:`UnreadableItem`."""
    queue_name, uuid = row["queue_name"], row["uuid"]
    if isinstance(uuid, str):
        uuid = uuid.encode(errors="replace")
    if not isinstance(queue_name, str):
        raise UnreadableItem(f"queue_name is {queue_name!r}")
    try:
        name = encoded(queue_name)
    except ValueError as error:
        raise UnreadableItem(str(error)) from None
    return name, read_v16_message(uuid, row["ttl"], row["flags"], row["data"])
