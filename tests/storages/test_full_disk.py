"""The disk of the sender's storage is full, and has space again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from snakemq.exceptions import StorageError

from .stores import Durable, MakeStack, SqliteFile, Store, heard, numbers, persistent

MakeDurable = Callable[[str, Store], Durable]

SIZE = 4 << 20
"""Bytes of the whole disk."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    done = (
        subprocess.run(mount, capture_output=True, text=True, check=False)
        if shutil.which("mount")
        else None
    )
    if done is None or done.returncode:
        reason = f"no file system can be mounted: {done.stderr.strip() if done else 'no mount'}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


class Ballast:
    """A file that takes up the free space."""

    def __init__(self, disk: Path) -> None:
        self._path = disk / "ballast"

    def fill(self, but: int = 0) -> None:
        """Fill the disk except for this many bytes."""
        with open(self._path, "ab", buffering=0) as file:
            with suppress(OSError):
                while file.write(bytes(4096)):
                    pass
            file.truncate(max(0, file.tell() - but))

    def remove(self) -> None:
        self._path.unlink()


def fill_up(alice: Durable) -> list[bytes]:
    """Send until the storage refuses; return what it accepted."""
    accepted: list[bytes] = []
    refusals: list[StorageError] = []
    while not refusals:
        text = b"%d " % len(accepted) + bytes(1000)
        try:
            alice.send("bob", text, None, 1)
            accepted.append(text)
        except StorageError as error:
            refusals.append(error)
    assert refusals[0].temporary
    assert "no space left" in str(refusals[0])
    return accepted


def test_accepted_messages_arrive_and_all_works_again_with_space(
    disk: Path, durable: MakeDurable, make_stack: MakeStack
) -> None:
    alice, bob = durable("alice", SqliteFile(disk / "queue.db")), make_stack("bob")
    ballast = Ballast(disk)
    ballast.fill(but=1 << 20)
    accepted = fill_up(alice)
    assert len(accepted) > 100
    with pytest.raises(StorageError, match="no space left"):
        alice.messaging.send_messages("bob", persistent(*[bytes(10_000)] * 100))
    # The refused batch left nothing behind.
    assert [item.data for item in alice.in_loop(lambda: alice.storage.get_items("bob"))] == accepted

    bob.dial(alice.listen())
    bob.until(lambda: len(bob.received) == len(accepted))
    alice.send("bob", b"transient")
    bob.until(lambda: len(bob.received) == len(accepted) + 1)

    ballast.remove()
    alice.messaging.send_messages("bob", persistent(*numbers(100)))
    bob.until(lambda: len(bob.received) == len(accepted) + 101)
    assert heard(bob) == [*accepted, b"transient", *numbers(100)]
    assert alice.left(len(bob.received)) == []
    assert alice.dropped == alice.disconnected == bob.problems == []


def test_deletions_that_find_no_space_are_reported_and_done_later(
    disk: Path, durable: MakeDurable, make_stack: MakeStack
) -> None:
    alice, bob = durable("alice", SqliteFile(disk / "queue.db")), make_stack("bob")
    texts = [text + bytes(1000) for text in numbers(200)]
    alice.messaging.send_messages("bob", persistent(*texts))
    ballast = Ballast(disk)
    ballast.fill()
    bob.dial(alice.listen())
    bob.until(lambda: len(bob.received) == 200)
    problem = alice.problem(StorageError)
    assert problem.conn_id is None
    assert "no space left" in str(problem.error)
    ballast.remove()
    assert alice.left(len(bob.received)) == []
    assert heard(bob) == texts


def test_messages_outlive_the_process_on_a_full_disk(
    disk: Path, durable: MakeDurable, make_stack: MakeStack
) -> None:
    store = SqliteFile(disk / "queue.db")
    first = durable("alice", store)
    ballast = Ballast(disk)
    ballast.fill(but=1 << 20)
    accepted = fill_up(first)
    ballast.fill()
    first.close()
    alice, bob = durable("alice", store), make_stack("bob")
    bob.dial(alice.listen())
    bob.until(lambda: len(bob.received) == len(accepted))
    assert heard(bob) == accepted
    ballast.remove()
    assert alice.left(len(bob.received)) == []
