"""The walk of a message on the map of the architecture passes the files that a trace passes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from types import FrameType

from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.queues import MemoryQueuesStorage

from .pages import DOCS
from .tables import rows

WALK = (DOCS / "architecture.md").read_text().partition("## The journey")[2].partition("\n## ")[0]
PATH = r"`((?:packeter|message|messaging)/[\w/]+\.py)`"
NAMED = set(re.findall(PATH, WALK))
STEPS = {path for _, file, _ in rows(WALK, "step") for path in re.findall(PATH, file)}


def passed(func: Callable[[], object]) -> set[str]:
    """The files of packeter and messaging in which ``func()`` calls functions."""
    files = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        path = frame.f_code.co_filename.replace("\\", "/").rpartition("/snakemq/")[2]
        if event == "call" and path.startswith(("packeter/", "message/", "messaging/")):
            files.add(path)

    sys.setprofile(note)
    try:
        func()
    finally:
        sys.setprofile(None)
    return files


def journeys() -> set[str]:
    """The files that these pass, and their acks: one message, two at once, some whose packets
    come in pieces, and a large one."""
    network = MemoryNetwork()
    alice, bob = (
        Messaging(ident, "", Packeter(network.link(ident)), MemoryQueuesStorage())
        for ident in ("alice", "bob")
    )
    received: list[Message] = []
    ReceiveHook(bob).register(b"", lambda conn_id, ident, message: received.append(message))
    alice_link, bob_link = network.links["alice"], network.links["bob"]
    network.connect(alice_link, bob_link)
    network.run_until_idle()

    def send(*sizes: int) -> None:
        for size in sizes:
            alice.send_message("bob", Message(bytes(size), 60, FLAG_PERSISTENT))
        network.run_until_idle()

    def send_all() -> None:
        send(1)
        send(1, 1)
        send(*[60_000] * 10)
        send(1_000_000)

    files = passed(send_all)
    assert len(received) == 14
    assert alice.outstanding("bob") == (0, 0)
    return files


PASSED = journeys()


def test_the_walk_names_each_file_that_a_message_passes() -> None:
    assert sorted(PASSED - NAMED) == []


def test_a_message_passes_the_file_of_each_step() -> None:
    assert sorted(STEPS - PASSED) == []
