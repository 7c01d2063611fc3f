"""What tests of networks in memory have in common."""

from collections.abc import Callable
from threading import Thread

from snakemq.peer import Peer, ReceivedMessage
from snakemq.testing import PeerNetwork

PATIENCE = 60.0
"""Real seconds after which something that has not happened will not happen any more."""


def pair(network: PeerNetwork, **settings: object) -> tuple[Peer, Peer]:
    """Two peers that are connected."""
    alice, bob = network.peer("alice", **settings), network.peer("bob", **settings)
    network.connect("alice", "bob")
    return alice, bob


def data_of(peer: Peer) -> list[bytes]:
    """What has come to a peer by now."""
    return [message.data for message in peer.messages(timeout=0)]


def collect(peer: Peer) -> list[bytes]:
    """Give a peer a handler that notes what comes."""
    received: list[bytes] = []

    @peer.on_message
    def note(message: ReceivedMessage) -> None:
        received.append(message.data)

    return received


def in_thread(func: Callable[[], object]) -> Thread:
    """Call a function in a thread of the application."""
    thread = Thread(target=func, name="application", daemon=True)
    thread.start()
    return thread
