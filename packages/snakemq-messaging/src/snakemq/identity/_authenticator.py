"""What decides whether a peer is who it says. See :class:`Authenticator`."""

from __future__ import annotations

from typing import Protocol

from snakemq.exceptions import NotProven
from snakemq.link import PeerCredentials

from ._identity import Identity


class Authenticator(Protocol):
    """Decides whether a peer is who it says. Give one to :class:`~snakemq.messaging.Messaging`.

    Ours are :class:`CertificateIdents`, :class:`Fingerprints`, :class:`UnixUsers`,
    :class:`PreSharedKeys` and :class:`AnyOf`.
    """

    def check(self, claimed: str, connection: PeerCredentials) -> Identity:
        """Return who the peer is if it has proven that; otherwise raise
        :exc:`~snakemq.exceptions.NotProven`, with the reason.

        ``claimed``: the ident that the peer has said. Compare it exactly. ``connection``: what the
        transport of this connection proves.

        Called once for each connection that says its ident, also for those that this side has
        dialled, before anything else happens: nothing that waits for ``claimed`` has left, no
        callback was called, and no other connection with that ident was disturbed. The connection
        goes on only if the result is an :class:`Identity` whose ``ident`` is ``claimed``. Anything
        else closes it, any exception included.

        It is called in the loop, and everything waits for it: decide from what is in memory. If you
        need to ask a server, ask it beforehand, and refresh what it said from another thread.
        """


class AnyOf:
    """Admits a peer that at least one of several authenticators admits, asked in this order.

    An authenticator that raises something else than :exc:`~snakemq.exceptions.NotProven` ends the
    search, and nobody is admitted: it may be the one that knows better.
    """

    def __init__(self, *authenticators: Authenticator) -> None:
        if not authenticators:
            raise ValueError("AnyOf needs an authenticator")
        for one in authenticators:
            check_authenticator("each authenticator", one)
        self._authenticators = authenticators

    def check(self, claimed: str, connection: PeerCredentials) -> Identity:
        """See :meth:`Authenticator.check`."""
        reasons: list[str] = []
        for one in self._authenticators:
            try:
                return one.check(claimed, connection)
            except NotProven as exc:
                reasons.append(str(exc))
        raise NotProven("; ".join(dict.fromkeys(reasons)))


def check_authenticator(name: str, value: object) -> None:
    """Raise ``TypeError`` for something that is not an authenticator."""
    if isinstance(value, type) or not callable(getattr(value, "check", None)):
        raise TypeError(
            f"{name} must be an object with a method check(claimed, connection), not {value!r}"
        )
