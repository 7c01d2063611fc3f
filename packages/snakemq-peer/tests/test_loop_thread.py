from collections.abc import Callable

import pytest

from snakemq.callbacks import Callback
from snakemq.link import Link
from snakemq.peer import PeerClosed
from snakemq.peer._loop_thread import LoopThread


class ClosingLink:
    """A link that is cleaned up before it does what a thread has asked for."""

    def __init__(self) -> None:
        self.on_closed: Callback[[]] = Callback()

    def in_loop(self) -> bool:
        return False

    def loop(self) -> None: ...

    def call_from_thread(self, func: Callable[[], object]) -> None:
        self.on_closed()
        func()


def test_call_that_comes_too_late_is_not_made() -> None:
    called: list[str] = []
    thread = LoopThread(ClosingLink(), "loop")  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(PeerClosed):
            thread.call(lambda: called.append("called"))
    assert called == []


def test_thread_that_begins_after_the_end_is_silent() -> None:
    link = Link()
    thread = LoopThread(link, "loop")
    link.cleanup()
    thread.start()  # an exception in a thread is a failure of this test
    thread.join(60.0)
