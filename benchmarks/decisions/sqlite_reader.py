"""Measure the figures of docs/adr/0017-no-second-reader.md.

    python -m benchmarks.decisions.sqlite_reader FOLDER_ON_A_DISK [--short]

What does another process see in the file of a living owner, and what would the owner pay for
letting it see more? Rounds are interleaved; the median of each is printed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.storage.sqlite import SqliteQueuesStorage

from .sqlite_driver import DATA, DELETE, GROW, INDEXES, INSERT, TABLE

COUNT = "SELECT queue_name, count(*) FROM messages GROUP BY queue_name"
WAYS = ("mode=ro", "mode=ro&nolock=1", "mode=ro&immutable=1")
EXCLUSIVE, NORMAL = "EXCLUSIVE", "NORMAL"

READER = """
import sqlite3, sys, time
filename, pause, statement = sys.argv[1], float(sys.argv[2]), sys.argv[3]
connection = sqlite3.connect(f"file:{filename}?mode=ro", uri=True, timeout=5)
while True:
    connection.execute(statement).fetchall()
    time.sleep(pause)
"""

LOOK = """
import sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?{sys.argv[2]}", uri=True, timeout=0.2)
print(sum(count for _, count in connection.execute(sys.argv[3])), "messages")
"""


def what_is_seen(folder: Path, messages: int) -> Iterator[tuple[str, str]]:
    """What a second process sees while the storage of snakeMQ is open."""
    filename = folder / "owned.db"
    storage = SqliteQueuesStorage(filename)
    try:
        for _ in range(messages):
            storage.push("bob", Message(DATA, None, FLAG_PERSISTENT))
        for way in WAYS:
            seen = subprocess.run(
                [sys.executable, "-c", LOOK, str(filename), way, COUNT],
                capture_output=True,
                text=True,
                check=False,
            )
            yield way, (seen.stdout or seen.stderr).strip().splitlines()[-1]
        for name in ("owned.db", "owned.db-wal"):
            shutil.copy(folder / name, folder / f"copy-{name}")
    finally:
        storage.close()
    with sqlite3.connect(folder / "copy-owned.db") as connection:
        ((_, count),) = connection.execute(COUNT)
    yield "a copy of both files, while nothing is written", f"{count} messages"


class Owner:
    """The connection of an owner, as ``snakemq.storage.sqlite`` opens it but for the lock."""

    def __init__(self, filename: Path, locking_mode: str) -> None:
        self.connection = sqlite3.connect(filename, isolation_level=None)
        for statement in (
            f"PRAGMA locking_mode={locking_mode}",
            "PRAGMA page_size=2048",
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "PRAGMA wal_autocheckpoint=512",
            TABLE,
            *INDEXES,
            *GROW,
        ):
            self.connection.execute(statement).fetchall()

    def push(self, uuid: bytes) -> None:
        self.connection.execute(INSERT, ("bob", uuid, None, 0.0, 1, DATA))

    def delete(self, uuid: bytes) -> None:
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.connection.execute(DELETE, (uuid, "bob"))
        self.connection.execute("PRAGMA synchronous=FULL")


@contextmanager
def reader(filename: Path, pause: float | None) -> Iterator[None]:
    if pause is None:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", READER, str(filename), str(pause), COUNT])
    try:
        time.sleep(0.5)
        yield
    finally:
        process.kill()
        process.wait()


def per_call(work: Callable[[bytes], object], uuids: list[bytes]) -> float:
    begin = time.perf_counter()
    for uuid in uuids:
        work(uuid)
    return (time.perf_counter() - begin) / len(uuids) * 1e6


CASES = {
    "exclusive, as it is": (EXCLUSIVE, None),
    "shared, nobody reads": (NORMAL, None),
    "shared, counted once a second": (NORMAL, 1.0),
    "shared, counted 100 times a second": (NORMAL, 0.01),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    rounds, calls, waiting = (2, 200, 1000) if options.short else (7, 2000, 100_000)

    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        for way, seen in what_is_seen(folder, 100):
            print(f"{way:48} {seen}")
        owners: dict[str, Owner] = {}
        for case, (locking_mode, _) in CASES.items():
            owner = owners[case] = Owner(folder / f"{len(owners)}.db", locking_mode)
            owner.connection.execute("BEGIN")
            for _ in range(waiting):
                owner.push(os.urandom(16))
            owner.connection.execute("COMMIT")
        figures: dict[str, list[tuple[float, float]]] = {case: [] for case in CASES}
        for _ in range(rounds):
            for number, (case, (_, pause)) in enumerate(CASES.items()):
                uuids = [os.urandom(16) for _ in range(calls)]
                with reader(folder / f"{number}.db", pause), suppress(KeyboardInterrupt):
                    push = per_call(owners[case].push, uuids)
                    figures[case].append((push, per_call(owners[case].delete, uuids)))
        print(f"\n{waiting} messages wait{'':20} {'push':>10} {'delete':>10}  (µs)")
        for case, measured in figures.items():
            push, delete = (statistics.median(column) for column in zip(*measured, strict=True))
            print(f"{case:40} {push:10.1f} {delete:10.1f}")


if __name__ == "__main__":
    main()
