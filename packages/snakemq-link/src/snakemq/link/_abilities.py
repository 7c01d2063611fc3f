"""What a link can do beyond the interface that every link has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from snakemq.callbacks import Callback
from snakemq.exceptions import ConnectFailed

from ._credentials import PeerCredentials
from ._interface import BytesLike, LinkInterface


class Abilities:
    """Lists what a link can do beyond :class:`LinkInterface`, for a layer that is built on it.

    The protocols explain the abilities. If the link lacks one, most have a stand-in: an event that
    is never called, a number that is unknown, a loop that is never lent, credentials that prove
    nothing.
    """

    send_at_once: Callable[[str, BytesLike], bool] | None
    """See :class:`SendsAtOnce`."""
    report_failure: Callable[[str, Exception], object] | None
    """See :class:`ReportingLink`."""
    on_connect_failed: Callback[[Any, ConnectFailed]]
    """See :class:`ReportingLink`."""
    on_crowded: Callback[[Callable[[str], bool]]]
    """See :class:`CrowdedLink`."""
    on_closing: Callback[[]]
    """See :class:`EndingLink`."""
    on_closed: Callback[[]]
    """See :class:`EndingLink`."""
    unsent_bytes: Callable[[str], int | None]
    """See :class:`ProgressLink`."""
    unanswered_for: Callable[[str], float | None]
    """See :class:`ProgressLink`."""
    borrow: Callable[[], bool]
    """See :class:`LendingLink`."""
    give_back: Callable[[], None]
    """See :class:`LendingLink`."""
    run_if_idle: Callable[[Callable[[], object]], bool]
    """See :class:`IdleLink`."""
    wait_until: Callable[[Callable[[], bool], float | None], bool] | None
    """See :class:`TimedLink`."""
    peer_credentials: Callable[[str], PeerCredentials]
    """See :class:`CredentialsLink`."""

    def __init__(self, link: LinkInterface) -> None:
        self.send_at_once = getattr(link, "send_at_once", None)
        self.report_failure = getattr(link, "report_failure", None)
        self.on_connect_failed = getattr(link, "on_connect_failed", None) or Callback()
        self.on_crowded = getattr(link, "on_crowded", None) or Callback()
        self.on_closing = getattr(link, "on_closing", None) or Callback()
        self.on_closed = getattr(link, "on_closed", None) or Callback()
        self.unsent_bytes = getattr(link, "unsent_bytes", _unknown)
        self.unanswered_for = getattr(link, "unanswered_for", _unknown)
        self.borrow = getattr(link, "borrow", _never)
        self.give_back = getattr(link, "give_back", _nothing)
        self.run_if_idle = getattr(link, "run_if_idle", _not_known_to_be_idle)
        self.wait_until = getattr(link, "wait_until", None)
        self.peer_credentials = getattr(link, "peer_credentials", _nothing_proven)


def _unknown(conn_id: str) -> None:
    return None


def _nothing_proven(conn_id: str) -> PeerCredentials:
    return PeerCredentials()


def _never() -> bool:
    return False


def _not_known_to_be_idle(func: Callable[[], object]) -> bool:
    return False


def _nothing() -> None:
    pass
