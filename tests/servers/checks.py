"""Checks of what every storage on a server has to withstand.

@pytest.mark.parametrize("check", SERVER_CHECKS, ids=lambda check: check.__name__)
def test_server(check, place): check(place)
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.queues import QueuesStorageBase, open_storage

from ._server import Server


@dataclass
class Place:
    """The place of a storage, which is empty at first."""

    server: Server
    options: dict[str, str]
    """Options that tell it from the other storages on that server."""
    impatient: dict[str, Any]
    """Options with which the server soon counts as away."""
    url: str = ""
    """The URL of a set of servers; if it is empty, the server's own URL counts."""

    def open(self, **options: Any) -> Any:
        return open_storage(self.url or self.server.url, **self.options, **options)

    def child(self, code: str) -> subprocess.Popen[str]:
        """Start a process that runs ``code`` with a ``storage`` that is opened in this place."""
        code = CHILD + code
        command = [sys.executable, "-W", "ignore", "-c", code, self.url or self.server.url]
        return subprocess.Popen(
            [*command, json.dumps(self.options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


CHILD = """
import json, os, sys
from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.queues import open_storage
storage = open_storage(sys.argv[1], **json.loads(sys.argv[2]))
"""

Check = Callable[[Place], None]


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def texts(storage: QueuesStorageBase, queue_name: str = "peer") -> list[bytes]:
    return [item.data for item in storage.get_items(queue_name)]


def fails_for_now(call: Callable[[], object]) -> None:
    with pytest.raises(StorageError) as caught:
        call()
    assert caught.value.temporary, caught.value
    assert caught.value.__cause__ is not None


def _away(place: Place, end: Callable[[], None], again: Callable[[], None]) -> None:
    with closing(place.open(**place.impatient)) as storage:
        storage.push("peer", Message(b"before", None))
        position = storage.get_page("peer", None, 1)[0].position
        end()
        calls: tuple[Callable[[], object], ...] = (
            lambda: storage.push("peer", Message(b"lost", None)),
            lambda: storage.push_many("peer", [Message(b"lost", None) for _ in range(2)]),
            lambda: storage.get_items("peer"),
            lambda: storage.get_page("peer", position, 10),
            lambda: storage.delete_all(),
            lambda: storage.remember("peer", [bytes(16)], 5),
            lambda: place.open(**place.impatient),
        )
        for call in calls:
            fails_for_now(call)
        again()
        storage.push("peer", Message(b"after", None))
        page = storage.get_page("peer", position, 10)
        assert [stored.message.data for stored in page] == [b"after"]
        assert texts(storage) == [b"before", b"after"]
        assert storage.recall("peer", 5) == []


def a_stopped_server_fails_each_call_at_once_and_works_again(place: Place) -> None:
    _away(place, place.server.stop, place.server.start)


def a_killed_server_fails_each_call_at_once_and_works_again(place: Place) -> None:
    _away(place, place.server.crash, place.server.start)


def a_suspended_server_holds_up_no_call_forever(place: Place) -> None:
    with closing(place.open(**place.impatient)) as storage:
        storage.push("peer", Message(b"before", None))
        for _ in range(2):
            place.server.suspend()
            try:
                fails_for_now(lambda: storage.push("peer", Message(b"lost", None)))
                fails_for_now(lambda: storage.get_page("peer", None, 10))
            finally:
                place.server.resume()
            storage.push("peer", Message(b"after", None))
        assert texts(storage) == [b"before", b"after", b"after"]


def a_restart_between_two_calls_goes_unnoticed(place: Place) -> None:
    with closing(place.open()) as storage:
        calls: tuple[Callable[[], object], ...] = (
            lambda: storage.push("peer", Message(b"1", None)),
            lambda: storage.push_many("peer", [Message(b"2", None), Message(b"3", None)]),
            lambda: storage.remember("peer", [bytes(16)], 5),
            lambda: storage.delete("peer", storage.get_items("peer")[:1]),
        )
        for call in calls:
            place.server.stop()
            place.server.start()
            call()
        assert texts(storage) == [b"2", b"3"]
        assert storage.recall("peer", 5) == [bytes(16)]


class Senders:
    """Threads that push, each its own messages, and go on if that fails."""

    def __init__(self, storage: QueuesStorageBase, data: bytes = b"") -> None:
        self._storage = storage
        self._data = data
        self._done = threading.Event()
        self.accepted: dict[int, list[bytes]] = {n: [] for n in range(4)}
        self.failed: set[bytes] = set()
        self.permanent: list[StorageError] = []

    @contextmanager
    def at_work(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._push, args=(n,)) for n in self.accepted]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._done.set()
            for thread in threads:
                thread.join()

    def _push(self, n: int) -> None:
        while not self._done.is_set():
            batch = [Message(self._data, None) for _ in range(1 + n)]
            try:
                self._storage.push_many("peer", batch)
                self.accepted[n] += [item.uuid for item in batch]
            except StorageError as error:
                self.failed.update(item.uuid for item in batch)
                if not error.temporary:
                    self.permanent.append(error)

    def wait_for_more(self, number: int) -> None:
        wanted = [len(uuids) + number for uuids in self.accepted.values()]
        self.wait_until(lambda: all(len(self.accepted[n]) >= wanted[n] for n in self.accepted))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._done.wait(0.01)

    def check(self) -> None:
        """Check that what was accepted is there once and in order, and nothing that failed."""
        found = [item.uuid for item in self._storage.get_items("peer")]
        assert len(found) == len(set(found))
        for uuids in self.accepted.values():
            own = set(uuids)
            assert [uuid for uuid in found if uuid in own] == uuids
        assert not self.failed & set(found)
        assert not self.permanent, self.permanent


def crashes_under_load_lose_nothing_and_store_nothing_that_failed(place: Place) -> None:
    with closing(place.open(**place.impatient)) as storage:
        senders = Senders(storage)
        with senders.at_work():
            for _ in range(2):
                senders.wait_for_more(30)
                place.server.crash()
                place.server.start()
            senders.wait_for_more(1)
        senders.check()


def a_batch_that_fails_in_the_middle_leaves_nothing(place: Place) -> None:
    with closing(place.open()) as storage:
        unstorable = Message(b"", None)
        unstorable.flags = 1 << 64
        with pytest.raises(StorageError) as caught:
            storage.push_many("peer", [Message(b"x" * 1000, None), unstorable])
        assert not caught.value.temporary
        assert storage.get_queues() == []
        storage.push("peer", Message(b"good", None))
        assert texts(storage) == [b"good"]


def a_second_owner_is_refused_until_the_first_lets_go(place: Place) -> None:
    with closing(place.open()) as storage:
        for _ in range(2):
            with pytest.raises(StorageError, match="in use by another") as caught:
                place.open(owner_timeout=0)
            assert caught.value.temporary
        storage.push("peer", Message(b"1", None))
    with closing(place.open(owner_timeout=0)) as storage:
        assert texts(storage) == [b"1"]


def a_killed_owner_blocks_nobody(place: Place) -> None:
    if sys.platform != "linux" and place.server.name == "mongodb":
        pytest.skip("a dead owner is replaced at once on Linux only")
    code = "storage.push('peer', Message(b'1', None)); print('open', flush=True); input()"
    with place.child(code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with pytest.raises(StorageError, match="in use by another"):
            place.open(owner_timeout=0)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with closing(place.open()) as storage:
            assert texts(storage) == [b"1"]


FORK = """
storage.push("peer", Message(b"before", None))
pid = os.fork()
if pid == 0:
    try:
        storage.push("peer", Message(b"from the fork", None))
    except StorageError as error:
        assert "fork" in str(error)
        storage.close()
        raise SystemExit(0)
    os._exit(1)
assert os.waitpid(pid, 0)[1] == 0
storage.push("peer", Message(b"after", None))
storage.close()
"""


def a_forked_child_does_no_harm(place: Place) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    with place.child(FORK) as process:
        process.communicate()
    assert process.returncode == 0
    with closing(place.open()) as storage:
        assert texts(storage) == [b"before", b"after"]


def ttl_goes_on_where_it_was(place: Place) -> None:
    clock = FakeClock()
    with closing(place.open(clock=clock)) as storage:
        storage.push("peer", Message(b"", 100))
        clock.now += 30
        assert storage.get_items("peer")[0].ttl == 70
    clock.now += 1000
    with closing(place.open(clock=clock)) as storage:
        assert storage.get_items("peer")[0].ttl == 70
        clock.now += 10
        place.server.stop()
        clock.now += 10
        place.server.start()
        assert storage.get_items("peer")[0].ttl == 50
        clock.now += 60
        assert storage.get_items("peer")[0].ttl == 0


SERVER_CHECKS: tuple[Check, ...] = (
    a_stopped_server_fails_each_call_at_once_and_works_again,
    a_killed_server_fails_each_call_at_once_and_works_again,
    a_suspended_server_holds_up_no_call_forever,
    a_restart_between_two_calls_goes_unnoticed,
    crashes_under_load_lose_nothing_and_store_nothing_that_failed,
    a_batch_that_fails_in_the_middle_leaves_nothing,
    a_second_owner_is_refused_until_the_first_lets_go,
    a_killed_owner_blocks_nobody,
    a_forked_child_does_no_harm,
    ttl_goes_on_where_it_was,
)


def a_full_disk_costs_nothing_that_was_accepted(
    place: Place, fill: Callable[[], None], free: Callable[[], None]
) -> None:
    """``fill`` leaves a few megabytes on the disk of the server, ``free`` makes space again."""
    with closing(place.open(**place.impatient)) as storage:
        storage.push("peer", Message(b"before", None))
        fill()
        senders = Senders(storage, bytes(50_000))
        with senders.at_work():
            senders.wait_until(lambda: bool(senders.failed))
            free()
            accepted = sum(map(len, senders.accepted.values()))

            def goes_on() -> bool:
                process = place.server.process
                assert process is not None
                if process.poll() is not None:  # it has stopped itself
                    place.server.start()
                return sum(map(len, senders.accepted.values())) > accepted

            senders.wait_until(goes_on)
        senders.check()
        assert texts(storage)[0] == b"before"
