"""Any sequence of uses, restarts and crashes, against a model of a few lines."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from snakemq.message import Message
from snakemq.storage.sqlite import SqliteQueuesStorage

QUEUES = st.sampled_from(["", "peer", "Peer", "pe\x00er", "\U0001f40d", "'--"])
UUIDS = st.integers(0, 15).map(lambda n: bytes([n]) * 16)  # few, so that they meet again
TTLS = st.none() | st.sampled_from([0.0, 0.25, 1.0, 7.5, 0xFFFFFFFE]) | st.floats(0, 100)
MESSAGES = st.builds(Message, st.binary(max_size=20), TTLS, st.integers(0, 0xFFFFFFFF), UUIDS)
SECONDS = st.integers(0, 400).map(lambda n: n / 4)  # exact in binary: sums compare equal


class Stored:
    """What the model knows of a message: its ttl at some reading of the clock."""

    def __init__(self, item: Message, now: float) -> None:
        self.uuid, self.data, self.flags = item.uuid, item.data, item.flags
        self.ttl, self.since = item.ttl, now

    def seen_at(self, now: float) -> tuple[bytes, bytes, int, float | None]:
        left = None if self.ttl is None else max(0.0, self.ttl - (now - self.since))
        return self.uuid, self.data, self.flags, left


class StorageMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp()
        self.generation = 0
        self.time = 0.0  # what the storage is told
        self.owned = 0.0  # seconds with the storage open
        self.written = 0.0  # the last of them that is on the disk
        self.queues: dict[str, list[Stored]] = {}
        self.open()

    def path(self) -> Path:
        return Path(self.directory, f"{self.generation}.db")

    def open(self) -> None:
        self.storage = SqliteQueuesStorage(self.path(), busy_timeout=0, clock=lambda: self.time)

    def teardown(self) -> None:
        self.storage.close()
        shutil.rmtree(self.directory)

    def append(self, queue_name: str, item: Message) -> None:
        queue = self.queues.setdefault(queue_name, [])
        if all(other.uuid != item.uuid for other in queue):
            queue.append(Stored(item, self.owned))
            self.written = self.owned

    def remove(self, queue_name: str, items: list[Message]) -> None:
        uuids = {item.uuid for item in items}
        queue = self.queues.get(queue_name, [])
        queue[:] = [stored for stored in queue if stored.uuid not in uuids]

    @rule(queue_name=QUEUES, item=MESSAGES)
    def push(self, queue_name: str, item: Message) -> None:
        self.storage.push(queue_name, item)
        self.append(queue_name, item)

    @rule(queue_name=QUEUES, items=st.lists(MESSAGES, max_size=5))
    def push_many(self, queue_name: str, items: list[Message]) -> None:
        self.storage.push_many(queue_name, items)
        for item in items:
            self.append(queue_name, item)

    @rule(queue_name=QUEUES, items=st.lists(MESSAGES, max_size=5))
    def delete(self, queue_name: str, items: list[Message]) -> None:
        self.storage.delete(queue_name, items)
        self.remove(queue_name, items)
        self.written = self.owned

    @rule(items=st.lists(MESSAGES, max_size=5))
    def delete_items(self, items: list[Message]) -> None:
        self.storage.delete_items(items)
        for queue_name in self.queues:
            self.remove(queue_name, items)
        self.written = self.owned

    @rule()
    def delete_all(self) -> None:
        self.storage.delete_all()
        self.queues.clear()
        self.written = self.owned

    @rule(items=st.lists(MESSAGES, max_size=5))
    def update_items_ttl(self, items: list[Message]) -> None:
        self.storage.update_items_ttl(items)
        for item in items:
            for queue in self.queues.values():
                for stored in queue:
                    if stored.uuid == item.uuid:
                        stored.ttl, stored.since = item.ttl, self.owned
        self.written = self.owned

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.time += seconds
        self.owned += seconds

    @rule()
    def checkpoint_clock(self) -> None:
        self.storage.checkpoint_clock()
        self.written = self.owned

    @rule(down_for=SECONDS)
    def restart(self, down_for: float) -> None:
        self.storage.close()
        self.written = self.owned
        self.time += down_for
        self.open()

    @rule(down_for=SECONDS)
    def crash(self, down_for: float) -> None:
        crashed = self.path()
        self.generation += 1
        for suffix in ("", "-wal"):  # what a crash leaves on the disk
            if Path(f"{crashed}{suffix}").exists():
                shutil.copy(f"{crashed}{suffix}", f"{self.path()}{suffix}")
        self.storage.close()
        self.time += down_for
        self.owned = self.written
        self.open()

    @precondition(lambda self: self.queues)
    @rule()
    def drain(self) -> None:
        for queue_name in self.storage.get_queues():
            self.storage.delete(queue_name, self.storage.get_items(queue_name))
            self.written = self.owned
        self.queues.clear()

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        names = {queue_name for queue_name, queue in self.queues.items() if queue}
        assert sorted(self.storage.get_queues()) == sorted(names)
        for queue_name in names:
            found = [
                (item.uuid, item.data, item.flags, item.ttl)
                for item in self.storage.get_items(queue_name)
            ]
            assert found == [stored.seen_at(self.owned) for stored in self.queues[queue_name]]


TestModel = StorageMachine.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
