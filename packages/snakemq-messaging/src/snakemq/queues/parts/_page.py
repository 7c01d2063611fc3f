"""Filling a page with the messages of a queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from snakemq.message._stack import size_of

from .._storage import StoredMessage
from ._unreadable import UnreadableItem

Item = TypeVar("Item")


def fill_page(
    items: Iterable[Item],
    read: Callable[[Item], StoredMessage],
    limit: int | None = None,
    max_bytes: int | None = None,
) -> tuple[list[StoredMessage], list[tuple[Item, str]]]:
    """Read items up to the end of a page: see :meth:`snakemq.queues.QueuesStorageBase.get_page`.

    ``items``: what the back end has from the page's beginning on, in order. They are taken one by
    one, so no more is read than fits.

    ``read``: turns an item into a message, or raises :exc:`UnreadableItem`.

    ``limit``, ``max_bytes``: ``None`` means no limit.

    Returns the page, and the items that have to be set aside, each with the reason.
    """
    page: list[StoredMessage] = []
    unreadable: list[tuple[Item, str]] = []
    size = 0
    for item in items:
        try:
            stored = read(item)
        except UnreadableItem as error:
            unreadable.append((item, str(error)))
            continue
        page.append(stored)
        size += size_of(stored.message)
        if len(page) == limit or (max_bytes is not None and size >= max_bytes):
            break
    return page, unreadable
