"""Checks that kill the process."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial

from snakemq.queues import QueuesStorageBase

from ._open import Check, OpenStorage, message, new_token, require, uuids

# The first pickle is sys.path: the second one may need modules from there.
_CHILD = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer);"
    " pickle.load(sys.stdin.buffer)()"
)


def survives_kill(open_storage: OpenStorage) -> None:
    """Each message whose push had returned when the process was killed (kill -9) is still there."""
    _kill_while(push_one_by_one, open_storage, rounds=(1, 40, 150))


def survives_kill_in_batches(open_storage: OpenStorage) -> None:
    """Each message whose push_many had returned at kill -9 is still there, in order."""
    _kill_while(push_in_batches, open_storage, rounds=(30, 200))


def push_one_by_one(open_storage: OpenStorage, token: str) -> None:
    """Run in the child: print each uuid after its push has returned, until it is killed."""
    storage = open_storage(token)
    while True:
        item = message(b"x" * 100)
        storage.push("peer", item)
        print(item.uuid.hex(), flush=True)  # noqa: T201 - this is how it speaks to its parent


def push_in_batches(open_storage: OpenStorage, token: str) -> None:
    """Run in the child: push batches in the same way, while other messages come and go."""
    storage: QueuesStorageBase = open_storage(token)
    while True:
        passing = message(b"y" * 1000)
        storage.push("passing", passing)
        batch = [message(b"x" * 100) for _ in range(10)]
        storage.push_many("peer", batch)
        print("\n".join(item.uuid.hex() for item in batch), flush=True)  # noqa: T201
        storage.delete("passing", [passing])


def _kill_while(
    push: Callable[[OpenStorage, str], None], open_storage: OpenStorage, rounds: tuple[int, ...]
) -> None:
    """Kill the child after this many messages, on the same storage again and again."""
    token = new_token()
    before: list[bytes] = []
    for wanted in rounds:
        returned = _returned_pushes(partial(push, open_storage, token), wanted)
        with closing(open_storage(token)) as storage:
            found = uuids(storage.get_items("peer"))
        expected = before + returned
        require(
            found[: len(expected)] == expected,
            f"a process was killed after {len(returned)} pushes had returned:"
            f" {len(set(expected) - set(found))} of {len(expected)} messages are lost"
            " or the order has changed",
        )
        before = found  # what was under way may have been stored as well


def _returned_pushes(child: partial[None], wanted: int) -> list[bytes]:
    """Run the child, kill it when it has pushed this many, and return the uuids that it printed."""
    command = [sys.executable, "-c", _CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(pickle.dumps(sys.path) + pickle.dumps(child))
            process.stdin.flush()
            lines = [process.stdout.readline() for _ in range(wanted)]
        finally:
            process.kill()
        lines += process.stdout.readlines()
    said = [bytes.fromhex(line.decode()) for line in lines if line.endswith(b"\n")]
    require(len(said) >= wanted, "the pushing process ended by itself, see its standard error")
    return said


DURABILITY_CHECKS: tuple[Check, ...] = (survives_kill, survives_kill_in_batches)
