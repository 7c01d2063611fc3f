import socket
import threading
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue
from unittest import mock

import pytest
from real_peers import PATIENCE, MakePeer

from snakemq.exceptions import LoopError, StorageError
from snakemq.identity import Proof
from snakemq.message import Message
from snakemq.messaging import Dropped, Messaging, Receipt, ReceiptState, Reject
from snakemq.peer import Peer, PeerClosed, ReceivedMessage
from snakemq.queues import MemoryQueuesStorage


def one_of(peer: Peer) -> ReceivedMessage:
    """Wait for a message, and process it."""
    with peer.messages(PATIENCE) as messages:
        return next(messages)


def test_peers_talk(alice: Peer, bob: Peer) -> None:
    @bob.on_message
    def answer(message: ReceivedMessage) -> None:
        message.reply(f"hello {message.content}", codec="text")

    alice.send("bob", "alice", codec="text")
    assert one_of(alice).content == "hello alice"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
def test_peers_talk_over_a_unix_socket(
    make_peer: MakePeer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    alice, bob = make_peer("alice"), make_peer("bob")
    assert bob.listen("unix:bob") == "unix:bob"
    alice.connect("unix:bob")
    alice.send("bob", b"hello")
    assert one_of(bob).sender.address.startswith("unix")


def test_message_waits_for_a_peer_and_for_a_handler(alice: Peer, make_peer: MakePeer) -> None:
    alice.send("bob", b"hello")
    bob = make_peer("bob")
    alice.connect(bob.listen(("127.0.0.1", 0)))
    alice.wait_for("bob", PATIENCE)
    received: list[bytes] = []
    is_there = threading.Event()

    @bob.on_message
    def handler(message: ReceivedMessage) -> None:
        received.append(message.data)
        is_there.set()

    assert is_there.wait(PATIENCE)
    assert received == [b"hello"]


def test_handler_may_make_calls(alice: Peer, bob: Peer) -> None:
    class Calculator:
        def add(self, a: int, b: int) -> int:
            return a + b

    alice.serve("calculator", Calculator())

    @bob.on_message
    def handler(message: ReceivedMessage) -> None:
        calculator = bob.remote(message.sender.ident, "calculator")
        message.reply(calculator.add(*message.content), codec="json")

    alice.send("bob", [1, 2], codec="json")
    assert one_of(alice).content == 3


def test_handler_that_raises_gets_the_message_again(
    alice: Peer, bob: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    bob.messaging.retry_delay = 0.0

    @bob.on_message
    def handler(message: ReceivedMessage) -> None:
        if message.attempts < 3:
            raise RuntimeError("not yet")
        message.reply(b"%d" % message.attempts)

    alice.send("bob", b"hello")
    assert one_of(alice).data == b"3"
    assert caplog.text.count("RuntimeError: not yet") == 2


def test_receipt_tells_that_a_message_was_processed(alice: Peer, bob: Peer) -> None:
    receipt = alice.send("bob", b"hello")
    assert one_of(bob).data == b"hello"
    receipt.wait(PATIENCE)
    assert (receipt.ident, receipt.state) == ("bob", ReceiptState.DELIVERED)


def test_receipt_tells_that_nobody_was_there(alice: Peer) -> None:
    receipt = alice.send("bob", b"hello", ttl=0)
    with pytest.raises(Dropped, match="absent"):
        receipt.wait(PATIENCE)


def test_handler_may_reject_a_message(alice: Peer, bob: Peer) -> None:
    @bob.on_message
    def handler(message: ReceivedMessage) -> None:
        raise Reject("go away")

    with pytest.raises(Dropped) as caught:
        alice.send("bob", b"hello").wait(PATIENCE)
    assert caught.value.detail == "go away"


def test_messages_go_one_way_only(alice: Peer, bob: Peer) -> None:
    @bob.on_message
    def handler(message: ReceivedMessage) -> None: ...

    with pytest.raises(ValueError, match="go to the handler"):
        bob.messages()
    with pytest.raises(ValueError, match="go to one handler"):
        bob.on_message(handler)
    alice.messages()
    with pytest.raises(ValueError, match="go to one handler, or to messages"):
        alice.on_message(handler)


def test_threads_share_the_messages(alice: Peer, bob: Peer) -> None:
    received: list[bytes] = []
    is_there = threading.Semaphore(0)

    def work() -> None:
        for message in bob.messages():
            received.append(message.data)
            is_there.release()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for number in range(30):
        alice.send("bob", b"%d" % number)
    for _ in range(30):
        assert is_there.acquire(timeout=PATIENCE)
    bob.close()
    for worker in workers:
        worker.join(PATIENCE)
    assert sorted(map(int, received)) == list(range(30))


def test_loop_over_messages_ends_when_none_has_come_for_a_while(alice: Peer) -> None:
    assert list(alice.messages(timeout=0.01)) == []


def test_time_out_is_a_number_of_seconds(alice: Peer) -> None:
    with pytest.raises(ValueError, match="timeout must be"):
        alice.messages(-1)
    with pytest.raises(TypeError, match="timeout must be"):
        alice.wait_for("bob", "soon")  # type: ignore[arg-type]


def test_peers_that_are_connected_are_known(alice: Peer, bob: Peer) -> None:
    (found,) = alice.peers().values()
    assert found.identity.ident == "bob"
    assert found.identity.proven is Proof.CLAIM
    assert found.since.tzinfo is UTC
    assert found.since <= datetime.now(UTC)
    assert bob.stats().peers["alice"].connected
    assert repr(alice) == "<Peer 'alice', 1 connected>"


def test_peer_that_is_gone_is_not_connected(alice: Peer, bob: Peer) -> None:
    gone = threading.Event()
    alice.messaging.on_disconnect.add(lambda conn_id, ident: gone.set())
    bob.close()
    assert gone.wait(PATIENCE)
    assert alice.peers() == {}


def test_waiting_for_a_peer_tells_whom_it_has_found(alice: Peer, bob: Peer) -> None:
    assert alice.wait_for("bob").ident == "bob"


def test_waiting_in_vain_says_why(alice: Peer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    failed = threading.Event()
    alice.link.on_connect_failed.add(lambda address, exc: failed.set())
    alice.connect(f"tcp://127.0.0.1:{port}")
    assert failed.wait(PATIENCE)
    with pytest.raises(TimeoutError, match=r"'bob' is not connected after 0\.01 s; .*refused"):
        alice.wait_for("bob", 0.01)


def test_peer_dials_at_once_when_it_is_told_to(alice: Peer, tmp_path: Path) -> None:
    told: list[object] = []
    with mock.patch.object(alice.link, "reconnect_now", told.append):
        alice.reconnect_now()
        alice.reconnect_now("tls://bob.example:4000")
        alice.reconnect_now(("bob.example", 4000))
    assert told == [None, ("bob.example", 4000), ("bob.example", 4000)]
    with pytest.raises(KeyError):
        alice.reconnect_now("tcp://bob.example:4000")
    with pytest.raises(ValueError, match="is not an address"):
        alice.reconnect_now("bob.example")
    url = f"unix:{tmp_path / 'bob.sock'}"
    alice.connect(url)
    alice.reconnect_now(url)


def test_closing_wakes_up_those_that_wait_for_a_peer(alice: Peer) -> None:
    errors: list[BaseException] = []
    waits = threading.Event()

    def wait() -> None:
        waits.set()
        try:
            alice.wait_for("bob")
        except PeerClosed as exc:
            errors.append(exc)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waits.wait(PATIENCE)
    alice.close()
    thread.join(PATIENCE)
    assert [str(error) for error in errors] == ["this peer is closed; make a new one"]


def test_broadcast_reaches_all_that_are_connected(make_peer: MakePeer) -> None:
    hub, *others = (make_peer(name) for name in ("hub", "one", "two", "three"))
    url = hub.listen("tcp://127.0.0.1:0")
    for other in others:
        other.connect(url)
        hub.wait_for(other.ident, PATIENCE)
    assert set(hub.broadcast({"to": "all"}, codec="json")) == {"one", "two", "three"}
    assert [one_of(other).content for other in others] == [{"to": "all"}] * 3


def test_broadcast_reaches_those_that_are_named(alice: Peer, bob: Peer) -> None:
    sent = alice.broadcast(b"hello", to=["bob", "carol", "bob"])
    assert [*sent] == ["bob", "carol"]
    assert len({receipt.uuid for receipt in sent.values()}) == 2
    sent["bob"].wait(PATIENCE, ReceiptState.SENT)
    assert one_of(bob).data == b"hello"
    assert list(bob.messages(0.01)) == []


def test_messages_are_persistent_if_there_is_a_storage(make_peer: MakePeer) -> None:
    storage = MemoryQueuesStorage()
    alice = make_peer("alice", storage=storage)
    alice.send("bob", b"kept")
    alice.send("bob", b"not kept", persistent=False)
    alice.close()
    assert [item.data for item in storage.get_items("bob")] == [b"kept"]


class Slow(MemoryQueuesStorage):
    """A storage that answers when it may, with an error if there is one."""

    blocks = True
    error: Exception | None = None

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()

    def push(self, queue_name: str, item: Message) -> int | None:
        assert self.may_answer.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        return super().push(queue_name, item)


def test_a_message_is_in_the_storage_when_send_returns(make_peer: MakePeer) -> None:
    storage = MemoryQueuesStorage()
    alice = make_peer("alice", storage=storage)
    for number in range(100):
        alice.send("bob", b"%d" % number)
        assert len(storage.get_items("bob")) == number + 1
    alice.broadcast(b"all", to=["bob", "carol"])
    assert [len(storage.get_items(ident)) for ident in ("bob", "carol")] == [101, 1]


def test_send_raises_if_the_storage_does_not_take_the_message(make_peer: MakePeer) -> None:
    storage = Slow()
    storage.may_answer.set()
    storage.error = StorageError("never", temporary=False)
    with pytest.raises(StorageError, match="never"):
        make_peer("alice", storage=storage).send("bob", b"hello")


def test_send_waits_for_no_storage_if_it_is_told_so(make_peer: MakePeer) -> None:
    storage = Slow()
    receipt = make_peer("alice", storage=storage).send("bob", b"hello", wait=False)
    assert receipt.state is ReceiptState.POSTED
    storage.may_answer.set()
    receipt.wait(PATIENCE, until=ReceiptState.QUEUED)


def test_send_in_the_loop_waits_for_no_storage(make_peer: MakePeer) -> None:
    storage = Slow()
    alice = make_peer("alice", storage=storage)
    receipts: Queue[Receipt] = Queue()
    alice.link.call_from_thread(lambda: receipts.put(alice.send("bob", b"hello")))
    receipt = receipts.get(timeout=PATIENCE)
    storage.may_answer.set()
    receipt.wait(PATIENCE, until=ReceiptState.QUEUED)


def test_storage_of_a_url_is_opened_once_and_closed(make_peer: MakePeer) -> None:
    alice = make_peer("alice", storage="memory:", dead_letters="memory:")
    assert isinstance(alice.messaging.queues_storage, MemoryQueuesStorage)
    assert alice.messaging.dead_letters is not None
    alice.send("bob", b"kept")
    alice.close()


def test_inbox_is_a_storage_that_can_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old(MemoryQueuesStorage):
        remember = None  # type: ignore[assignment]

    monkeypatch.setattr("snakemq.peer._storages.open_storage", lambda url: Old())
    with pytest.raises(ValueError, match="Old does not remember uuids"):
        Peer("alice", inbox="old:")


def test_inbox_that_commits_with_callbacks_is_refused() -> None:
    class Transactional(MemoryQueuesStorage):
        def begin(self) -> None: ...
        def keep(self, ident: str, uuid: bytes | None) -> None: ...
        def undo(self) -> None: ...

    with pytest.raises(ValueError, match=r"record message\.uuid in your own transaction"):
        Peer("alice", inbox=Transactional())


def test_inbox_may_be_the_storage_of_the_queues(make_peer: MakePeer) -> None:
    messaging = make_peer("alice", storage="memory:", inbox="memory:").messaging
    assert messaging.inbox is messaging.queues_storage


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"ident": "x" * 51}, ValueError),
        ({"storage": "nowhere"}, ValueError),
        ({"storage": 1}, TypeError),
        ({"keepalive_interval": -1}, ValueError),
        ({"call_timeout": "soon"}, TypeError),
        ({"close_timeout": None}, TypeError),
        ({"codecs": [1]}, TypeError),
    ],
)
def test_wrong_settings_leave_nothing_open(
    settings: dict[str, object], error: type[Exception]
) -> None:
    before = {*threading.enumerate()}
    with pytest.raises(error):
        Peer(**{"ident": "alice"} | settings)  # type: ignore[arg-type]
    assert {*threading.enumerate()} <= before


