"""Reading headers, without trusting what is stored."""

from __future__ import annotations

from typing import Any

from snakemq.message import Headers

from ._unreadable import UnreadableItem


def read_headers(value: Any) -> Headers | None:
    """Return the headers in a field that is null, or has what ``message.headers.encoded`` was.

    Raises :exc:`UnreadableItem`.
    """
    if value is None:
        return None
    try:
        return Headers.decode(bytes(memoryview(value)))
    except (TypeError, ValueError) as error:
        raise UnreadableItem(f"headers cannot be read: {error}") from None
