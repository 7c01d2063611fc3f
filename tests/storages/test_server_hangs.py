"""The server of a storage neither answers nor refuses: only those that need it wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import ReceiptState
from snakemq.queues import InboxStorage
from tests.servers import Server
from tests.support.running_stack import Stack

from .stores import Durable, MakeStack, heard, numbers, store_on

pytestmark = pytest.mark.server

BACKLOG = 100
EXCHANGES = 30
PING, PONG = b"\x04", b"\x05"


@pytest.fixture
def alice(server: Server) -> Iterator[Durable]:
    """The queues and the inbox of this stack are on the server."""
    storage = store_on(server).open()
    assert isinstance(storage, InboxStorage)
    alice = Durable("alice", storage, inbox=storage)
    try:
        yield alice
    finally:
        server.resume()
        alice.close()


def count_pongs(stack: Stack) -> Callable[[], int]:
    pongs: list[bytes] = []

    def note(_conn_id: str, packet: bytes) -> None:
        if packet == PONG:
            stack.write(pongs, packet)

    stack.packeter.on_packet_recv.add(note)
    return lambda: len(pongs)


def test_others_go_on_and_nothing_is_lost_or_repeated(
    server: Server, alice: Durable, make_stack: MakeStack
) -> None:
    bob, carol, dave = make_stack("bob"), make_stack("carol"), make_stack("dave")
    delivered: list[bytes] = []
    carol.messaging.on_message_delivered.add(
        lambda conn_id, ident, uuid: carol.write(delivered, uuid)
    )
    conn_ids: list[str] = []
    carol.messaging.on_connect.add(lambda conn_id, ident: conn_ids.append(conn_id))
    address = alice.listen()
    for text in numbers(BACKLOG):
        alice.send("bob", text, None, FLAG_PERSISTENT)
    carol.dial(address)
    carol.send("alice", b"first")
    carol.until(lambda: delivered)
    pongs = count_pongs(carol)
    (conn_id,) = conn_ids

    server.suspend()
    bob.dial(address)  # needs pages and deletions
    dave.dial(address)  # needs its inbox
    dave.until_connected("alice")
    for text in numbers(3):
        dave.send("alice", text)
    for number in range(EXCHANGES):
        text = b"exchange %d" % number
        carol.send("alice", text)
        alice.until(lambda text=text: text in heard(alice))  # type: ignore[misc]
        alice.send("carol", text)
        carol.until(lambda text=text: text in heard(carol))  # type: ignore[misc]
        carol.in_loop(lambda: carol.packeter.send_packet(conn_id, PING))
        carol.until(lambda number=number: pongs() > number)  # type: ignore[misc]
    assert len(delivered) == 1, "acknowledged, though the server has recorded nothing"
    assert [received.ident for received in alice.received].count("dave") == 0

    server.resume()
    bob.until(lambda: len(bob.received) >= BACKLOG)
    alice.until(lambda: [r.ident for r in alice.received].count("dave") >= 3)
    carol.until(lambda: len(delivered) >= 1 + EXCHANGES)
    assert alice.left(BACKLOG) == []
    assert heard(bob) == numbers(BACKLOG)
    assert [r.data for r in alice.received if r.ident == "dave"] == numbers(3)
    assert len(alice.received) == 1 + EXCHANGES + 3
    assert alice.disconnected == alice.dropped == []


def test_a_callback_that_posts_holds_nobody_up(
    server: Server, alice: Durable, make_stack: MakeStack
) -> None:
    bob, carol = make_stack("bob"), make_stack("carol")
    address = alice.listen()
    carol.dial(address)
    carol.until_connected("alice")
    server.suspend()
    receipt = alice.in_loop(
        lambda: alice.messaging.post("bob", Message(b"posted", None, FLAG_PERSISTENT))
    )
    alice.send("carol", b"meanwhile")
    carol.until(lambda: heard(carol) == [b"meanwhile"])
    meanwhile = receipt.state
    assert meanwhile in (ReceiptState.POSTED, ReceiptState.FAILED)  # failed on a slow machine
    server.resume()
    bob.dial(address)
    alice.until(lambda: receipt.is_done)
    assert heard(bob) == ([b"posted"] if receipt.state is ReceiptState.DELIVERED else [])
