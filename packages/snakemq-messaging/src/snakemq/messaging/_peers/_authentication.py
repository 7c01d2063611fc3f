"""Has idents proven, before anything else happens to the connections that claim them."""

from __future__ import annotations

import contextlib

from snakemq.exceptions import NoConnection, NotProven
from snakemq.exceptions._text import printable
from snakemq.identity import Identity, Proof
from snakemq.identity._address import address_of
from snakemq.link import Abilities, CertificateCheck, LinkInterface, PeerCredentials

from .._audit import Audit
from .._events import Events
from .._stats import Statistics
from .._wire._phases import Event, Phase
from ._connection import Connection
from ._endings import Endings
from ._settings import PeerSettings
from ._tracebacks import Tracebacks

_MAX_REASON = 300
"""The longest reason that an error repeats, in characters: some may quote what a peer says."""


class Authentication:
    """Asks the authenticator who is at the other end. For the loop only."""

    def __init__(
        self,
        link: LinkInterface,
        endings: Endings,
        statistics: Statistics,
        events: Events,
        settings: PeerSettings,
    ) -> None:
        self._credentials = Abilities(link).peer_credentials
        self._endings = endings
        self._statistics = statistics
        self._events = events
        self._settings = settings
        self._tracebacks = Tracebacks(events.log, link.time)
        self._audit = Audit(link.time)
        self._has_told_of_bare_ones = False

    def expected(self, conn_id: str) -> str | None:
        """Return the only ident that may be at the other end; ``None``: any one."""
        return self._credentials(conn_id).expected_ident

    def is_proven(self, connection: Connection, claimed: str) -> bool:
        """Decide about an ident that a connection claims, and close the connection if its peer has
        not proven it."""
        conversation = connection.conversation
        credentials = PeerCredentials()  # if not even that is known
        try:
            credentials = self._credentials(conversation.conn_id)
            identity = self._check(connection, claimed, credentials)
        except NotProven as exc:
            self._refuse(connection, claimed, credentials, str(exc), exc.__cause__)
            return False
        except Exception as exc:
            self._tracebacks.log("the proof of an ident", conversation.conn_id, claimed, exc)
            reason = f"the proof could not be checked: {type(exc).__name__}"
            self._refuse(connection, claimed, credentials, reason, exc)
            return False
        except BaseException:  # Ctrl-C: nobody has agreed
            with contextlib.suppress(NoConnection):
                self._endings.close(connection)
            raise
        if conversation.phase is Phase.CLOSED:  # by the authenticator
            return False
        conversation.happen(Event.IDENT_IS_PROVEN)
        connection.identity = identity
        return True

    def _check(
        self, connection: Connection, claimed: str, credentials: PeerCredentials
    ) -> Identity:
        expected = connection.expected
        if expected is not None and claimed != expected:
            raise NotProven(f"this connector is for {expected!r}")
        authenticator = self._settings.authenticator
        if authenticator is None:
            return Identity(claimed, proven=Proof.CLAIM, address=address_of(credentials))
        identity: object = authenticator.check(claimed, credentials)
        if not isinstance(identity, Identity):
            raise NotProven(f"the authenticator returned a {type(identity).__name__}")
        if identity.ident != claimed:
            raise NotProven(f"the authenticator says that it is {identity.ident!a}")
        return identity if identity.address else identity._replace(address=address_of(credentials))

    def _refuse(
        self,
        connection: Connection,
        claimed: str,
        credentials: PeerCredentials,
        reason: str,
        cause: BaseException | None,
    ) -> None:
        reason = printable(reason)[:_MAX_REASON]
        self._statistics.not_proven += 1
        address = address_of(credentials)
        self._audit.refused("identification", claimed, address, reason, is_proven=False)
        self._warn_of_bare_ones(credentials)
        error = NotProven(f"{claimed!a} is not proven: {reason}")
        error.__cause__ = cause
        if connection.conversation.phase is Phase.CLOSED:  # by the authenticator
            self._events.report(connection.conversation.conn_id, error)
        else:
            self._endings.fail(connection, error)

    def _warn_of_bare_ones(self, credentials: PeerCredentials) -> None:
        """Say, once, that nobody can be admitted who comes this way."""
        if self._has_told_of_bare_ones or _can_prove_anything(credentials):
            return
        self._has_told_of_bare_ones = True
        self._events.log.warning(
            "nobody is admitted over connections like the one with %s, which cannot prove anything:"
            " give the listener an SSLConfig with ca_certs or psk, or use a Unix socket",
            address_of(credentials) or "an unknown address",
        )


def _can_prove_anything(credentials: PeerCredentials) -> bool:
    return (
        credentials.certificate is not None
        or credentials.checked_against is not CertificateCheck.NONE
        or credentials.psk_identity is not None
        or credentials.unix is not None
    )
