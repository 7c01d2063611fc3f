"""The peers that are connected."""

from __future__ import annotations

from ._wire._conversation import Conversation


class Registry:
    """The conversations with all connected peers, by ident: the only record of who is connected.

    A peer is in it from the moment its connection owns the ident, before the peer is admitted,
    until that connection ends. The peers' wing writes it, in the loop; any thread may read it.
    """

    __slots__ = ("_by_ident", "get")

    def __init__(self) -> None:
        self._by_ident: dict[str, Conversation] = {}
        self.get = self._by_ident.get
        """Returns the conversation with a peer, or ``None``."""

    def __contains__(self, ident: object) -> bool:
        return ident in self._by_ident

    def enter(self, ident: str, conversation: Conversation) -> None:
        """Give this connection the ident, which must be free."""
        self._by_ident[ident] = conversation

    def leave(self, ident: str) -> None:
        """Free the ident: the connection that owned it has ended."""
        del self._by_ident[ident]
