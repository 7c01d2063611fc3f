"""From rows to messages, without trusting the rows."""

from binascii import Error as HexError
from binascii import unhexlify
from typing import Any, NamedTuple

from snakemq.message import Message
from snakemq.queues.parts import ttl_left

LONGEST_TTL = 0xFFFFFFFE
"""The longest finite ttl of a message, in seconds; one more means "forever" on the wire."""


class Text(bytes):
    """The UTF-8 bytes of an SQLite TEXT, so that it can be told from a BLOB.

    Not ``str``: sqlite3 fails the whole query when one TEXT cannot be decoded.
    """


class UnreadableRow(ValueError):
    """A row is not a message. The text says why."""


class Columns(NamedTuple):
    """The columns of a message as the database gave them, of any type."""

    queue_name: Any
    uuid: Any
    ttl: Any
    stored_at: Any
    flags: Any
    data: Any


def read_queue_name(value: Any) -> str:
    """The ident in a ``queue_name`` column. Raises :exc:`UnreadableRow`."""
    if not isinstance(value, Text):
        raise UnreadableRow(f"queue_name is {_kind(value)}, not TEXT")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise UnreadableRow(f"queue_name is not UTF-8: {error}") from None


def read_message(uuid: Any, ttl: Any, stored_at: Any, flags: Any, data: Any, now: float) -> Message:
    """The message in a row, its ttl as it is left at ``now``. Raises :exc:`UnreadableRow`."""
    # Exact types: a Text is bytes as well, and Message would take it.
    if type(uuid) is not bytes:
        raise UnreadableRow(f"uuid is {_kind(uuid)}, not BLOB")
    if type(data) is not bytes:
        raise UnreadableRow(f"data is {_kind(data)}, not BLOB")
    if type(flags) is not int:
        raise UnreadableRow(f"flags is {_kind(flags)}, not INTEGER")
    if ttl is not None and type(ttl) is not float:
        raise UnreadableRow(f"ttl is {_kind(ttl)}, not REAL or NULL")
    if type(stored_at) is not float:
        raise UnreadableRow(f"stored_at is {_kind(stored_at)}, not REAL")
    try:
        return Message(data, ttl_left(ttl, stored_at, now), flags, uuid)
    except ValueError as error:
        raise UnreadableRow(str(error)) from None


def read_v16_message(uuid: Any, ttl: Any, flags: Any, data: Any) -> Message:
    """The message in a row of snakeMQ 1.6. Raises :exc:`UnreadableRow`.

    1.6 keeps the uuid as hex: a BLOB when written by Python 3, TEXT by Python 2, where
    ``data`` may be TEXT as well. It counts ttl below zero before it drops a message, and takes
    a ttl that its own wire format cannot carry; such a message is kept without a limit.
    """
    if not isinstance(uuid, bytes):
        raise UnreadableRow(f"uuid is {_kind(uuid)}, not BLOB or TEXT")
    if not isinstance(data, bytes):
        raise UnreadableRow(f"data is {_kind(data)}, not BLOB or TEXT")
    if type(flags) is not int:
        raise UnreadableRow(f"flags is {_kind(flags)}, not INTEGER")
    if ttl is not None:
        if type(ttl) not in (int, float):
            raise UnreadableRow(f"ttl is {_kind(ttl)}, not REAL or NULL")
        ttl = max(0.0, ttl) if ttl <= LONGEST_TTL else None
    try:
        return Message(bytes(data), ttl, flags, unhexlify(uuid))
    except HexError:
        raise UnreadableRow(f"uuid is not hexadecimal: {bytes(uuid[:40])!r}") from None
    except ValueError as error:
        raise UnreadableRow(str(error)) from None


def _kind(value: Any) -> str:
    """SQLite's name of a value's type."""
    if value is None:
        return "NULL"
    if isinstance(value, Text):
        return "TEXT"
    return {bytes: "BLOB", int: "INTEGER", float: "REAL"}.get(type(value), type(value).__name__)
