"""What is deleted from a storage that fails meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from snakemq.exceptions import StorageError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging._outgoing._stored._deletions import Deletions
from snakemq.messaging._storekeeper import Storekeeper
from snakemq.queues import MemoryQueuesStorage


class Late:
    """A runner whose jobs are run when somebody waits for them."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], object]] = []

    def run(self, job: Callable[[], object]) -> None:
        self.jobs.append(job)

    def wait(self, timeout: float) -> bool:
        while self.jobs:
            self.jobs.pop(0)()
        return True

    def end(self) -> None: ...


class Recovering(MemoryQueuesStorage):
    """A storage that fails for some calls."""

    failures = 0

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageError("not yet", temporary=True)
        super().delete(queue_name, items)


@pytest.mark.parametrize(("failures", "left"), [(1, 0), (2, 2)])
def test_close_tries_an_attempt_that_had_begun_once_more(
    network: MemoryNetwork, failures: int, left: int
) -> None:
    storage = Recovering()
    link = network.link("alice")
    storekeeper = Storekeeper(link, Late())
    problems: list[Exception] = []
    owner: Any = SimpleNamespace(storage_failed=problems.append)
    deletions = Deletions(link, storage, storekeeper, owner)
    for data in (b"1", b"2"):
        message = Message(data, None, FLAG_PERSISTENT)
        message.position = 1
        storage.push("bob", message)
        deletions.retired("bob", [message])
        deletions.flush()
    storage.failures = failures
    deletions.close()
    assert storekeeper.finish(1.0)
    assert len(storage.get_items("bob")) == left
    assert len(problems) == failures
