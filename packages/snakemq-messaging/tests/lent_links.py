"""Links in memory that can be borrowed, and peers on them that send what is urgent."""

from __future__ import annotations

from collections.abc import Callable

from memory_peers import Peer

from snakemq.link import BytesLike
from snakemq.link.testing import MemoryLink, MemoryNetwork
from snakemq.message import Message


class LentLink(MemoryLink):
    """Can be borrowed, if the test has nothing against it."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        super().__init__(network, name)
        self.sleeps = True
        self.lent = 0
        self.lendings = 0
        """To threads that are not the loop."""
        self.before_borrowing: Callable[[], object] = lambda: None
        self.error: Exception | None = None
        """What the next send raises."""

    def borrow(self) -> bool:
        self.before_borrowing()
        in_loop = self.in_loop()
        if not (in_loop or self.sleeps):
            return False
        self.lent += 1
        self.lendings += not in_loop
        return True

    def give_back(self) -> None:
        if not self.lent:
            raise RuntimeError("it was not borrowed")
        self.lent -= 1

    def send_at_once(self, conn_id: str, data: BytesLike) -> bool:
        assert self.lent or self.in_loop(), "somebody sends who is not the loop"
        if self.error is not None:
            raise self.error
        return super().send_at_once(conn_id, data)


class LendingNetwork(MemoryNetwork):
    def link(self, name: str) -> LentLink:
        return LentLink(self, name)


def nobody_asks(peer: Peer) -> Peer:
    """Without callbacks that want to know what is sent: the loop would have to call them."""
    peer.messaging.on_message_sent.callbacks = ()
    return peer


def link_of(peer: Peer) -> LentLink:
    assert isinstance(peer.link, LentLink)
    return peer.link


def send_urgent(
    peer: Peer, ident: str, data: bytes = b"", ttl: float | None = None, flags: int = 0
) -> bytes:
    return peer.messaging.send_message(ident, Message(data, ttl, flags), urgent=True)


def in_flight(peer: Peer, ident: str = "bob") -> int:
    return peer.messaging.stats().peers[ident].in_flight


def sends(peer: Peer, since: int = 0) -> list[str]:
    """The connections on which something was sent, since that moment of the trace."""
    trace = peer.network.trace[since:]
    return [e.conn_id for e in trace if e.link == peer.link.name and e.event == "sent"]
