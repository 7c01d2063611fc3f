"""Durable pushes per second into each storage, beside the raw commits of the same engine.

    python -m benchmarks.questions.stores [FOLDER] [--seconds N] [--rounds N] [--backlog N]
        [--only NAME]

FOLDER: on the disk that is meant, for the SQLite file; the servers keep theirs in the system's
folder for temporary files. Needs snakemq[all] and the servers of tests/servers; one that is not
installed is left out. Messages have 100 bytes. The rounds of all kinds of work are interleaved, the
median of each is printed; only figures of one run compare.

raw: one insert per commit with the driver alone, into a table with nothing but an id and the data.
raw batches: 100 of them per commit, in the way that the driver has for many rows.
In brackets: the share of the raw rate, and how many times the rate of one thread.
--backlog: how long a storage with so many messages of 200 bytes takes to open, to its first page of
1000, and the memory that the process has then.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.queues import QueuesStorageBase, open_storage
from tests.servers import MariaDb, MongoDb, PostgreSql, ServerNotFound

THREADS, BATCH, DATA = 16, 100, bytes(100)

Insert = Callable[[int, int], object]
"""Inserts rows in one commit: the first number, how many."""


def rows(first: int, number: int) -> list[tuple[int, bytes]]:
    return [(n, DATA) for n in range(first, first + number)]


@contextmanager
def raw_sqlite(url: str) -> Iterator[Insert]:
    with closing(
        sqlite3.connect(f"{url.removeprefix('sqlite:///')}.raw", isolation_level=None)
    ) as c:
        for statement in (
            "PRAGMA locking_mode=EXCLUSIVE",
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "CREATE TABLE raw (id INTEGER PRIMARY KEY, data BLOB)",
        ):
            c.execute(statement)

        def insert(first: int, number: int) -> None:
            if number == 1:
                c.execute("INSERT INTO raw VALUES (?, ?)", (first, DATA))
                return
            c.execute("BEGIN")
            c.executemany("INSERT INTO raw VALUES (?, ?)", rows(first, number))
            c.execute("COMMIT")

        yield insert


@contextmanager
def raw_postgresql(url: str) -> Iterator[Insert]:
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as c:
        c.execute("CREATE TABLE raw (id BIGINT PRIMARY KEY, data BYTEA)")

        def insert(first: int, number: int) -> None:
            if number == 1:
                c.execute("INSERT INTO raw VALUES (%s, %s)", (first, DATA))
                return
            with c.transaction(), c.cursor() as cursor:
                cursor.executemany("INSERT INTO raw VALUES (%s, %s)", rows(first, number))

        yield insert


@contextmanager
def raw_mariadb(url: str) -> Iterator[Insert]:
    import pymysql

    port = int(url.rpartition(":")[2].partition("/")[0])
    with closing(
        pymysql.connect(
            host="127.0.0.1", port=port, user="root", database="snakemq", autocommit=True
        )
    ) as c:
        cursor = c.cursor()
        cursor.execute("CREATE TABLE raw (id BIGINT PRIMARY KEY, data LONGBLOB)")
        # PyMySQL makes one statement of this.
        yield lambda first, number: cursor.executemany(
            "INSERT INTO raw VALUES (%s, %s)", rows(first, number)
        )


@contextmanager
def raw_mongodb(url: str) -> Iterator[Insert]:
    import pymongo

    with pymongo.MongoClient[Any](url) as client:
        raw = client["raw"].get_collection("raw", write_concern=pymongo.WriteConcern(w=1, j=True))

        def insert(first: int, number: int) -> None:
            documents = [{"_id": n, "data": data} for n, data in rows(first, number)]
            if number == 1:
                raw.insert_one(documents[0])
            else:
                raw.insert_many(documents)

        yield insert


ENGINES = {
    "sqlite": (None, raw_sqlite),
    "postgresql": (PostgreSql, raw_postgresql),
    "mariadb": (MariaDb, raw_mariadb),
    "mongodb": (MongoDb, raw_mongodb),
}


def message(data: bytes = DATA) -> Message:
    return Message(data, None, FLAG_PERSISTENT)


def repeat(work: Callable[[], int], seconds: float) -> float:
    """Messages per second; ``work`` says how many it did."""
    done, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        done += work()
    return done / passed


def push_one(storage: QueuesStorageBase) -> int:
    storage.push("peer", message())
    return 1


def push_batch(storage: QueuesStorageBase) -> int:
    storage.push_many("peer", [message() for _ in range(BATCH)])
    return BATCH


def push_from_threads(storage: QueuesStorageBase, seconds: float) -> float:
    rates: list[float] = []
    threads = [
        threading.Thread(target=lambda: rates.append(repeat(lambda: push_one(storage), seconds)))
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


def measure(url: str, insert: Insert, seconds: float, rounds: int) -> dict[str, float]:
    free = 1

    def raw(number: int) -> int:
        nonlocal free
        free += number
        insert(free - number, number)
        return number

    rates: dict[str, list[float]] = {}
    with closing(open_storage(url)) as storage:
        ways: dict[str, Callable[[], float]] = {
            "raw": lambda: repeat(lambda: raw(1), seconds),
            "raw batches": lambda: repeat(lambda: raw(BATCH), seconds),
            "one thread": lambda: repeat(lambda: push_one(storage), seconds),
            f"{THREADS} threads": lambda: push_from_threads(storage, seconds),
            f"batches of {BATCH}": lambda: repeat(lambda: push_batch(storage), seconds),
        }
        for _ in range(rounds):
            for name, rate in ways.items():
                rates.setdefault(name, []).append(rate())
                storage.delete_all()
    return {name: statistics.median(values) for name, values in rates.items()}


READ = """
import resource, sys, time
from snakemq.queues import open_storage
began = time.perf_counter()
storage = open_storage(sys.argv[1])
opened = time.perf_counter()
page = storage.get_page("peer", None, 1000)
read = time.perf_counter()
number = storage.count("peer")
counted = time.perf_counter()
after, passed = None, 0
while page := storage.get_page("peer", after, 1000):
    after, passed = page[-1].position, passed + len(page)
