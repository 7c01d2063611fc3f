import gc
import logging
import os
import subprocess
import sys
import threading
import warnings

import pytest
from real_peers import PATIENCE, MakePeer

from snakemq.message import Message
from snakemq.peer import Peer, PeerClosed, ReceivedMessage
from snakemq.rpc import Error


def threads_of(ident: str) -> set[str]:
    """The names of the threads of a peer."""
    names = {thread.name for thread in threading.enumerate()}
    return {name for name in names if name.startswith(f"snakemq-{ident}")}


def test_close_may_be_called_again(alice: Peer) -> None:
    alice.close()
    alice.close(timeout=0)
    with pytest.raises(PeerClosed), alice:
        pass


def test_closed_peer_says_so(alice: Peer) -> None:
    alice.close()
    for func in (
        lambda: alice.send("bob", b"hello"),
        lambda: alice.broadcast(b"hello"),
        lambda: alice.listen("tcp://127.0.0.1:0"),
        lambda: alice.connect("tcp://127.0.0.1:1"),
        lambda: alice.reconnect_now(),
        lambda: alice.wait_for("bob"),
        lambda: alice.messages(),
        lambda: alice.on_message(print),
        lambda: alice.serve("calculator", object()),
        lambda: alice.remote("bob", "calculator"),
    ):
        with pytest.raises(PeerClosed, match="this peer is closed; make a new one"):
            func()
    assert alice.peers() == {}
    alice.run()  # it has ended


def test_close_ends_the_thread_of_the_loop(make_peer: MakePeer) -> None:
    alice = make_peer("alice")
    alice.on_message(print)
    assert threads_of("alice") == {"snakemq-alice", "snakemq-alice-handler"}
    alice.close(timeout=PATIENCE)
    assert threads_of("alice") == set()


def test_close_delivers_what_was_sent(make_peer: MakePeer) -> None:
    bob = make_peer("bob")
    received: list[bytes] = []
    for _ in range(2):
        alice = Peer("alice", close_timeout=PATIENCE)
        alice.connect(bob.listen("tcp://127.0.0.1:0"))
        alice.wait_for("bob", PATIENCE)
        for number in range(100):
            alice.send("bob", b"%d" % number)
        closing = threading.Thread(target=alice.close)
        closing.start()
        for message in bob.messages(PATIENCE):
            received.append(message.data)
            if message.data == b"99":
                message.ack()
                break
        closing.join(PATIENCE)
        assert not closing.is_alive()
    assert len(received) == 200


def test_close_lets_the_handler_finish(make_peer: MakePeer) -> None:
    alice, bob = make_peer("alice"), make_peer("bob", close_timeout=PATIENCE)
    begun, is_gone = threading.Event(), threading.Event()
    bob.link.on_closed.add(is_gone.set)
    went_first: list[bool] = []

    @bob.on_message
    def handler(message: ReceivedMessage) -> None:
        begun.set()
        went_first.append(is_gone.wait(0.1))

    alice.connect(bob.listen("tcp://127.0.0.1:0"))
    receipt = alice.send("bob", b"hello")
    assert begun.wait(PATIENCE)
    closing = threading.Thread(target=bob.close)
    closing.start()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    receipt.wait(PATIENCE)
    assert went_first == [False]


