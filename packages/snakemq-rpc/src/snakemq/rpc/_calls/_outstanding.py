"""Keeps the calls that have no outcome yet, for all threads and without a lock."""

from __future__ import annotations

from ._call import Call
from ._peers import Peer


class Outstanding:
    """Keeps the calls, and their peers.

    A signal handler or a finalizer may interrupt a thread at any step, even one in here, make a
    call, and wait for the outcome. So there is no lock: each decision is one operation of a dict,
    which is atomic. Whichever thread takes a call out ends it, and whichever first enters it in
    :attr:`Peer.sent` sends it in that connection.

    Thread-safe, except for methods that say otherwise.
    """

    def __init__(self) -> None:
        self._calls: dict[bytes, Call] = {}
        self.peers: dict[str, Peer] = {}
        """The peers that are connected or have calls. Only the loop removes one."""
        self.idle: dict[str, None] = {}
        """The peers that may no longer be needed, see :meth:`forget_idle`."""

    def add(self, call: Call) -> Peer:
        """Keep a call until it is taken out. Returns its peer."""
        self._calls[call.req_id] = call
        ident = call.ident
        peer = self.peers.get(ident)
        if peer is None:
            peer = self.peers.setdefault(ident, Peer())
        peer.calls[call.req_id] = call
        while self.peers.get(ident) is not peer:  # the loop has removed it meanwhile
            peer = self.peers.setdefault(ident, peer)
            peer.calls[call.req_id] = call
        return peer

    def take(self, req_id: bytes, ident: str | None = None) -> Call | None:
        """Take out a call, which ends it. ``None`` if another thread was faster.

        ``ident``: only a call of this peer.
        """
        if ident is not None:
            call = self._calls.get(req_id)
            if call is None or call.ident != ident:
                return None
        call = self._calls.pop(req_id, None)
        if call is not None:
            peer = self.peers.get(call.ident)
            if peer is not None:
                peer.calls.pop(req_id, None)
                sent = peer.sent
                if sent is not None:
                    sent.pop(req_id, None)
                elif not peer.calls:
                    self.idle[call.ident] = None
        return call

    def take_sent_in(self, ident: str, uuid: bytes) -> Call | None:
        """Like :meth:`take`, for a server that found no id in a request and names the message."""
        peer = self.peers.get(ident)
        call = peer.sent_in(uuid) if peer is not None else None
        return self.take(call.req_id) if call is not None else None

    def take_all(self) -> list[Call]:
        calls = map(self.take, list(self._calls))
        return [call for call in calls if call is not None]

    def __contains__(self, call: Call) -> bool:
        return call.req_id in self._calls

    # In the loop.

    def peer(self, ident: str) -> Peer:
        """Return the peer, which is about to be connected."""
        return self.peers.setdefault(ident, Peer())

    def disconnect(self, ident: str) -> list[Call]:
        """Note that the connection of a peer has ended.

        Returns the calls that do not wait for the next one.
        """
        peer = self.peers.get(ident)
        if peer is None:
            return []
        peer.disconnect()
        self.idle[ident] = None
        return [call for call in list(peer.calls.values()) if not call.may_wait]

    def forget_idle(self) -> None:
        """Forget peers that are absent and have no calls."""
        for ident in list(self.idle):
            self.idle.pop(ident, None)
            peer = self.peers.get(ident)
            if peer is None or peer.connected or peer.calls:
                continue
            self.peers.pop(ident, None)
            if peer.calls:  # one was added at the last moment
                other = self.peers.setdefault(ident, peer)
                other.calls.update(peer.calls)
