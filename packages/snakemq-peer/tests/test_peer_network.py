"""Peers on a network in memory: what they do there as they do it anywhere."""

import gc
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from networks import PATIENCE, collect, data_of, pair

from snakemq.exceptions import LoopError
from snakemq.identity import CertificateIdents
from snakemq.link import SSLConfig
from snakemq.messaging import Receipt, ReceiptState
from snakemq.peer import Peer, PeerClosed, ReceivedMessage
from snakemq.queues import MemoryQueuesStorage
from snakemq.testing import PeerNetwork


@pytest.fixture
def network() -> Iterator[PeerNetwork]:
    with PeerNetwork() as network:
        yield network


# -- connections


def test_connect_returns_when_the_peers_are_connected(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    assert [*alice.peers()] == ["bob"]
    assert [*bob.peers()] == ["alice"]
    assert alice.wait_for("bob").ident == "bob"


@pytest.mark.parametrize(
    ("listening", "dialled"),
    [
        ("tcp://127.0.0.1:4000", "tcp://127.0.0.1:4000"),
        ("tcp://127.0.0.1:4000", "tcp://localhost:4000"),
        ("tcp://:4000", "tcp://bob.example:4000"),
        ("tcp://0.0.0.0:4000", "tcp://[::1]:4000"),
        ("unix:/run/bob.sock", "unix:/run/bob.sock"),
        (("127.0.0.1", 4000), ("127.0.0.1", 4000)),
        (Path("bob.sock"), "unix:bob.sock"),
    ],
)
def test_peers_find_each_other_by_the_addresses_of_the_application(
    network: PeerNetwork, listening: str, dialled: str
) -> None:
    alice, bob = network.peer("alice"), network.peer("bob")
    bob.listen(listening)
    alice.connect(dialled)
    network.settle()
    assert [*alice.peers()] == ["bob"]


def test_port_0_is_replaced_by_a_free_one(network: PeerNetwork) -> None:
    alice, bob = network.peer("alice"), network.peer("bob")
    addresses = [bob.listen("tcp://127.0.0.1:0") for _ in range(2)]
    assert len({*addresses}) == 2
    for address in addresses:
        assert ":0" not in address.removeprefix("tcp://127.0.0.1")
    alice.connect(addresses[1])
    assert alice.wait_for("bob", 5).ident == "bob"


def test_two_peers_cannot_listen_at_one_address(network: PeerNetwork) -> None:
    alice, bob = network.peer("alice"), network.peer("bob")
    alice.listen("tcp://:4000")
    with pytest.raises(OSError, match="4000"):
        bob.listen("tcp://127.0.0.1:4000")
    alice.close()
    bob.listen("tcp://127.0.0.1:4000")


def test_a_peer_that_dials_first_is_connected_when_the_other_listens(network: PeerNetwork) -> None:
    alice, bob = network.peer("alice"), network.peer("bob")
    alice.connect("tcp://127.0.0.1:4000")
    network.settle()
    assert alice.peers() == {}
    bob.listen("tcp://127.0.0.1:4000")
    network.settle()
    assert [*alice.peers()] == ["bob"]
    assert network.time == 0


def test_wait_for_says_why_nobody_came(network: PeerNetwork) -> None:
    alice = network.peer("alice")
    alice.connect("tcp://127.0.0.1:4000")
    with pytest.raises(TimeoutError, match=r"after 30 s; .*nobody listens there"):
        alice.wait_for("bob", 30)
    assert network.time == 30


def test_one_side_with_tls_is_not_connected(network: PeerNetwork) -> None:
    alice, bob = network.peer("alice"), network.peer("bob")
    bob.listen("tls://127.0.0.1:4000", tls=SSLConfig("certificate", "key"))
    alice.connect("tcp://127.0.0.1:4000")
    with pytest.raises(TimeoutError, match="one side does TLS"):
        alice.wait_for("bob", 1)


def test_tls_proves_nothing(network: PeerNetwork) -> None:
    alice = network.peer("alice")
    bob = network.peer("bob", authenticator=CertificateIdents(dns=True))
    bob.listen("tls://127.0.0.1:4000", tls=SSLConfig("certificate", "key"))
    alice.connect("tls://127.0.0.1:4000", tls=SSLConfig())
    network.advance(10)
    assert bob.peers() == {}


def test_connection_that_is_removed_ends(network: PeerNetwork) -> None:
    alice, bob = network.peer("alice"), network.peer("bob")
    bob.listen("tcp://127.0.0.1:4000")
    alice.connect("tcp://127.0.0.1:4000")
    alice.wait_for("bob")
    alice.link.call_from_thread(lambda: alice.link.del_connector(("127.0.0.1", 4000)))
    network.advance(100)
    assert alice.peers() == bob.peers() == {}
    alice.connect("tcp://127.0.0.1:4000")
    alice.wait_for("bob")


def test_listener_that_is_removed_cannot_be_reached(network: PeerNetwork) -> None:
    alice, bob = network.peer("alice"), network.peer("bob")
    bob.listen("tcp://127.0.0.1:4000")
    bob.link.call_from_thread(lambda: bob.link.del_listener(("127.0.0.1", 4000)))
    network.settle()
    alice.connect("tcp://127.0.0.1:4000")
    network.advance(100)
    assert alice.peers() == {}


@pytest.mark.parametrize("address", [5, ("host",), ("host", "port")])
def test_something_else_is_not_an_address(network: PeerNetwork, address: object) -> None:
    alice = network.peer("alice")
    for func in (alice.listen, alice.connect):
        with pytest.raises(TypeError, match="an address is"):
            func(address)  # type: ignore[arg-type]


def test_connecting_twice_is_refused(network: PeerNetwork) -> None:
    alice, _ = pair(network)
    with pytest.raises(ValueError, match="already"):
        network.connect("alice", "bob")
    alice.connect("tcp://127.0.0.1:4000")
    with pytest.raises(ValueError, match="already"):
        alice.connect("tcp://127.0.0.1:4000")


def test_an_unknown_peer_is_an_error(network: PeerNetwork) -> None:
    network.peer("alice")
    for func in (network.connect, network.cut):
        with pytest.raises(KeyError, match="'bob'"):
            func("alice", "bob")


def test_an_ident_is_taken_until_its_peer_is_closed(network: PeerNetwork) -> None:
    alice = network.peer("alice")
    with pytest.raises(ValueError, match="alice"):
        network.peer("alice")
    alice.close()
    network.peer("alice")


# -- messages


def test_message_is_delivered_and_answered(network: PeerNetwork) -> None:
    alice, bob = pair(network)

    @bob.on_message
    def answer(message: ReceivedMessage) -> None:
        message.reply(message.data.upper())

    receipt = alice.send("bob", b"hello")
    network.settle()
    assert receipt.state is ReceiptState.DELIVERED
    assert data_of(alice) == [b"HELLO"]
    assert network.time == 0


def test_messages_end_when_nothing_more_is_to_come(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    for number in range(100):
        alice.send("bob", b"%d" % number)
    assert data_of(bob) == [b"%d" % number for number in range(100)]
    assert network.time == 0


def test_a_large_message_arrives(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    alice.send("bob", bytes(3 << 20))
    assert [len(data) for data in data_of(bob)] == [3 << 20]


def test_broadcast_reaches_all(network: PeerNetwork) -> None:
    alice = network.peer("alice")
    received = []
    for ident in ("bob", "carol"):
        received.append(collect(network.peer(ident)))
        network.connect(ident, "alice")
    alice.broadcast(b"hello")
    network.settle()
    assert received == [[b"hello"], [b"hello"]]


def test_messages_may_be_taken_in_a_loop_with_a_body_that_settles(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    alice.send("bob", b"hello")
    for message in bob.messages(timeout=1):
        receipt = message.reply(b"yes")
        network.settle()
        assert receipt.state is ReceiptState.SENT
    assert data_of(alice) == [b"yes"]


# -- storages


def test_message_in_a_storage_survives_its_peer(network: PeerNetwork) -> None:
    storage = MemoryQueuesStorage()
    with network.peer("alice", storage=storage) as alice:
        receipt = alice.send("bob", b"hello")
        assert receipt.state is ReceiptState.QUEUED
    network.peer("alice", storage=storage)
    bob = network.peer("bob")
    network.connect("bob", "alice")
    assert data_of(bob) == [b"hello"]


def test_message_in_a_file_survives_its_peer(network: PeerNetwork, tmp_path: Path) -> None:
    pytest.importorskip("snakemq.storage.sqlite")
    url = f"sqlite:///{tmp_path}/alice.db"
    with network.peer("alice", storage=url, inbox=url) as alice:
        alice.send("bob", b"hello")
    network.peer("alice", storage=url)
    bob = network.peer("bob")
    network.connect("bob", "alice")
    assert data_of(bob) == [b"hello"]
    network.settle()
    assert network.time == 0


# -- the end


def test_peer_that_is_closed_is_gone_for_the_others(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    bob.close()
    network.settle()
    assert alice.peers() == {}
    with pytest.raises(PeerClosed):
        bob.send("alice", b"hello")
    receipt = alice.send("bob", b"hello")
    bob = network.peer("bob")  # started again
    assert data_of(bob) == [b"hello"]
    network.settle()
    assert receipt.state is ReceiptState.DELIVERED


def test_close_delivers_what_was_sent(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    received = collect(bob)
    alice.send("bob", b"hello")
    alice.close()
    assert received == [b"hello"]


def test_close_waits_by_the_clock_of_the_network(network: PeerNetwork) -> None:
    alice, _bob = pair(network)
    alice.send("bob", b"hello")  # nobody takes it there
    alice.close(timeout=1000)
    assert network.time == 1000


def test_stopped_link_closes_its_peer(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    alice.link.stop()
    alice.run()  # it ends at once
    network.settle()
    assert bob.peers() == {}


def test_callback_may_close_its_own_link(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    alice.link.on_disconnect.add(lambda conn_id: alice.link.cleanup())
    network.cut("alice", "bob")
    with pytest.raises(LoopError):
        alice.link.add_connector(("127.0.0.1", 4000))
    assert bob.peers() == {}


def test_the_network_closes_its_peers_and_ends_their_threads() -> None:
    before = {*threading.enumerate()}
    with PeerNetwork() as network:
        alice, bob = pair(network)
        collect(bob)
        assert repr(network) == "<PeerNetwork at 0 s, 2 peers>"
    for thread in {*threading.enumerate()} - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    network.close()
    for peer in (alice, bob):
        peer.close()
        with pytest.raises(PeerClosed):
            peer.send("carol", b"hello")
    with pytest.raises(LoopError, match="the network is closed"):
        network.peer("alice")


def test_close_does_not_wait_for_a_handler_that_hangs() -> None:
    release = threading.Event()
    with PeerNetwork() as network:
        alice, bob = pair(network)
        has_begun = threading.Event()

        @bob.on_message
        def hang(message: ReceivedMessage) -> None:
            has_begun.set()
            release.wait(PATIENCE)

        alice.send("bob", b"hello")
        assert has_begun.wait(PATIENCE)
    release.set()


def test_close_ends_what_threads_wait_for() -> None:
    with PeerNetwork() as network:
        alice = network.peer("alice")
        receipt = alice.send("bob", b"hello")
        ended = threading.Event()

        def wait(receipt: Receipt) -> None:
            with pytest.raises(Exception, match="cleaned up"):
                receipt.wait()
            ended.set()

        threading.Thread(target=wait, args=(receipt,)).start()
    assert ended.wait(PATIENCE)


def test_network_that_is_forgotten_warns_and_is_closed() -> None:
    network = PeerNetwork()
    alice = network.peer("alice")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del network
        gc.collect()
    assert [str(warning.message)[:31] for warning in caught] == ["the network was not closed: use"]
    assert caught[0].category is ResourceWarning
    with pytest.raises(PeerClosed):
        alice.send("bob", b"hello")


def test_peers_are_peers(network: PeerNetwork) -> None:
    alice = network.peer("alice", call_timeout=1, codecs=())
    assert isinstance(alice, Peer)
    assert repr(alice) == "<Peer 'alice', 0 connected>"
    for wrong in ({"call_timeout": -1}, {"keepalive_wait": -1}):
        with pytest.raises(ValueError, match="-1"):
            network.peer("bob", **wrong)
    with pytest.raises(TypeError):
        network.peer("bob", colour="green")
    network.peer("bob")  # nothing of the failed ones is left


def test_callbacks_cannot_wait_for_the_network(network: PeerNetwork) -> None:
    alice, _ = pair(network)
    raised: list[Exception] = []

    def on_disconnect(conn_id: str) -> None:
        for func in (network.settle, lambda: network.peer("carol"), lambda: next(alice.messages())):
            try:
                func()
            except LoopError as exc:
                raised.append(exc)

    alice.link.on_disconnect.add(on_disconnect)
    network.cut("alice", "bob")
    assert len(raised) == 3
