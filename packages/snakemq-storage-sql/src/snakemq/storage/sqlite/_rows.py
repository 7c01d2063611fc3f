"""Turning rows into messages, without trusting the rows."""

from typing import Any, NamedTuple

from snakemq.message import Message
from snakemq.queues import StoredMessage
from snakemq.queues.parts import UnreadableItem, read_headers, sql_type, ttl_left


class Text(bytes):
    """The UTF-8 bytes of an SQLite TEXT; the class tells them from a BLOB.

    It is not a ``str``, because sqlite3 fails the whole query if one TEXT cannot be decoded.
    """


class Columns(NamedTuple):
    """The columns of a message as the database returned them, of any type."""

    queue_name: Any
    uuid: Any
    ttl: Any
    stored_at: Any
    flags: Any
    data: Any
    headers: Any


def read_queue_name(value: Any) -> str:
    """Return the ident in a ``queue_name`` column. Raises :exc:`UnreadableItem`."""
    if not isinstance(value, Text):
        raise UnreadableItem(f"queue_name is {sql_type(value)}, not TEXT")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise UnreadableItem(f"queue_name is not UTF-8: {error}") from None


def read_message(now: float, row: Any) -> StoredMessage:
    """Return the message in a row of a page, with what is left of its ttl at ``now``.

    Raises :exc:`UnreadableItem`.
    """
    uuid, ttl, stored_at, flags, data, headers, position = row
    # Exact types: a Text is bytes as well, and Message would take it.
    if type(uuid) is not bytes:
        raise UnreadableItem(f"uuid is {sql_type(uuid)}, not BLOB")
    if type(data) is not bytes:
        raise UnreadableItem(f"data is {sql_type(data)}, not BLOB")
    if type(flags) is not int:
        raise UnreadableItem(f"flags is {sql_type(flags)}, not INTEGER")
    if ttl is not None and type(ttl) is not float:
        raise UnreadableItem(f"ttl is {sql_type(ttl)}, not REAL or NULL")
    if type(stored_at) is not float:
        raise UnreadableItem(f"stored_at is {sql_type(stored_at)}, not REAL")
    if headers is not None and type(headers) is not bytes:
        raise UnreadableItem(f"headers is {sql_type(headers)}, not BLOB or NULL")
    try:
        message = Message(data, ttl_left(ttl, stored_at, now), flags, uuid, read_headers(headers))
    except ValueError as error:
        raise UnreadableItem(str(error)) from None
    return StoredMessage(position, message)
