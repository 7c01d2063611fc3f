"""Turning documents into messages, without trusting the documents; and back."""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Any

from snakemq.exceptions import SnakeMQMessageTooLarge
from snakemq.message import Headers, Message
from snakemq.queues import StoredMessage
from snakemq.queues.parts import UnreadableItem, read_headers, ttl_left, ttl_of_v16

Document = dict[str, Any]

MAX_DOCUMENT = 16 * 1024 * 1024
"""Bytes. This is a limit of MongoDB."""

FIELDS_SIZE = 512
"""Bytes. The fields of a message take less, apart from its data, headers and queue's name."""


def document_of(seq: int, queue_name: str, item: Message, now: float) -> Document:
    """Return the document of a message.

    ``_id`` is the order of pushes, counted by the one owner. ``ttl`` is what was left when the
    owners' clock read ``stored_at``. ``headers`` is missing if there are none.
    """
    document: Document = {
        "_id": seq,
        "queue_name": queue_name,
        "uuid": item.uuid,
        "ttl": item.ttl,
        "stored_at": now,
        "flags": item.flags,
        "data": item.data,
    }
    if item.headers:
        document["headers"] = item.headers.encoded
    return document


def read_message(now: float, document: Document) -> StoredMessage:
    """Return the message in a document, with what is left of its ttl at ``now``.

    Raises :exc:`UnreadableItem`.
    """
    uuid, data, flags = _get(document, "uuid"), _get(document, "data"), _get(document, "flags")
    ttl, stored_at = _get(document, "ttl"), _get(document, "stored_at")
    if type(stored_at) is not float:
        raise UnreadableItem(f"stored_at is {stored_at!r}")
    headers = read_headers(document.get("headers"))
    message = _message(data, ttl, flags, uuid, headers, stored_at, now)
    return StoredMessage(int(document["_id"]), message)


def read_v16_message(document: Mapping[str, Any]) -> tuple[str, Message]:
    """Return the queue's name and the message in a document of snakeMQ 1.6.

    1.6 keeps uuid and data in base64, as a string if Python 2 wrote them. Raises
    :exc:`UnreadableItem`.
    """
    queue_name, ttl = _get(document, "queue_name"), _get(document, "ttl")
    if not isinstance(queue_name, str):
        raise UnreadableItem(f"queue_name is {queue_name!r:.100}")
    if isinstance(ttl, int | float):
        ttl = ttl_of_v16(float(ttl))
    try:
        uuid, data = (a2b_base64(_get(document, name)) for name in ("uuid", "data"))
    except (Base64Error, TypeError, ValueError) as error:
        raise UnreadableItem(f"uuid or data is not base64: {error}") from None
    return queue_name, _message(data, ttl, _get(document, "flags"), uuid, None, 0.0, 0.0)


def _message(
    data: Any,
    ttl: Any,
    flags: Any,
    uuid: Any,
    headers: Headers | None,
    stored_at: float,
    now: float,
) -> Message:
    if not isinstance(flags, int) or isinstance(flags, bool):  # it may be a bson.Int64
        raise UnreadableItem(f"flags is {flags!r:.100}")
    if ttl is not None and type(ttl) is not float:
        raise UnreadableItem(f"ttl is {ttl!r:.100}")
    try:
        # NaN passes a comparison with zero, but not Message.
        left = ttl if ttl is not None and ttl != ttl else ttl_left(ttl, stored_at, now)
        return Message(data, left, int(flags), uuid, headers)
    except (TypeError, ValueError) as error:
        raise UnreadableItem(str(error)) from None


def _get(document: Mapping[str, Any], name: str) -> Any:
    try:
        return document[name]
    except KeyError:
        raise UnreadableItem(f"it has no {name}") from None


def check_size(queue_name: str, item: Message) -> None:
    """Raise :exc:`SnakeMQMessageTooLarge` for a message that no document can hold."""
    size = len(item.data) + item.headers.size + len(queue_name.encode()) + FIELDS_SIZE
    if size > MAX_DOCUMENT:
        raise SnakeMQMessageTooLarge(
            f"a message and its queue name must fit into a document of {MAX_DOCUMENT} bytes, but"
            f" this one takes {size}"
        )
