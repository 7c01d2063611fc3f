"""What the parts that deal with the storage ask and tell the owner of the queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from snakemq.queues import StoredMessage

from .._queue._queue import OutgoingQueue


class Owner(Protocol):
    """The queues of all peers. Everything here is called in the loop."""

    def known(self, ident: str, /) -> OutgoingQueue | None:
        """Return the queue of a peer, if there is one."""

    def is_ttl_counted(self) -> bool:
        """Does a message wait that is in the storage, and may have a ttl?"""

    def page_came(self, queue: OutgoingQueue, page: Sequence[StoredMessage], /) -> None:
        """The page behind the cursor of a backlog was read. Meanwhile more may have been sent, the
        peer may have come or gone, but the cursor is where it was."""

    def expired_there(self, queue: OutgoingQueue, found: list[StoredMessage]) -> None:
        """Messages of a backlog have expired. May be called again for the same ones."""

    def emptied(self, queue: OutgoingQueue) -> None:
        """A sweep has found nothing in a backlog that can be sent."""

    def resume(self, ident: str) -> None:
        """What the queue of a peer has waited for has happened."""

    def storage_failed(self, exc: Exception) -> None:
        """The storage has raised. The call will be repeated."""
