"""Where received messages begin their way to the user."""

from __future__ import annotations

from collections.abc import Callable

from snakemq.identity import Identity
from snakemq.message import Message
from snakemq.messaging import Messaging, Retry

from ._presence import Presence
from ._sending import CALL_PREFIXES

_REQUEST, _REPLY = CALL_PREFIXES


class Arrivals:
    """Passes on the messages that arrive, except those of remote calls. In the loop."""

    def __init__(
        self,
        messaging: Messaging,
        presence: Presence,
        put: Callable[[Message, Identity], object],
    ) -> None:
        """``put(message, sender)``: takes a message, which is not acknowledged yet."""
        self.has_server = False
        """Are requests of remote calls taken by somebody else?"""
        self.has_client = False
        """Are replies?"""
        self._messaging = messaging
        self._put = put
        self._identity = presence.identity
        messaging.on_message_recv.add_internal(self._on_message_recv)

    def _on_message_recv(self, conn_id: str, ident: str, message: Message) -> None:
        if message.data.startswith(CALL_PREFIXES) and self._is_of_a_call(message):
            return
        self._put(message, self._identity(conn_id, ident))

    def _is_of_a_call(self, message: Message) -> bool:
        if message.data.startswith(_REQUEST):
            if not self.has_server:
                raise Retry  # serve() may be called soon
        elif not self.has_client:
            self._messaging.ack(message)  # the call was made by another process of this ident
        return True
