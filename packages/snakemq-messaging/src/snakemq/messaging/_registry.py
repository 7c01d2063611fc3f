"""The peers that are connected."""

from __future__ import annotations

from ._wire._conversation import Conversation


class Registry:
    """The conversations with all connected peers, by ident: the one home of "who is connected".

    A peer is in it from when its connection owns the ident, which is before it is admitted, to when
    that connection ends. Written by the peers' wing, in the loop; asked by all others, from any
    thread.
    """

    __slots__ = ("_by_ident", "get")

    def __init__(self) -> None:
        self._by_ident: dict[str, Conversation] = {}
        self.get = self._by_ident.get
        """The conversation with a peer, or ``None``."""

    def __contains__(self, ident: object) -> bool:
        return ident in self._by_ident

    def enter(self, ident: str, conversation: Conversation) -> None:
        """From now on this connection owns the ident, which nobody has."""
        self._by_ident[ident] = conversation

    def leave(self, ident: str) -> None:
        """The connection that owns the ident has ended."""
        del self._by_ident[ident]
