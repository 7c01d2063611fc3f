"""Messages that are acknowledged by threads of their own, and by processes that are killed."""

from __future__ import annotations

import queue
import random
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter

PATIENCE = 30.0
"""Seconds after which a test has failed; it goes on as soon as it can."""


@pytest.fixture
def links() -> Iterator[list[Link]]:
    """Links whose loops run; they are ended whatever happens."""
    links: list[Link] = []
    yield links
    for link in links:
        link.cleanup()


def test_acks_from_many_threads(links: list[Link]) -> None:
    count = 5000
    links += [Link(), Link()]
    alice = Messaging("alice", "", Packeter(links[0]))
    bob = Messaging("bob", "", Packeter(links[1]), manual_ack=True, window_messages=200)
    jobs: queue.Queue[Message | None] = queue.Queue()
    bob.on_message_recv.add(lambda _c, _i, message: jobs.put(message))
    delivered: list[bytes] = []
    all_delivered = threading.Event()

    def on_delivered(conn_id: str, ident: str, uuid: bytes) -> None:
        delivered.append(uuid)
        if len(delivered) == count:
            all_delivered.set()

    alice.on_message_delivered.add(on_delivered)

    def work(seed: int) -> None:
        """Acknowledges what it has taken in a mixed order."""
        chance = random.Random(seed)
        taken: list[Message] = []
        while True:
            try:
                # It must not wait with messages in its hands: they may be all of the window.
                message = jobs.get(block=not taken, timeout=PATIENCE)
            except queue.Empty:
                assert taken, "nothing comes any more"
            else:
                if message is None:
                    return
                taken.append(message)
                if len(taken) <= 10:
                    continue
            chance.shuffle(taken)
            while taken:
                bob.ack(taken.pop())

    links[0].add_connector(links[1].add_listener(("127.0.0.1", 0)), reconnect_interval=0.05)
    threads = [threading.Thread(target=link.loop, daemon=True) for link in links]
    workers = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(8)]
    for thread in (*threads, *workers):
        thread.start()
    uuids = [alice.send_message("bob", Message(b"%d" % n, ttl=None)) for n in range(count)]
    assert all_delivered.wait(PATIENCE), f"{len(delivered)} of {count}"
    for _ in workers:
        jobs.put(None)
    for worker in workers:
        worker.join(PATIENCE)
        assert not worker.is_alive()
    assert delivered == uuids


WORKER = """
import sys
from snakemq.link import Link
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter

link = Link()
messaging = Messaging("worker", "", Packeter(link), manual_ack=True)

def take(conn_id, ident, message):
    print(message.data.decode(), flush=True)
    if message.data in sys.argv[2].encode().split():
        messaging.ack(message)

messaging.on_message_recv.add(take)
link.add_connector(("127.0.0.1", int(sys.argv[1])), reconnect_interval=0.05)
link.loop()
"""


def test_worker_that_is_killed_leaves_its_messages_to_the_next_one(links: list[Link]) -> None:
    links.append(Link())
    boss = Messaging("boss", "", Packeter(links[0]))
    acked: queue.Queue[bytes] = queue.Queue()
    boss.on_message_delivered.add(lambda _c, _i, uuid: acked.put(uuid))
    address = links[0].add_listener(("127.0.0.1", 0))
    assert isinstance(address, tuple)
    threading.Thread(target=links[0].loop, daemon=True).start()
    uuids = [boss.send_message("worker", Message(b"%d" % n, ttl=None)) for n in range(6)]

    def work(acks: str, expected_acks: int) -> list[str]:
        """Runs a worker until it has taken its messages, and kills it then."""
        command = [sys.executable, "-c", WORKER, str(address[1]), acks]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            watchdog = threading.Timer(PATIENCE, worker.kill)
            watchdog.start()
            try:
                assert worker.stdout is not None
                taken: list[str] = []
                while not taken or taken[-1] != "5":
                    line = worker.stdout.readline()
                    assert line, f"no more after {taken}"
                    taken.append(line.strip())
                done.extend(acked.get(timeout=PATIENCE) for _ in range(expected_acks))
            finally:
                worker.kill()
                watchdog.cancel()
        return taken

    done: list[bytes] = []
    # 3 is processed as well, but nobody hears of it: it is behind a gap.
    assert work("0 1 3", expected_acks=2) == ["0", "1", "2", "3", "4", "5"]
    assert work("2 3 4 5", expected_acks=4) == ["2", "3", "4", "5"]
    assert done == uuids