assert passed == number
whole = time.perf_counter() - counted
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(f"{opened - began:7.3f} s {read - opened:12.3f} s {counted - read:7.3f} s"
      f" {number / whole:15,.0f}/s {peak:8} MiB")
storage.close()
"""


def backlog(url: str, number: int) -> str:
    with closing(open_storage(url)) as storage:
        for _ in range(number // 10_000):
            storage.push_many("peer", [message(bytes(200)) for _ in range(10_000)])
    command = [sys.executable, "-c", READ, url]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.rstrip()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=tempfile.gettempdir())
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backlog", type=int, default=0)
    parser.add_argument("--only", choices=ENGINES)
    arguments = parser.parse_args()
    first = True
    for name, (kind, raw) in ENGINES.items():
        if arguments.only not in (None, name):
            continue
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=arguments.folder))
            url = f"sqlite:///{folder}/queue.db"
            if kind is not None:
                try:
                    url = stack.enter_context(kind()).url
                except ServerNotFound as error:
                    print(f"{name}: {error}")
                    continue
            if arguments.backlog:
                if first:
                    print(f"{'':12} {'open':>9} {'first page':>14} {'count':>9} {'read':>17}  peak")
                print(f"{name:12} {backlog(url, arguments.backlog)}", flush=True)
            else:
                with raw(url) as insert:
                    rates = measure(url, insert, arguments.seconds, arguments.rounds)
                if first:
                    print(f"{'':12}" + "".join(f"{work:>30}" for work in rates))
                one = rates["one thread"]
                cells = [
                    f"{rate:,.0f}/s ({rate / rates['raw']:.2f}, {rate / one:.1f} x)"
                    for rate in rates.values()
                ]
                print(f"{name:12}" + "".join(f"{cell:>30}" for cell in cells), flush=True)
            first = False


if __name__ == "__main__":
    main()
