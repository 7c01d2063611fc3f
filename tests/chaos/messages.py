"""The messages of a run: all that is known of one follows from its number."""

from __future__ import annotations

from random import Random

SIZES = (0, 10, 100, 100, 1000, 20_000)
"""Bytes of data behind the number."""

LARGE = (70_000, 200_000)
"""Fewest and most bytes of the large ones, which are sent in chunks."""


def is_large(number: int) -> bool:
    # All last digits, because the receiver settles messages by these.
    return number % 21 == 0


def data_of(number: int) -> bytes:
    random = Random(number)
    size = random.randint(*LARGE) if is_large(number) else random.choice(SIZES)
    return f"{number}:".encode() + random.randbytes(size)


def number_of(data: bytes) -> int:
    return int(data.partition(b":")[0])
