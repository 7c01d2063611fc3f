"""Which peers are connected, and who they are."""

import threading
from datetime import UTC, datetime
from typing import NamedTuple

from snakemq.exceptions import ConnectFailed
from snakemq.identity import Identity, Proof
from snakemq.link import Abilities
from snakemq.messaging import Messaging

from ._loop_thread import closed


class ConnectedPeer(NamedTuple):
    """A peer that is connected."""

    identity: Identity
    """Its ident, and how it has proven that."""
    since: datetime
    """When it was connected, in UTC."""


class Presence:
    """Knows the connected peers. The loop writes, any thread may read."""

    def __init__(self, messaging: Messaging) -> None:
        self._messaging = messaging
        self._wait_until = Abilities(messaging.packeter.link).wait_until
        self._changed = threading.Condition()
        self._by_ident: dict[str, tuple[str, ConnectedPeer]] = {}  # with the connection
        self._identities: dict[str, Identity] = {}  # by connection
        self._failure: ConnectFailed | None = None
        self._is_over = False
        messaging.on_admitted.add_internal(self._on_admitted)
        messaging.on_disconnect.add_internal(self._on_disconnect)

    def identity(self, conn_id: str, ident: str) -> Identity:
        """Return who has sent a message. In the loop."""
        known = self._identities.get(conn_id)
        # The connection may be gone, and with it what it has proven.
        return Identity(ident, proven=Proof.CLAIM) if known is None else known

    def connected(self) -> dict[str, ConnectedPeer]:
        """Return the connected peers by their idents."""
        with self._changed:
            return {ident: found for ident, (_, found) in self._by_ident.items()}

    def wait_for(self, ident: str, timeout: float | None) -> Identity:
        """See :meth:`Peer.wait_for`."""
        seen: list[Identity] = []  # it may go again before this thread looks

        def is_over() -> bool:
            found = self._by_ident.get(ident)
            if found is not None:
                seen.append(found[1].identity)
            return bool(seen) or self._is_over

        if self._wait_until is None:
            with self._changed:
                self._changed.wait_for(is_over, timeout)
        else:
            self._wait_until(is_over, timeout)
        if seen:
            return seen[0]
        if self._is_over:
            raise closed()
        assert timeout is not None
        raise self.absent(ident, timeout)

    def find(self, ident: str) -> Identity | None:
        """Return who is connected under this ident."""
        found = self._by_ident.get(ident)
        return None if found is None else found[1].identity

    def absent(self, ident: str, timeout: float) -> TimeoutError:
        """Make the error for a peer that did not come."""
        hint = "" if self._failure is None else f"; {self._failure}"
        return TimeoutError(f"{ident!r} is not connected after {timeout:g} s{hint}")

    def end(self) -> None:
        """Wake up those that wait: the peer is closed."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    # -- in the loop

    def connect_failed(self, address: object, error: ConnectFailed) -> None:
        """Note why a connection cannot be made, for those who wait in vain."""
        self._failure = error

    def _on_admitted(self, conn_id: str, ident: str) -> None:
        identity = self._messaging.identity(conn_id)
        self._identities[conn_id] = identity
        with self._changed:
            self._failure = None
            self._by_ident[ident] = conn_id, ConnectedPeer(identity, datetime.now(UTC))
            self._changed.notify_all()

    def _on_disconnect(self, conn_id: str, ident: str) -> None:
        self._identities.pop(conn_id, None)
        with self._changed:
            # After a contest, the next connection of the peer may be there already.
            if ident in self._by_ident and self._by_ident[ident][0] == conn_id:
                del self._by_ident[ident]
