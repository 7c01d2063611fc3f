"""ReceiveHook: callbacks by what a message begins with."""

from __future__ import annotations

import re
from typing import Any

import pytest
from memory_peers import Peer

from snakemq.message import Message
from snakemq.messaging import ReceiveHook


class Recorder:
    """Callbacks that note down their name and the data that they were called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes]] = []

    def named(self, name: str) -> Any:
        def callback(conn_id: str, ident: str, message: Message) -> None:
            self.calls.append((name, message.data))

        return callback


@pytest.fixture
def hook(alice: Peer, bob: Peer) -> ReceiveHook:
    """The hook of bob, who is connected with alice."""
    alice.connect(bob)
    return ReceiveHook(bob.messaging)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def deliver(alice: Peer, *messages: bytes) -> None:
    for data in messages:
        alice.send("bob", data)
    alice.network.run_until_idle()


def test_messages_go_where_their_beginning_says(
    alice: Peer, hook: ReceiveHook, recorder: Recorder
) -> None:
    hook.register(b"red", recorder.named("red"))
    hook.register(b"(blue|green)", recorder.named("others"))
    deliver(alice, b"red 1", b"green 2", b"yellow 3", b"not red 4", b"blue 5", b"")
    assert recorder.calls == [("red", b"red 1"), ("others", b"green 2"), ("others", b"blue 5")]


def test_callback_gets_what_on_message_recv_gets(alice: Peer, bob: Peer, hook: ReceiveHook) -> None:
    calls = []
    hook.register(b"", lambda *args: calls.append(args))
    deliver(alice, b"hello")
    assert calls == bob.received
    ((conn_id, ident, message),) = calls
    assert (conn_id, ident, message.data) == (bob.connected[0][0], "alice", b"hello")


def test_hook_joins_on_message_recv_and_does_not_replace_it(
    alice: Peer, bob: Peer, hook: ReceiveHook, recorder: Recorder
) -> None:
    bob.messaging.on_message_recv.add(recorder.named("added after the hook"))
    hook.register(b"x", recorder.named("hook"))
    deliver(alice, b"x", b"y")
    assert bob.heard == [b"x", b"y"]
    assert recorder.calls == [
        ("hook", b"x"),
        ("added after the hook", b"x"),
        ("added after the hook", b"y"),
    ]


def test_several_hooks_of_one_stack_work_side_by_side(
    alice: Peer, bob: Peer, hook: ReceiveHook, recorder: Recorder
) -> None:
    hook.register(b"a", recorder.named("first"))
    ReceiveHook(bob.messaging).register(b"a", recorder.named("second"))
    deliver(alice, b"abc")
    assert recorder.calls == [("first", b"abc"), ("second", b"abc")]


def test_all_that_match_are_called_in_the_order_of_their_registration(
    alice: Peer, hook: ReceiveHook, recorder: Recorder
) -> None:
    for name, regexp in [("second", b"a"), ("none", b"b"), ("first", b"ab"), ("all", b"")]:
        hook.register(regexp, recorder.named(name))
    deliver(alice, b"abc")
    assert [name for name, _ in recorder.calls] == ["second", "first", "all"]


def test_one_that_raises_does_not_keep_the_others_from_their_message(
    alice: Peer, bob: Peer, hook: ReceiveHook, recorder: Recorder
) -> None:
    error = RuntimeError("hook")

    def fail(conn_id: str, ident: str, message: Message) -> None:
        raise error

    hook.register(b"a", fail)
    hook.register(b"ab", recorder.named("behind it"))
    deliver(alice, b"abc")
    assert recorder.calls == [("behind it", b"abc")]
    assert [exc for _, exc in bob.errors] == [error]


def test_registering_again_replaces_the_callback(
    alice: Peer, hook: ReceiveHook, recorder: Recorder
) -> None:
    hook.register(b"a", recorder.named("old"))
    hook.register(b"a", recorder.named("new"))
    deliver(alice, b"a")
    assert recorder.calls == [("new", b"a")]


def test_unregistered_is_not_called(alice: Peer, hook: ReceiveHook, recorder: Recorder) -> None:
    hook.register(b"a", recorder.named("gone"))
    hook.register(b"b", recorder.named("stays"))
    hook.unregister(b"a")
    deliver(alice, b"a", b"b")
    assert recorder.calls == [("stays", b"b")]


def test_unregistering_what_is_not_registered_is_an_error(hook: ReceiveHook) -> None:
    with pytest.raises(KeyError):
        hook.unregister(b"a")


def test_clear_unregisters_all(alice: Peer, hook: ReceiveHook, recorder: Recorder) -> None:
    hook.register(b"a", recorder.named("a"))
    hook.register(b"b", recorder.named("b"))
    hook.clear()
    deliver(alice, b"a", b"b")
    assert recorder.calls == []


def test_a_closed_hook_has_left_messaging(
    alice: Peer, bob: Peer, hook: ReceiveHook, recorder: Recorder
) -> None:
    other = ReceiveHook(bob.messaging)
    for name, one in (("closed", hook), ("other", other)):
        one.register(b"a", recorder.named(name))
    before = len(bob.messaging.on_message_recv.callbacks)
    hook.close()
    hook.close()
    assert len(bob.messaging.on_message_recv.callbacks) == before - 1
    hook.unregister(b"a")  # as its owners do when they are closed after it
    deliver(alice, b"a")
    assert recorder.calls == [("other", b"a")]


def test_callback_may_unregister_itself(alice: Peer, hook: ReceiveHook, recorder: Recorder) -> None:
    def once(conn_id: str, ident: str, message: Message) -> None:
        hook.unregister(b"a")
        recorder.named("once")(conn_id, ident, message)

    hook.register(b"a", once)
    hook.register(b"", recorder.named("always"))
    deliver(alice, b"a1", b"a2")
    assert recorder.calls == [("once", b"a1"), ("always", b"a1"), ("always", b"a2")]


def test_callback_may_clear_and_register(
    alice: Peer, bob: Peer, hook: ReceiveHook, recorder: Recorder
) -> None:
    def change(conn_id: str, ident: str, message: Message) -> None:
        hook.clear()
        hook.register(b"a", recorder.named("changed"))

    hook.register(b"a", change)
    deliver(alice, b"a1", b"a2")
    assert recorder.calls == [("changed", b"a2")]
    assert bob.errors == []


def test_pattern_may_be_anything_that_re_knows(
    alice: Peer, hook: ReceiveHook, recorder: Recorder
) -> None:
    hook.register(rb"\x00.\xff", recorder.named("binary"))
    hook.register(rb"(?i)hello$", recorder.named("text"))
    deliver(alice, b"\0a\xff rest", b"HELLO", b"hello, you")
    assert recorder.calls == [("binary", b"\0a\xff rest"), ("text", b"HELLO")]


@pytest.mark.parametrize("regexp", ["text", None, re.compile(b"a")])
def test_pattern_that_is_not_bytes_is_refused(hook: ReceiveHook, regexp: Any) -> None:
    with pytest.raises(TypeError, match="must be the pattern"):
        hook.register(regexp, print)


def test_what_is_not_a_pattern_is_refused(hook: ReceiveHook) -> None:
    with pytest.raises(re.error):
        hook.register(b"(", print)


async def asynchronous(conn_id: str, ident: str, message: Message) -> None: ...


def generating(conn_id: str, ident: str, message: Message) -> Any:
    yield


@pytest.mark.parametrize("callback", [asynchronous, generating, None])
def test_a_callback_that_would_not_run_is_refused(
    alice: Peer, hook: ReceiveHook, recorder: Recorder, callback: Any
) -> None:
    hook.register(b"x", recorder.named("before"))
    with pytest.raises(TypeError, match=r"callable|async|generator"):
        hook.register(b"x", callback)
    deliver(alice, b"x")
    assert recorder.calls == [("before", b"x")]