def test_error_of_the_link_comes_to_the_caller(alice: Peer, bob: Peer) -> None:
    url = alice.listen("tcp://127.0.0.1:0")
    with pytest.raises((OSError, ValueError)):
        bob.listen(url)


def in_loop(peer: Peer, func: object) -> BaseException | None:
    """Call it in the loop, and return what it raises."""
    errors: list[BaseException | None] = []
    is_done = threading.Event()

    def call() -> None:
        try:
            func()  # type: ignore[operator]
            errors.append(None)
        except BaseException as exc:
            errors.append(exc)
        is_done.set()

    peer.link.call_from_thread(call)
    assert is_done.wait(PATIENCE)
    return errors[0]


def test_what_waits_is_refused_in_the_loop(alice: Peer) -> None:
    for func in (alice.close, lambda: alice.wait_for("bob"), lambda: next(alice.messages())):
        error = in_loop(alice, func)
        assert isinstance(error, LoopError), error
        assert "loop" in str(error)


def test_what_does_not_wait_is_allowed_in_the_loop(alice: Peer, bob: Peer) -> None:
    assert in_loop(alice, lambda: alice.send("bob", b"hello")) is None
    assert in_loop(alice, lambda: alice.listen("tcp://127.0.0.1:0")) is None
    assert in_loop(alice, lambda: alice.remote("bob", "calculator")) is None
    assert one_of(bob).data == b"hello"


def test_layers_are_there_for_everything_else(alice: Peer) -> None:
    assert isinstance(alice.messaging, Messaging)
    assert alice.messaging.keepalive_interval == 30
    assert alice.messaging.keepalive_wait == 10
    assert alice.messaging.packeter.link is alice.link
    assert alice.ident == "alice"