class Slow:
    """Its method takes as long as the test wants."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def work(self) -> str:
        self.begun.set()
        self.may_end.wait(PATIENCE)
        return "done"


def test_close_lets_remote_methods_finish(alice: Peer, bob: Peer) -> None:
    slow = Slow()
    bob.serve("slow", slow)
    future = alice.remote("bob", "slow").work.future()
    assert slow.begun.wait(PATIENCE)
    closing = threading.Thread(target=bob.close, args=(PATIENCE,))
    closing.start()
    closing.join(0.5)  # more than the link would wait for them
    slow.may_end.set()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    assert future.result(PATIENCE) == "done"


def test_close_that_is_hurried_waits_for_no_remote_method(alice: Peer, bob: Peer) -> None:
    slow = Slow()
    bob.serve("slow", slow)
    future = alice.remote("bob", "slow").work.future()
    assert slow.begun.wait(PATIENCE)
    closing = threading.Thread(target=bob.close, args=(PATIENCE,))
    closing.start()
    bob._stack.hurry()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    with pytest.raises(Error, match="the server was shut down while 'work' was running"):
        future.result(PATIENCE)
    slow.may_end.set()


def test_remote_method_may_close_its_peer(alice: Peer, bob: Peer) -> None:
    is_closed = threading.Event()

    class Ending:
        def end(self) -> None:
            bob.close(PATIENCE)
            is_closed.set()

    bob.serve("ending", Ending())
    alice.remote("bob", "ending").end.future()
    assert is_closed.wait(PATIENCE)


def test_close_does_not_wait_longer_than_told(alice: Peer, bob: Peer) -> None:
    may_end = threading.Event()

    @bob.on_message
    def handler(message: ReceivedMessage) -> None:
        may_end.wait(PATIENCE)

    alice.send("bob", b"hello")
    alice.close(timeout=0.01)  # bob has not processed the message, and will not soon
    bob.close(timeout=0.01)
    may_end.set()


def test_handler_may_close_its_peer(alice: Peer, bob: Peer) -> None:
    is_closed = threading.Event()

    @bob.on_message
    def handler(message: ReceivedMessage) -> None:
        message.ack()
        bob.close(PATIENCE)
        is_closed.set()

    alice.send("bob", b"end")
    assert is_closed.wait(PATIENCE)


def test_closing_without_a_storage_says_what_is_lost(
    alice: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    alice.send("bob", b"1")
    alice.send("bob", b"2")
    alice.close()
    assert "closed before 'bob' had acknowledged 2 messages" in caplog.text


def test_closing_with_a_storage_is_quiet(
    make_peer: MakePeer, caplog: pytest.LogCaptureFixture
) -> None:
    alice = make_peer("alice", storage="memory:")
    alice.send("bob", b"1")
    alice.close()
    assert [it for it in caplog.records if it.levelno >= logging.WARNING] == []


def test_loop_that_the_user_stops_ends_the_peer(alice: Peer) -> None:
    ended = threading.Event()
    alice.link.on_closed.add(ended.set)
    alice.link.stop()
    assert ended.wait(PATIENCE)
    assert list(alice.messages()) == []
    with pytest.raises(PeerClosed):
        alice.wait_for("bob")
    with pytest.raises(PeerClosed):
        alice.listen("tcp://127.0.0.1:0")
    alice.close()


def test_forgotten_peer_warns_and_is_closed() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        peer = Peer("forgotten")
        peer.listen("tcp://127.0.0.1:0")
        assert threads_of("forgotten")
        del peer
        gc.collect()
    (warning,) = caught
    assert warning.category is ResourceWarning
    assert "the peer 'forgotten', made at " in str(warning.message)
    assert f"{__file__}:" in str(warning.message)
    assert ", was not closed: use 'with Peer(...)'" in str(warning.message)
    assert threads_of("forgotten") == set()


def test_closed_peer_does_not_warn() -> None:
    peer = Peer("alice")
    peer.close()
    del peer
    gc.collect()  # warnings are errors


def test_peer_that_is_forgotten_in_its_own_loop_is_closed(alice: Peer) -> None:
    """Its garbage may be collected in any thread."""
    ended = threading.Event()

    def forget() -> None:
        holder.pop().link.on_closed.add(ended.set)

    def forget_in_loop() -> None:
        holder[0].link.call_from_thread(forget)
        assert ended.wait(PATIENCE)

    holder = [Peer("forgotten")]
    with pytest.warns(ResourceWarning, match="was not closed"):
        forget_in_loop()


FORGOTTEN = """
from snakemq.peer import Peer
peer = Peer("alice")
peer.listen("tcp://127.0.0.1:0")
@peer.on_message
def handler(message): peer.send("bob", message.data)
peer.send("bob", b"hello")
"""


def test_process_that_forgets_its_peer_ends_all_the_same() -> None:
    command = [sys.executable, "-W", "default", "-c", FORGOTTEN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert "ResourceWarning: the peer 'alice', made at <string>:3, was not closed" in done.stderr
    assert "Enable tracemalloc to get the object allocation traceback" in done.stderr
    assert "closed before 'bob' had acknowledged 1 messages" in done.stderr
    assert "Traceback" not in done.stderr


FORKING = """
import os, sys
from snakemq.peer import Peer
with Peer("alice") as peer:
    if os.fork() == 0:
        peer.close()
        sys.exit(0)
    assert os.wait()[1] == 0
    peer.listen("tcp://127.0.0.1:0")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_child_of_a_fork_leaves_the_peer_alone() -> None:
    command = [sys.executable, "-W", "default", "-W", "ignore::DeprecationWarning", "-c", FORKING]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stderr == ""


def test_message_may_be_settled_after_the_end(alice: Peer, bob: Peer) -> None:
    alice.messaging.send_message("bob", Message(b"hello", 60))
    with bob.messages(PATIENCE) as messages:
        next(messages)
        bob.close()
