"""Nobody would ever send what is sent after the link was cleaned up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from snakemq.exceptions import LoopError
from snakemq.link import Link, LinkInterface
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.queues import MemoryQueuesStorage
from snakemq.throttle import Throttle

WRAPPERS: dict[str, Callable[[Link], LinkInterface]] = {
    "plain": lambda link: link,
    "throttled": lambda link: Throttle(link, 1000),
}


@pytest.fixture
def link() -> Iterator[Link]:
    link = Link()
    yield link
    link.cleanup()


@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=WRAPPERS)
def test_send_message_says_so(link: Link, wrapper: Callable[[Link], LinkInterface]) -> None:
    storage = MemoryQueuesStorage()
    messaging = Messaging("alice", "", Packeter(wrapper(link)), storage)
    messaging.send_message("bob", Message(b"before", None, FLAG_PERSISTENT))
    link.cleanup()
    message = Message(b"after", None, FLAG_PERSISTENT)
    with pytest.raises(LoopError, match="the link was cleaned up"):
        messaging.send_message("bob", message)
    with pytest.raises(LoopError, match="the link was cleaned up"):
        messaging.send_message("bob", message, urgent=True)
    with pytest.raises(LoopError, match="the link was cleaned up"):
        messaging.send_messages("bob", [message])
    assert [item.data for item in storage.get_items("bob")] == [b"before"]
    messaging.close()


def test_the_message_can_be_sent_with_a_new_stack(link: Link) -> None:
    over = Messaging("alice", "", Packeter(link))
    link.cleanup()
    message = Message(b"", None)
    with pytest.raises(LoopError):
        over.send_message("bob", message)
    second = Link()
    try:
        fresh = Messaging("alice", "", Packeter(second))
        assert fresh.send_message("bob", message) == message.uuid
    finally:
        second.cleanup()


def test_a_cleanup_in_a_callback_and_again_after_the_loop_is_reported_once(link: Link) -> None:
    calls: list[str] = []
    link.on_closed.add(lambda: calls.append(threading.current_thread().name))
    messaging = Messaging("alice", "", Packeter(link))
    link.call_later(0, link.cleanup)
    loop = threading.Thread(target=link.loop, name="the loop")
    loop.start()
    loop.join(10)
    link.cleanup()
    assert calls == ["the loop"]
    with pytest.raises(LoopError, match="cleaned up"):
        messaging.send_message("bob", Message(b""))
