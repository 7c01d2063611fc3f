"""Reading what snakeMQ 1.6 has stored, and naming its backup."""

from __future__ import annotations

from binascii import Error as HexError
from binascii import unhexlify
from collections.abc import Callable
from typing import Any

from snakemq.message import MAX_TTL, Message

from ._unreadable import UnreadableItem, sql_type


def free_name(base: str, is_taken: Callable[[str], bool], separator: str) -> str:
    """Return the name of a backup: ``base``, or the first free one of ``base-2``, ``base-3`` …

    So no backup is ever overwritten.
    """
    name, number = base, 1
    while is_taken(name):
        number += 1
        name = f"{base}{separator}{number}"
    return name


def ttl_of_v16(ttl: float) -> float | None:
    """Return the ttl with which we keep a message of 1.6.

    1.6 counts ttl below zero before it drops a message: we keep 0. It accepts a ttl that its own
    wire format cannot carry: we keep no limit.
    """
    return max(0.0, ttl) if ttl <= MAX_TTL else None


def read_v16_message(uuid: Any, ttl: Any, flags: Any, data: Any) -> Message:
    """Return the message in a row of 1.6's table ``items``. Raises :exc:`UnreadableItem`.

    1.6 stores the uuid as hex: a BLOB if Python 3 wrote it, TEXT if Python 2 did; then ``data`` may
    be TEXT as well.
    """
    if not isinstance(uuid, bytes):
        raise UnreadableItem(f"uuid is {sql_type(uuid)}, not BLOB or TEXT")
    if not isinstance(data, bytes):
        raise UnreadableItem(f"data is {sql_type(data)}, not BLOB or TEXT")
    if type(flags) is not int:
        raise UnreadableItem(f"flags is {sql_type(flags)}, not INTEGER")
    if ttl is not None:
        if type(ttl) not in (int, float):
            raise UnreadableItem(f"ttl is {sql_type(ttl)}, not REAL or NULL")
        ttl = ttl_of_v16(ttl)
    try:
        return Message(bytes(data), ttl, flags, unhexlify(uuid))
    except HexError:
        raise UnreadableItem(f"uuid is not hexadecimal: {bytes(uuid[:40])!r}") from None
    except ValueError as error:
        raise UnreadableItem(str(error)) from None
