"""Keeps messages that the policy denies from callbacks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from snakemq.callbacks import Callback
from snakemq.identity import Identity
from snakemq.message import Message

from .._authorization import Authorization
from .._wire._rejections import Rejection, RejectionCode
from ._inbox import Inbox

Claim = Callable[[str, str, Message], bool]
"""``claim(conn_id, ident, message)`` takes a message that the policy denies, and returns True. It
returns False if the message is nothing for it."""

NOT_ALLOWED = Rejection(RejectionCode.DENIED, "not allowed")
"""What the sender of a denied message is told."""


class Denied(Exception):
    """Raised in place of an offer: the message is to be rejected, and no callback hears of it."""


class Gate:
    """Decides whether the messages of a peer are passed to the callbacks of ``on_message_recv``.

    All messages of a peer have the same right, so the policy is asked once for each batch. Layers
    above whose messages have rights of their own, such as remote calls, claim them: those go to
    that layer alone. For the loop only.
    """

    def __init__(
        self, on_message_recv: Callback[[str, str, Message]], authorization: Authorization
    ) -> None:
        self._on_message_recv = on_message_recv
        self._authorization = authorization
        self._claims: tuple[Claim, ...] = ()

    def add(self, claim: Claim) -> None:
        """Let a layer claim messages."""
        self._claims = (*self._claims, claim)

    def remove(self, claim: Claim) -> None:
        """Undo :meth:`add`."""
        self._claims = tuple(other for other in self._claims if other != claim)

    def event_for(self, inbox: Inbox) -> Callback[[str, str, Message]]:
        """Return what to call with the messages of a peer. It raises :exc:`Denied` if the policy
        denies them, and no layer claims the message."""
        sender = inbox.sender
        assert sender is not None
        if self._authorization.allows(sender, "message", ""):
            return self._on_message_recv
        denied: Callback[[str, str, Message]] = Callback()
        denied.callbacks = (partial(self._turn_away, sender),)
        return denied

    def _turn_away(self, sender: Identity, conn_id: str, ident: str, message: Message) -> None:
        for claim in self._claims:
            if claim(conn_id, ident, message):
                return
        self._authorization.refused(sender, "message")
        raise Denied
