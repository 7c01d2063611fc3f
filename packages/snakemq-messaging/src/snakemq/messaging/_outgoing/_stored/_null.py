"""The storage of a stack that has none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from snakemq.message import Message
from snakemq.queues import QueuesStorageBase


class NullStorage(QueuesStorageBase):
    """Keeps nothing. Thanks to it, callers need not ask whether there is a storage.

    Nobody pushes to it: persistent messages of such a stack wait in memory, see ``Outbox``.
    """

    blocks = False
    pageable = True  # so that no ttl is ever brought up to date

    def close(self) -> None: ...

    def get_queues(self) -> Sequence[str]:
        return ()

    def get_items(self, queue_name: str) -> Sequence[Message]:
        return ()

    def push(self, queue_name: str, item: Message) -> int | None:
        raise NotImplementedError("there is no storage")

    def delete_items(self, items: Iterable[Message]) -> None: ...

    def delete_all(self) -> None: ...

    def update_items_ttl(self, items: Iterable[Message]) -> None: ...
