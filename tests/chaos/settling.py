"""What the receiver does with each message when it settles them in all ways."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from snakemq.messaging import DeadLetters
from snakemq.storage.sqlite import SqliteQueuesStorage

from .messages import number_of

DEAD_LETTERS = "dead.db"
"""The file with what it has rejected."""


class Fate(Enum):
    PROCESSED = "processed at once"
    RETRIED = "retried twice, then processed"
    RELEASED = "released once in each life, then processed"
    REJECTED = "rejected"


def fate_of(number: int) -> Fate:
    return {3: Fate.RETRIED, 5: Fate.RELEASED, 7: Fate.REJECTED}.get(number % 10, Fate.PROCESSED)


def dead_letters(folder: Path) -> list[int]:
    """The numbers of the messages that were rejected. The receiver must be dead."""
    storage = SqliteQueuesStorage(folder / DEAD_LETTERS)
    letters = DeadLetters(storage).list(10**7)
    storage.close()
    return [number_of(letter.message.data) for letter in letters]
