"""Storages that are given as objects or as URLs."""

from __future__ import annotations

from typing import TypeAlias

from snakemq.queues import InboxStorage, QueuesStorageBase, open_storage

AnyStorage: TypeAlias = QueuesStorageBase | str


class Storages:
    """Opens what is given as a URL, each URL once, and closes what it has opened."""

    def __init__(self) -> None:
        self._opened: dict[str, QueuesStorageBase] = {}

    def get(self, given: AnyStorage | None) -> QueuesStorageBase | None:
        """Return the storage of a URL, or the object itself. Raises what :func:`open_storage`
        does."""
        if not isinstance(given, str):
            return given
        if given not in self._opened:
            self._opened[given] = open_storage(given)
        return self._opened[given]

    def inbox(self, given: InboxStorage | str | None) -> InboxStorage | None:
        """Return a storage that remembers what was processed; ``ValueError`` for the URL of one
        that does not."""
        if not isinstance(given, str):
            return given
        storage = self.get(given)
        if not isinstance(storage, InboxStorage):
            raise ValueError(
                f"{type(storage).__name__} does not remember uuids, so it cannot be an inbox"
            )
        return storage

    def close(self) -> None:
        """Close all, even if one fails, and raise the first error."""
        opened, self._opened = self._opened, {}
        errors: list[Exception] = []
        for storage in reversed(list(opened.values())):
            try:
                storage.close()
            except Exception as exc:
                errors.append(exc)
        if errors:
            raise errors[0]
