"""Asks the policy, and tells what it has refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from snakemq.identity import Authenticator, Identity
from snakemq.policy import Action, Policy

from ._audit import Audit
from ._events import Events
from ._rate import INTERVAL, Rate
from ._stats import Statistics


class AuthorizationSettings(Protocol):
    """A ``Messaging``, as far as it says who may do what."""

    authenticator: Authenticator | None
    policy: Policy | None


class Authorization:
    """Says what peers may do. For the loop only.

    A policy that raises, or answers with anything but True, refuses.
    """

    def __init__(
        self,
        settings: AuthorizationSettings,
        statistics: Statistics,
        audit: Audit,
        events: Events,
        time: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._statistics = statistics
        self._audit = audit
        self._log = events.log
        self._rate = Rate(time)
        self._has_warned = False

    def allows(self, identity: Identity, action: Action, target: str) -> bool:
        """Return whether a peer may do this. Without a policy it may do anything."""
        policy = self._settings.policy
        if policy is None:
            return True
        try:
            return policy.allows(identity, action, target) is True
        except Exception as exc:
            self._raised(exc)
            return False

    def is_member(self, identity: Identity, group: str) -> bool:
        """Return whether a peer is in a group of the policy. Nobody is, if it has no groups."""
        is_member = getattr(self._settings.policy, "is_member", None)
        if is_member is None:
            return False
        try:
            return is_member(identity, group) is True
        except Exception as exc:
            self._raised(exc)
            return False

    def refused(self, identity: Identity, kind: str, why: str = "") -> None:
        """Count that something of a peer was refused, and write it to the audit log."""
        self._statistics.of(identity.ident).refused += 1
        self._audit.refused(
            kind, identity.ident, identity.address, why, is_proven=identity.is_proven
        )

    def policy_changed(self) -> None:
        """Warn, once, if the policy decides about idents that nobody has to prove."""
        if (
            self._has_warned
            or self._settings.policy is None
            or self._settings.authenticator is not None
        ):
            return
        self._has_warned = True
        self._log.warning(
            "there is a policy but no authenticator: it decides by what peers say that they are"
            " called, and any peer may say anything"
        )

    def _raised(self, exc: Exception) -> None:
        if self._rate.count(type(exc).__qualname__):
            self._log.error(
                "the policy raised, so what it was asked for is refused; not told again within"
                " %g s",
                INTERVAL,
                exc_info=exc,
            )
