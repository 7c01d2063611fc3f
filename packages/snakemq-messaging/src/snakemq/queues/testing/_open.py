"""What every check needs: a storage to open, messages, and a way to say what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.queues import QueuesStorageBase

OpenStorage = Callable[[str], QueuesStorageBase]
"""Opens the storage that a token stands for; see the package's documentation."""


class Check(Protocol):
    """Checks one named demand. Raises ``AssertionError`` if the storage does not meet it."""

    __name__: str

    def __call__(self, open_storage: OpenStorage, /) -> None: ...


@dataclass(frozen=True)
class OpenFrom:
    """Opens storages by one string, such as the name of a file. Can be pickled.

    ``storage``: the class, called with that string.

    ``template``: the string, with ``{token}`` in the place of the token, which consists of
    lower-case letters, digits and underscores, fit for the name of a file, a table or a database.
    """

    storage: Callable[[str], QueuesStorageBase]
    template: str

    def __call__(self, token: str) -> QueuesStorageBase:
        return self.storage(self.template.replace("{token}", token))


def new_token() -> str:
    """Make up a token that was never used before."""
    return f"check_{uuid4().hex}"


@contextmanager
def fresh(open_storage: OpenStorage) -> Iterator[QueuesStorageBase]:
    """Open an empty storage and close it at the end."""
    with closing(open_storage(new_token())) as storage:
        yield storage


def require(condition: object, violated: str) -> None:
    """Raise ``AssertionError`` unless the condition is met.

    ``assert`` statements would disappear under ``python -O``.
    """
    if not condition:
        raise AssertionError(violated)


def message(data: bytes = b"data", ttl: float | None = None, uuid: bytes | None = None) -> Message:
    """Make a message as messaging stores it."""
    return Message(data, ttl, FLAG_PERSISTENT, uuid)


def uuids(items: Iterable[Message]) -> list[bytes]:
    return [item.uuid for item in items]


def require_items(
    storage: QueuesStorageBase, queue_name: str, expected: Iterable[Message], violated: str
) -> None:
    """Require that the queue holds exactly these messages, in this order, with their content."""
    found = list(storage.get_items(queue_name))
    expected = list(expected)
    require(
        uuids(found) == uuids(expected),
        f"{violated}: expected {_named(expected)} in queue {queue_name!r}, found {_named(found)}",
    )
    for got, wanted in zip(found, expected, strict=True):
        require(got.data == wanted.data, f"{violated}: the data of {wanted} changed, see {got}")
        require(got.flags == wanted.flags, f"{violated}: the flags of {wanted} changed, see {got}")


def _named(items: list[Message]) -> str:
    names = [item.uuid.hex()[-6:] for item in items]
    return str(names) if len(names) <= 20 else f"{len(names)} messages"
